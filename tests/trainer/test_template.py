"""Chat templates that refuse: what they take otherwise is learned and served, the rest is left out."""

import asyncio
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from feedback.errors import Invalid
from feedback.store import Store
from serving.engines.local import LocalEngine
from tests import builders, random_llama
from tests.trainer.shop import FACTS, corrected, priced, ran
from trainer import base_model, rows, template
from trainer.examples import Example, Message
from trainer.policy import Policy
from trainer.rows import LeftOut
from trainer.template import Refused

NO_SYSTEM = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}"
) + random_llama.TEMPLATE
"""As Gemma's: no turn of the system, and users and assistants take turns."""
SAID = Message(role="system", content="Be brief.")
ASKED = Message(role="user", content="Why?")
TOLD = Message(role="assistant", content="Because.")
BOTH = Message(role="user", content="Be brief.\n\nWhy?")
REFUSED = "The base model's chat template refuses the messages: Conversation roles must alternate"


@pytest.fixture
def strict(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with such a template."""
    folder = shutil.copytree(tiny_model, tmp_path / "strict")
    (folder / "chat_template.jinja").write_text(NO_SYSTEM)
    return folder


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([SAID, ASKED], [BOTH]),
        ([SAID, SAID, ASKED], [{**BOTH, "content": "Be brief.\n\nBe brief.\n\nWhy?"}]),
        ([ASKED, TOLD, SAID, ASKED], [ASKED, TOLD, BOTH]),
        ([SAID, TOLD, ASKED], [TOLD, BOTH]),
        ([ASKED, TOLD, SAID], [ASKED, TOLD, {"role": "user", "content": "Be brief."}]),
        ([ASKED, TOLD], [ASKED, TOLD]),
    ],
)
def test_what_the_system_says_stands_before_what_the_user_says_next(
    turns: list[Message], expected: list[dict[str, str]]
) -> None:
    assert template.folded(turns) == expected


def test_a_system_turn_is_learned_and_served_in_the_same_place(
    strict: Path, tiny_model: Path
) -> None:
    base = base_model.load(strict, dtype=torch.float32)
    engine = LocalEngine(str(strict), threads=1)
    asyncio.run(engine.start())
    try:
        served = engine.prepare([{"role": "system", "content": "Be brief."}, ASKED]).token_ids  # type: ignore[list-item]
    finally:
        asyncio.run(engine.stop())
    [trained, plain] = base.encoder.prompts([[SAID, ASKED], [BOTH]])
    assert trained == plain == list(served)
    assert base.encoder.pairs([([SAID, ASKED], "Yes.")]) == base.encoder.pairs([([BOTH], "Yes.")])
    lenient = base_model.load(tiny_model, dtype=torch.float32)
    assert lenient.encoder.prompts([[SAID, ASKED]]) != [plain], "folded where nobody refuses"


def test_what_is_refused_either_way_says_why_whoever_asks(strict: Path) -> None:
    base = base_model.load(strict, dtype=torch.float32)
    with pytest.raises(Refused, match="Conversation roles must alternate"):
        base.encoder.prompts([[ASKED], [ASKED, ASKED]])
    engine = LocalEngine(str(strict), threads=1)
    asyncio.run(engine.start())
    try:
        with pytest.raises(Invalid, match="refuses the messages: Conversation roles") as refused:
            engine.prepare([ASKED, ASKED])  # type: ignore[list-item]
    finally:
        asyncio.run(engine.stop())
    assert (refused.value.code, refused.value.param) == ("invalid", "messages")


def test_refused_examples_are_left_out_and_counted_beside_those_that_are_too_long(
    strict: Path,
) -> None:
    base = base_model.load(strict, dtype=torch.float32)
    twice = (ASKED, ASKED)
    found, left_out = rows.build(
        [
            Example("demonstration", twice, "No."),
            Example("demonstration", (SAID, ASKED), "Yes."),
            Example("preference", twice, "Yes.", rejected="No."),
            Example("preference", (ASKED,), "Yes.", rejected="No."),
            Example("demonstration", (ASKED,), "xyzq " * 90),
        ],
        base.encoder,
        context_tokens=128,
        objective_weights={"demonstration": 1, "preference": 1, "verdict": 1},
    )
    assert left_out == LeftOut(too_long=1, refused=2, why=REFUSED)
    texts = [
        [base.tokenizer.decode(ids, skip_special_tokens=True) for ids in r.branches] for r in found
    ]
    assert texts == [["Yes."], ["Yes.", "No."]]


def test_what_cannot_be_asked_is_answered_with_nothing_and_fits_nowhere(strict: Path) -> None:
    policy = Policy.load(strict, threads=1)
    talks = [[ASKED], [ASKED, ASKED], [Message(role="user", content="xyzq " * 90)], [SAID, ASKED]]
    assert policy.fits([(talk, "Yes.") for talk in talks]) == [True, False, False, True]
    ask = partial(policy.answers, adapter=None, max_new_tokens=4)
    alone = ask([talks[0], talks[3]])
    for guesses in (None, [None, "No.", "No.", "Yes."]):
        assert ask(talks, guesses=guesses) == [alone[0], "", "", alone[1]]


def in_turns(store: Store, *turns: Message, who: str, correction: str) -> str:
    """Somebody corrects the answer to a conversation, and a reviewer accepts that."""
    about = builders.recorded(store, who=who, messages=[dict(turn) for turn in turns])
    said = builders.say(store, who, completion_id=about, correction=correction)
    builders.decide(store, said, "accept")
    return said


@pytest.mark.parametrize("held_out_share", [0.01, 0.9])
def test_a_round_learns_from_system_turns_and_says_what_else_the_template_refused(
    store: Store, strict: Path, held_out_share: float
) -> None:
    for name in FACTS[:4]:
        priced(store, name)
    in_turns(store, SAID, ASKED, who="ann", correction="Because it is.")
    refused = [
        in_turns(store, ASKED, ASKED, who="ben", correction="Because."),
        in_turns(store, ASKED, ASKED, ASKED, who="cy", correction="So it is."),
    ]
    row = ran(store, strict, held_out_share=held_out_share, gate_folds=0)
    assert row.state == "promoted", row.message
    for each in refused:
        told = builders.receipt_of(store, each)
        assert (told.status, told.role) == ("refused", None)
        assert told.reason == f"The base model cannot learn it. {REFUSED}"
    assert row.counts["unfit"] == 2
    corrected(store, "Is it open?", "Until six.", who="dee")
    assert ran(store, strict, held_out_share=0.01).state == "promoted", "it failed a later round"


def test_old_material_that_cannot_be_asked_or_learned_is_left_out_and_counted(
    store: Store, strict: Path, tmp_path: Path
) -> None:
    general, protected = tmp_path / "general.jsonl", tmp_path / "protected.jsonl"
    twice = [dict(ASKED), dict(ASKED)]
    olds = [{"id": f"g{n}", "messages": twice, "target": f"It is {n}."} for n in range(12)]
    general.write_text("".join(f"{json.dumps(each)}\n" for each in olds))
    asked = {"id": "p", "suite": "core", "prompt": "xyzq " * 90, "expected": "^", "check": "regex"}
    protected.write_text(json.dumps(asked))
    for name in FACTS[:4]:
        priced(store, name)
    files = {"general_file": str(general), "protected_file": str(protected)}
    row = ran(store, strict, gate_folds=0, replay_sampling="uniform", **files)
    assert row.state == "promoted", row.message
    notes = " ".join(row.counts["notes"])
    assert f"examples were left out. {REFUSED}" in notes
    assert "items that judge could not be asked" in notes
