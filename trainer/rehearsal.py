"""What stands for everything that nobody gives feedback on: ordinary questions with their answers.

The shop's own file comes first. Without one the live model's own answers serve (self-synthesised
rehearsal: Huang et al., 2024, https://arxiv.org/abs/2403.01244): what it says anyway is what it
should go on saying. Those were logged, or it is asked for them: what people asked earlier versions,
and, where little was asked, what the base model thinks up when it is shown where a question would
stand (Xu et al., 2024, "Magpie"). No torch of its own.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlmodel import Session, col, select

from feedback.errors import Invalid
from feedback.models import Exchange, Feedback
from feedback.settings import PROJECT
from feedback.words import normalised
from trainer.answered import Answered
from trainer.examples import Message, turns
from trainer.replay import Old
from trainer.settings import Plan
from trainer.speaking import Fits, Lengths

GENERAL = Path("suites") / "general.jsonl"
"""Where a shop may keep its general material, within the data folder."""
SELF_SYNTHESISED = 400
"""At most so many of the model's logged answers stand in for general material."""
INVENTED_TRIES = 3
"""So many times as many questions are thought up as are wanted: some repeat, some end nowhere."""


@dataclass(frozen=True)
class Asked:
    """A question without an answer of the live model: who asked it, and in what conversation."""

    messages: tuple[Message, ...]
    cluster: str


@dataclass(frozen=True)
class Material:
    """What there is to rehearse, and what the live model could be asked if that is too little.

    Attributes:
        olds: questions with their answers.
        asked: questions of people, without an answer of the live model.
        wanted: so many more answers.
        gone: ids of what a reviewed correction has replaced.
    """

    olds: tuple[Old, ...] = ()
    asked: tuple[Asked, ...] = ()
    wanted: int = 0
    gone: frozenset[str] = frozenset()


class Speaker(Fits, Lengths, Protocol):
    """What is needed of a model; `trainer.policy.Policy` has it."""

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
        report: Callable[[int, int], None] | None = None,
    ) -> list[str]:
        """Greedy answers, in order; tells how many are done, of how many."""

    def questions(self, count: int, *, max_new_tokens: int, seed: int) -> list[str]:
        """What the base model thinks a user might ask."""


def gather(
    session: Session,
    plan: Plan,
    data_dir: Path,
    incumbent_id: str | None,
    *,
    gone: Collection[str] = (),
) -> Material:
    """Read what a round may rehearse. Writes nothing.

    Args:
        session: of the store.
        plan: what is rehearsed.
        data_dir: where the shop may keep material of its own.
        incumbent_id: whose answers are its own; None for the base model.
        gone: ids of what a reviewed correction has replaced.

    Raises:
        Invalid: the general file is missing or faulty.
    """
    general = [] if plan.rehearsal == "own" else general_material(plan, data_dir)
    if general or plan.rehearsal == "general":
        return Material(olds=tuple(old for old in general if old.id not in gone))
    own = [old for old in _own_answers(session, incumbent_id) if old.id not in gone]
    wanted = max(0, plan.rehearsal_generated - len(own))
    known = {_question(old.messages) for old in own}
    asked = _asked(session, incumbent_id, known, wanted)
    return Material(tuple(own), tuple(asked), wanted, frozenset(gone))


def generated(
    speaker: Speaker,
    material: Material,
    plan: Plan,
    *,
    adapter: str | None,
    remembered: Answered,
    report: Callable[[int, int], None] | None = None,
) -> list[Old]:
    """Let the live model answer what is wanted beyond its logged answers.

    An answer that was cut off is left out: it would teach to stop there. None of these answers
    judges the round, since nobody ever said that they are right.

    Args:
        speaker: the model.
        material: what was gathered.
        plan: the seed, and where answers end.
        adapter: the live one's name in the speaker; None for the base model.
        remembered: what it has answered before.
        report: told how many answers are done, of how many.
    """
    asked = [each for each in material.asked if _fits(speaker, each, plan)]
    if len(asked) < material.wanted:
        known = {_question(old.messages) for old in material.olds}
        known |= {_question(each.messages) for each in asked}
        asked += [
            each
            for each in _invented(speaker, plan, known, material.wanted - len(asked))
            if _fits(speaker, each, plan)
        ]

    def ask(numbers: Sequence[int]) -> list[str]:
        return speaker.answers(
            [asked[number].messages for number in numbers],
            adapter=adapter,
            max_new_tokens=plan.max_new_tokens,
            report=report,
        )

    said = remembered.answers([each.messages for each in asked], ask) if asked else []
    tokens = speaker.lengths([(a.messages, text) for a, text in zip(asked, said, strict=True)])
    made = [
        Old(
            id=_name(each, text),
            messages=each.messages,
            target=text,
            cluster=each.cluster,
            origin="general",
            judges=False,
        )
        for each, text, length in zip(asked, said, tokens, strict=True)
        if text and length <= plan.max_new_tokens
    ]
    return [old for old in made if old.id not in material.gone]


