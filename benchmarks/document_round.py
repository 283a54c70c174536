"""How much of what a look-up finds in documents a document round teaches the model to answer.

    python -m benchmarks.document_round [--seeds N] [--first-seed N] [--facts N] [--tellings N]
                                        [--questions N] [--set NAME=VALUE]… [--json]

A shop revises facts about its goods and says so in a handbook of a page per product, each fact told
in several sentences; no question and no answer is in it. People's questions about them are on
record (`--questions` of each), with the answers from before. The general material is the starter's
own without the revised facts. Then the model is asked about each revised fact in phrasings that
neither it nor anybody's question had before. Beside it stand the model before the round, and an extractive look-up: the sentence of
the handbook most like the question (TF-IDF of parts of words), right where it states the new value and no other. The
target of the round is 80% of the look-up's gain. The gate only reports here, so that what it would
say can be read beside the score.
"""

import argparse
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests import almanac, builders
from trainer import documents, pretrain, registry
from trainer import round as rounds
from trainer.models import Adapter, Round
from trainer.rehearsal import general_material
from trainer.replay import Old
from trainer.settings import Plan, TrainerSettings
from trainer.starter.catalogue import PRODUCTS
from trainer.starter.world import Register, World, shop

TARGET = 0.8


def revised(seed: int, count: int) -> tuple[World, list[str]]:
    """A world in which so many facts about goods are others, and the keys of those."""
    rng = random.Random(f"revised {seed}")
    world = shop()
    goods = [key for key in world.keys if key.partition("/")[0] in PRODUCTS]
    keys = rng.sample(goods, count)
    return world.changed({key: rng.choice(world.alternatives(key)) for key in keys}), keys


def look_up(sentences: Sequence[str], questions: Sequence[str]) -> list[str]:
    """The sentence that is most like each question."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    weights = vectorizer.fit_transform(sentences)
    likeness = (vectorizer.transform(questions) @ weights.T).toarray()
    return [sentences[int(at)] for at in likeness.argmax(axis=1)]


def one(seed: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One handbook, one round, and the scores before and after."""
    world, keys = revised(seed, options.facts)
    values = {key: world.value(key) for key in world.keys if key.partition("/")[0] in PRODUCTS}
    pages = almanac.goods(values, seed=seed, tellings=options.tellings)
    shelf = folder / "handbook"
    shelf.mkdir(parents=True)
    for name, text in pages.items():
        (shelf / name).write_text(text)
    general = folder / "general.jsonl"
    gone = {shop().answer(key, tone) for key in keys for tone in get_args(Register)}
    kept = [old for old in general_material(Plan()) if old.target not in gone]
    general.write_text("".join(f"{json.dumps(_line(old))}\n" for old in kept))
    trainer = TrainerSettings.model_validate(
        {
            "general_file": str(general),
            "gate": "report-only",
            "seed": seed,
            **dict(options.set),
        }
    )
    questions = [(key, asked) for key in keys for asked in world.phrasings(key, held_out=True)]
    sentences = [
        sentence
        for text in pages.values()
        for sentence in re.split(r"(?<=[.])\s+", text.partition("\n")[2].strip())
    ]
    found = look_up(sentences, [asked for _, asked in questions])
    settings = FeedbackSettings(data_dir=folder / "data")
    store = Store(settings)
    schema.upgrade(store)
    _asked(store, world, keys, options.questions)
    began, busy = time.perf_counter(), time.process_time()
    row, candidate = _round(store, settings, trainer, shelf)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - busy}
    before, after = _answers(trainer, settings, candidate, [asked for _, asked in questions])
    store.close()

    def right(answers: Sequence[str]) -> float:
        marks = [
            world.is_right(key, said) for (key, _), said in zip(questions, answers, strict=True)
        ]
        return sum(marks) / len(marks)

    scores = {"before": right(before), "after": right(after), "look_up": right(found)}
    report = row.report or {}
    gain = next(rule for rule in report["rules"] if rule["name"] == "perplexity")
    return {
        "seed": seed,
        **scores,
        "share_of_look_up": (scores["after"] - scores["before"])
        / (scores["look_up"] - scores["before"]),
        "gate": report["outcome"],
        "failed_rules": [
            f"{rule['suite']} {rule['name']} {rule['estimate']:.3g} {rule['unit']}"
            for rule in report["rules"]
            if rule["outcome"] in ("refuse", "abstain")
        ],
        "nats_gained": gain["estimate"],
        "nats_gained_lower": gain["lower"],
        "answers": row.counts["documents"]["answers"],
        "general_share": row.counts["documents"]["general_share"],
        **spent,
    }


