"""The deployment's own questions with their right answers, read without taking anything. No torch.

What a round would claim now, and what the live adapter's line of descent has learned: to try models
on. It is read as a round reads it, without personal data; nothing is claimed, and nobody's receipt
changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from feedback import harvest
from feedback.errors import Invalid
from feedback.harvest import Word
from feedback.settings import FeedbackSettings
from feedback.store import Store
from feedback.trust import SIGNAL
from trainer import material, personal, registry
from trainer.examples import Message, turns
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
        known: corrections, liked answers and what has been learned, one for each question and
            person, at most as many as were asked for.
        words: feedback that a round would claim now, for the trial round.
        past: what has been learned and still holds, for the trial round.
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
        live_id = registry.live_id(session)
    with harvest.claimed_for_a_look(store, settings, _LOOKING) as session:
        found = material.gather(
            session, plan, settings.data_dir, round_id=_LOOKING, incumbent_id=live_id
        )
    found = personal.redacted_material(found, settings)
    past = (*found.past, *found.past_for_judging)
    known = _known(found.words, past, most=most, seed=seed)
    if not known:
        raise Invalid(
            "Nobody has settled an answer yet: there is no accepted correction, no liked answer and "
            "no round's material to try models on. Collect feedback and review it "
            "(`heed feedback stats`), or import some (`heed feedback import`)."
        )
    return OwnData(
        known=known,
        words=found.words,
        past=past,
        general=found.general,
        protected=tuple(item for item in found.protected if item.check != "judge"),
    )


def _known(
    words: Sequence[Word], past: Sequence[Old], *, most: int, seed: int
) -> tuple[Known, ...]:
    found: dict[tuple[str, str, str], Known] = {}
    for word in words:
        liked = word.rating is not None and word.rating > 0.5 and word.accepted_by != SIGNAL
        target = word.correction if word.correction is not None else word.answer
        if word.correction is not None or liked:
            _add(found, Known(turns(word.messages), target, word.person_id))
    for old in past:
        _add(found, Known(old.messages, old.target, old.cluster))
    chosen = sorted(found.values(), key=lambda each: place(f"{seed}:{_name(each)}"))[:most]
    return tuple(sorted(chosen, key=_name))


def _add(found: dict[tuple[str, str, str], Known], known: Known) -> None:
    asked = "\n".join(turn["content"] for turn in known.messages)
    found.setdefault((asked, known.target, known.cluster), known)


def _name(known: Known) -> str:
    return "\n".join([*(turn["content"] for turn in known.messages), known.target, known.cluster])