def unremarked() -> Any:
    """Return the query for answered questions that nobody remarked on, the latest first."""
    return (
        select(Exchange)
        .join(Feedback, col(Feedback.exchange_id) == Exchange.id, isouter=True)
        .where(
            Exchange.project_id == PROJECT,
            Exchange.origin == "chat",
            Exchange.state == "complete",
            col(Feedback.id).is_(None),
        )
        .order_by(col(Exchange.id).desc())
    )


def general_material(plan: Plan, data_dir: Path | None = None) -> list[Old]:
    """Return the ordinary questions with their answers that the shop keeps for replay.

    The setting names their file; else ``suites/general.jsonl`` in the data folder, where there is
    one; else the starter model brings its own.

    Raises:
        Invalid: the file is missing or a line of it is faulty; names the line.
    """
    rows: list[dict[str, Any]]
    kept = data_dir / GENERAL if data_dir is not None else None
    if plan.general_file is not None:
        rows = _lines(Path(plan.general_file), "trainer.general_file")
    elif kept is not None and kept.exists():
        rows = _lines(kept, "the data folder")
    elif plan.base_model == "starter":
        from trainer.starter.pool import general_pool
        from trainer.starter.rehearsed import rehearsed

        rows = [{**row} for row in (*general_pool(), *rehearsed())]
    else:
        rows = []
    return [
        Old(
            id=str(row["id"]),
            messages=turns(row["messages"]),
            target=str(row["target"]),
            cluster=str(row["id"]),  # facts are enumerated; what is sampled is the question
            origin="general",
            judges=bool(row.get("judge", True)),
        )
        for row in rows
    ]


def _own_answers(session: Session, incumbent_id: str | None) -> list[Old]:
    """The incumbent's answers that nobody remarked on."""
    query = (
        unremarked().where(Exchange.adapter_id == (incumbent_id or "base")).limit(SELF_SYNTHESISED)
    )
    return [
        Old(
            id=row.id,
            messages=turns(row.messages),
            target=str(row.choices[0]["text"]),
            cluster=row.person_id,
            origin="general",
        )
        for row in session.exec(query)
    ]


def _asked(
    session: Session, incumbent_id: str | None, known: set[str], wanted: int
) -> Iterable[Asked]:
    """What people asked earlier versions, each question once, the latest first."""
    if not wanted:
        return
    known = set(known)
    # A popular question is asked again and again; beyond this many rows there may be few new ones.
    query = unremarked().where(Exchange.adapter_id != (incumbent_id or "base"))
    for row in session.exec(query.limit(4 * wanted)):
        messages = turns(row.messages)
        if _question(messages) not in known and wanted:
            known.add(_question(messages))
            wanted -= 1
            yield Asked(messages, row.person_id)


def _invented(speaker: Speaker, plan: Plan, known: set[str], wanted: int) -> list[Asked]:
    """Questions that the base model thinks up, each once, and none that is known."""
    texts = speaker.questions(
        INVENTED_TRIES * wanted, max_new_tokens=plan.max_new_tokens, seed=plan.seed
    )
    found: dict[str, Asked] = {}
    for text in texts:
        messages = (Message(role="user", content=text),)
        question = _question(messages)
        if text and question not in known:
            found.setdefault(question, Asked(messages, f"invented {text}"))
    return list(found.values())[:wanted]


def _fits(speaker: Speaker, asked: Asked, plan: Plan) -> bool:
    [fits] = speaker.fits([(asked.messages, "")], max_new_tokens=plan.max_new_tokens)
    return fits


def _name(asked: Asked, answer: str) -> str:
    """Names question and answer: another answer to the same question is another thing to rehearse."""
    said = json.dumps([list(asked.messages), answer], sort_keys=True)
    return f"own_{hashlib.sha256(said.encode()).hexdigest()[:24]}"


def _question(messages: Sequence[Message]) -> str:
    return json.dumps([[turn["role"], normalised(turn["content"])] for turn in messages])


def _lines(path: Path, setting: str) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Invalid(f"{setting} names {path}, which cannot be read: {reason}.") from error
    rows = []
    # Not splitlines(): JSON strings may hold the other characters that it takes for line ends.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        try:
            row = json.loads(line)
            row["id"], turns(row["messages"])[-1]["content"], row["target"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise Invalid(
                f"{path}:{number}: each line is an object with `id`, `messages` and `target`."
            ) from error
        rows.append(row)
    return rows