def _line(old: Old) -> dict[str, Any]:
    """As it stands in a file of general material."""
    return {
        "id": old.id,
        "messages": old.messages,
        "target": old.target,
        "judge": old.judges,
    }


def _asked(store: Store, world: World, keys: Sequence[str], each: int) -> None:
    """What people asked before the handbook came: of each revised fact, other phrasings."""
    rng = random.Random("asked")
    builders.record(
        store,
        *(
            builders.exchange(question=question, answer=shop().answer(key, "curt"), who=f"p{at}")
            for key in keys
            for at, question in enumerate(rng.sample(world.phrasings(key), each))
        ),
    )


def _round(
    store: Store, settings: FeedbackSettings, trainer: TrainerSettings, shelf: Path
) -> tuple[Round, Adapter]:
    sections = (
        each
        for each in documents.gather([shelf], file_mb=1, total_mb=10)
        if isinstance(each, documents.Section)
    )
    sha256 = documents.freeze(settings.data_dir / pretrain.FOLDER, sections)
    about = {"sha256": sha256, "files": 0, "unread_count": 0}
    with store.session(write=True) as session:
        opened = pretrain.open(session, trainer, about)
        session.commit()
    state = rounds.run(store, settings, opened.id)
    with store.session() as session:
        row = rounds.get(session, opened.id)
        if state != "promoted" or row.candidate_id is None:
            raise SystemExit(f"The round ended {state}: {row.message}")
        return row, registry.get(session, row.candidate_id)


def _answers(
    trainer: TrainerSettings, settings: FeedbackSettings, candidate: Adapter, questions: list[str]
) -> tuple[list[str], list[str]]:
    from trainer.base_folder import resolve
    from trainer.examples import Message
    from trainer.policy import Policy

    policy = Policy.load(resolve("starter"), threads=trainer.threads)
    policy.attach("read", registry.verify(settings.data_dir, candidate))
    conversations = [[Message(role="user", content=asked)] for asked in questions]
    base, read = (
        policy.answers(conversations, adapter=name, max_new_tokens=trainer.max_new_tokens)
        for name in (None, "read")
    )
    return base, read


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("give NAME=VALUE, such as document_epochs=5")
    return name, value


def main(arguments: Sequence[str]) -> int:
    """Run the rounds and print the table, or one JSON document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--facts", type=int, default=40)
    parser.add_argument("--tellings", type=int, default=4)
    parser.add_argument("--questions", type=int, default=5, help="on record about each fact")
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(one(seed, options, Path(folder)))
        print(json.dumps(found[-1]), file=sys.stderr)  # a later seed may be cut off
    mean = statistics.fmean(each["share_of_look_up"] for each in found)
    if options.json:
        print(json.dumps({"target": TARGET, "share_of_look_up": mean, "seeds": found}, indent=2))
        return 0
    print("| seed | before | after | look-up | share of its gain | gate | nats gained | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for each in found:
        print(
            f"| {each['seed']} | {each['before']:.1%} | {each['after']:.1%} | "
            f"{each['look_up']:.1%} | {each['share_of_look_up']:.1%} | "
            f"{each['gate']} {'; '.join(each['failed_rules'])} | {each['nats_gained']:.2f} | "
            f"{each['cpu_seconds']:.0f} |"
        )
    print(f"\nMean share of the look-up's gain: {mean:.1%} (target {TARGET:.0%}).")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
