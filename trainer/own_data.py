"""The deployment's own questions with their right answers, read without taking anything. No torch.

What a round would claim now, and what earlier rounds have learned: to try models on. Nothing is
claimed, and nobody's receipt changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, select

from feedback import harvest
from feedback.errors import Invalid
from feedback.harvest import Word
from feedback.settings import PROJECT, FeedbackSettings
from feedback.store import Store
from feedback.trust import SIGNAL
from trainer import guarded, rehearsal
from trainer.examples import Message
from trainer.models import PastExample, Retirement
from trainer.replay import Old, place
from trainer.settings import Plan
from trainer.suites import Item

_LOOKING = "rnd_looking"


@dataclass(frozen=True)
class Known:
    """One question that people have settled the answer of.

    Attributes:
        messages: the conversation before the answer.
        target: the right answer.
        cluster: whose word it is.
    """

    messages: tuple[Message, ...]
    target: str
    cluster: str


@dataclass(frozen=True)
class OwnData:
    """What models are tried on.

    Attributes:
        known: corrections, liked answers and what rounds have learned, one for each question and
            person, at most as many as were asked for.
        words: feedback that a round would claim now, for the trial round.
        past: what rounds have learned, for the trial round.
        general: material for replay.
        protected: what no round may break.
    """

    known: tuple[Known, ...]
    words: tuple[Word, ...]
    past: tuple[Old, ...]
    general: tuple[Old, ...]
    protected: tuple[Item, ...]


def read(
    store: Store, settings: FeedbackSettings, plan: Plan, *, most: int, seed: int = 0
) -> OwnData:
    """Read what models are tried on.

    Args:
        store: of the deployment.
        settings: whose word counts.
        plan: names the general and the protected file.
        most: so many known answers at most; which is decided by the seed.
        seed: of that choice.

    Raises:
        Invalid: nobody has settled an answer yet, or a file is faulty.
    """
    with store.session() as session:
        weights = harvest.weigh(session, settings)
        past = _past(session)
        protected = guarded.items(session, plan, Path(settings.data_dir))
    with store.session(write=True) as session:
        harvest.claim(session, settings, _LOOKING, weights)
        words = harvest.words(session, _LOOKING)
        session.rollback()
    known = _known(words, past, most=most, seed=seed)
    if not known:
        raise Invalid(
            "Nobody has settled an answer yet: there is no accepted correction, no liked answer and "
            "no round's material to try models on. Collect feedback and review it "
            "(`heed feedback stats`), or import some (`heed feedback import`)."
        )
    return OwnData(
        known=known,
        words=tuple(words),
        past=tuple(past),
        general=tuple(rehearsal.general_material(plan)),
        protected=tuple(item for item in protected if item.check != "judge"),
    )


def _known(
    words: Sequence[Word], past: Sequence[Old], *, most: int, seed: int
) -> tuple[Known, ...]:
    found: dict[tuple[str, str, str], Known] = {}
    for word in words:
        liked = word.rating is not None and word.rating > 0.5 and word.accepted_by != SIGNAL
        target = word.correction if word.correction is not None else word.answer
        if word.correction is not None or liked:
            messages = tuple(Message(role=m["role"], content=m["content"]) for m in word.messages)
            _add(found, Known(messages, target, word.person_id))
    for old in past:
        _add(found, Known(old.messages, old.target, old.cluster))
    chosen = sorted(found.values(), key=lambda each: place(f"{seed}:{_name(each)}"))[:most]
    return tuple(sorted(chosen, key=_name))


def _add(found: dict[tuple[str, str, str], Known], known: Known) -> None:
    asked = "\n".join(turn["content"] for turn in known.messages)
    found.setdefault((asked, known.target, known.cluster), known)


def _name(known: Known) -> str:
    return "\n".join([*(turn["content"] for turn in known.messages), known.target, known.cluster])


def _past(session: Session) -> list[Old]:
    """What rounds have learned and no later one has replaced."""
    replaced = select(Retirement.past_id)
    rows = session.exec(
        select(PastExample)
        .where(PastExample.project_id == PROJECT, col(PastExample.id).not_in(replaced))
        .order_by(col(PastExample.id))
    )
    return [
        Old(
            id=row.id,
            messages=tuple(Message(role=m["role"], content=m["content"]) for m in row.messages),
            target=row.target,
            cluster=row.cluster,
            origin="past",
            feedback_ids=tuple(row.feedback_ids),
        )
        for row in rows
    ]
