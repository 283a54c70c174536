"""Asks every adapter of a data folder again what the ledger says it was asked, and counts anew.

Independent of the trainer on purpose: the adapters are read from disk with PEFT, answers come from
Transformers' own `generate`, questions straight from the database and the shop's files, and what is
right is told by a few lines here. Knows no gate.
"""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH = 64
NEW_TOKENS = 48
BASE = "base"
Asked = tuple[list[dict[str, str]], str, str]
"""A conversation, how its answer is checked, and what is expected."""


@dataclass(frozen=True)
class Recount:
    """How the ledger fared.

    Attributes:
        adapters: that were asked again, the base model among them.
        items: different questions.
        marks: rights and wrongs that were compared, two for each of the ledger's lines.
        unknown: marks whose question is kept nowhere, so that nobody can ask it again.
        differ: marks that came out otherwise, by round, adapter and item.
    """

    adapters: int
    items: int
    marks: int
    unknown: int
    differ: tuple[str, ...]


def recounted(
    data_dir: Path,
    suites: Sequence[tuple[float, Sequence[Mapping[str, Any]]]],
    ledgers: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Recount:
    """Ask again and compare.

    Args:
        data_dir: of a server that is stopped.
        suites: since when (Unix seconds) which protected items were in force, oldest first.
        ledgers: by round, its lines as `heed ledger --round ID --json` prints them.
    """
    kept = _kept(data_dir)
    wanted: dict[str, dict[str, Asked]] = {}
    marks: list[tuple[str, str, Asked, bool]] = []
    unknown = 0
    for round_id, lines in ledgers.items():
        opened = kept.opened[round_id]
        protected = {
            (item["suite"], item["id"]): item
            for item in [each for since, each in suites if since <= opened][-1]
        }
        for line in lines:
            asked = _asked(line, protected, kept.said)
            if asked is None:
                unknown += 2
                continue
            for adapter, right in (
                (line["incumbent"] or BASE, line["right_before"]),
                (line["adapter"], line["right_after"]),
            ):
                wanted.setdefault(adapter, {})[json.dumps(asked[0])] = asked
                marks.append((f"{round_id} {adapter} {line['id']}", adapter, asked, right))
    answers = {
        adapter: _answers(kept.folders.get(adapter), [asked[0] for asked in each.values()])
        for adapter, each in wanted.items()
    }
    return Recount(
        adapters=len(wanted),
        items=len({text for each in wanted.values() for text in each}),
        marks=len(marks),
        unknown=unknown,
        differ=tuple(
            name
            for name, adapter, asked, right in marks
            if _right(answers[adapter][json.dumps(asked[0])], asked) is not right
        ),
    )


@dataclass(frozen=True)
class _Kept:
    opened: dict[str, float]
    folders: dict[str, Path]
    said: dict[str, tuple[list[dict[str, str]], str]]


def _kept(data_dir: Path) -> _Kept:
    """When rounds opened, where adapters lie, and what was asked and answered rightly, by id."""
    import pysqlite3

    said: dict[str, tuple[list[dict[str, str]], str]] = {}
    with closing(pysqlite3.connect(data_dir / "heed.sqlite3")) as database:
        opened = dict(database.execute("SELECT id, started_at FROM round"))
        folders = {
            name: data_dir / "adapters" / digest
            for name, digest in database.execute("SELECT id, digest FROM adapter")
        }
        for name, messages, target in database.execute(
            "SELECT id, messages, target FROM pastexample"
        ):
            said[name] = (json.loads(messages), target)
        for name, messages, correction, choices, choice in database.execute(
            "SELECT feedback.id, exchange.messages, feedback.correction, exchange.choices, "
            "feedback.choice FROM feedback JOIN exchange ON exchange.id = feedback.exchange_id"
        ):
            answer = correction or json.loads(choices)[choice]["text"]
            said[name] = (json.loads(messages), answer)
    for line in (data_dir / "suites" / "general.jsonl").read_text().splitlines():
        row = json.loads(line)
        said[row["id"]] = (row["messages"], row["target"])
    return _Kept(opened, folders, said)


def _asked(
    line: Mapping[str, Any],
    protected: Mapping[tuple[str, str], Mapping[str, Any]],
    said: Mapping[str, tuple[list[dict[str, str]], str]],
) -> Asked | None:
    item = protected.get((line["suite"], line["item"]))
    if item is not None:
        return [{"role": "user", "content": item["prompt"]}], item["check"], item["expected"]
    found = said.get(line["item"])
    return None if found is None else (found[0], "exact", found[1])


def _answers(folder: Path | None, conversations: list[list[dict[str, str]]]) -> dict[str, str]:
    """Greedy answers by conversation."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine are ten times slower

    base = Path(__file__).parent.parent / "trainer" / "starter" / "weights"
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if folder is not None:
        with warnings.catch_warnings():
            # PEFT asks for an attribute that Transformers has renamed.
            warnings.simplefilter("ignore", FutureWarning)
            model = PeftModel.from_pretrained(model, str(folder))
    model.eval()
    rendered = [
        tokenizer.apply_chat_template(each, tokenize=False, add_generation_prompt=True)
        for each in conversations
    ]
    order = sorted(range(len(rendered)), key=lambda at: len(rendered[at]))
    found: dict[str, str] = {}
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = tokenizer(
            [rendered[at] for at in rows],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        with torch.inference_mode():
            made = model.generate(**batch, max_new_tokens=NEW_TOKENS, do_sample=False)
        texts = tokenizer.batch_decode(
            made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        found |= {
            json.dumps(conversations[at]): text.strip()
            for at, text in zip(rows, texts, strict=True)
        }
    return found


def _right(answer: str, asked: Asked) -> bool:
    said, wanted = (_plain(text) for text in (answer, asked[2]))
    if asked[1] in ("exact", "label"):
        return said.rstrip(" .!?") == wanted.rstrip(" .!?")
    return any(
        re.search(rf"(?<![\w.,]){re.escape(part)}(?!\w)", f" {said} ") for part in wanted.split("|")
    )


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").lower().split())
