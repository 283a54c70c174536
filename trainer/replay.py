"""Old material beside the new, so that learning one thing does not cost another. Pure, seeded.

Rehearsal is the plainest cure for catastrophic forgetting (Robins, 1995, "Catastrophic forgetting,
rehearsal and pseudorehearsal"). What a reviewed correction replaces is taken out first: replaying
an answer that is no longer true would teach it again.

What is about to be forgotten is best rehearsed first: some of the draw may go to what surprises the
model, the highest loss of several times as many candidates (SuRe: Hazard et al., 2025,
"Surprise-driven prioritised replay for continual LLM learning"; after Isele and Cosgun, 2018). A
high loss also finds what is wrong, so what is doubtful takes no part in it. `trainer.surprise` tells
how surprising something is.
"""

import hashlib
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from feedback.harvest import Word
from feedback.words import content_words, normalised
from trainer.examples import Example, Message, overrules

PAST_TO_GENERAL = 1
"""Two parts past feedback to one part general material, where there is enough of both."""
CANDIDATES = 4
"""Of so many times as many candidates the most surprising are replayed."""
TRUSTED = 0.5
"""What is less likely to be right is never chosen because it surprises."""

Sampling = Literal["uniform", "half", "surprise"]


@dataclass(frozen=True)
class Old:
    """One thing that the model is known to answer rightly.

    Attributes:
        id: names it across rounds.
        messages: the conversation before the answer.
        target: the right answer.
        cluster: items of one cluster are not independent.
        origin: ``past`` feedback or ``general`` material.
        feedback_ids: for past feedback, where it came from.
        judges: False for what is rehearsed and never held against a round.
        trust: from 0 to 1, how likely it is that the answer is right.
    """

    id: str
    messages: tuple[Message, ...]
    target: str
    cluster: str
    origin: str
    feedback_ids: tuple[str, ...] = ()
    judges: bool = True
    trust: float = 1.0


Losses = Callable[[Sequence[Old]], Sequence[float]]
"""How much the live model is surprised: nats per token of each answer."""
_Draw = Callable[[Sequence[Old], int], list[Old]]
"""Draws so many by chance."""


def retired(olds: Sequence[Old], reviewed: Sequence[Word]) -> dict[str, Word]:
    """Return the ids of old material that a reviewed correction replaces, each with that one.

    The same question with another answer is replaced too, whatever the wording.
    """
    corrections = [word for word in reviewed if word.correction is not None]
    by_question = {_question(word.messages): word for word in corrections}
    by_subject: dict[str, list[Word]] = {}
    seen = set()
    for word in corrections:
        correction = word.correction or ""
        shared = content_words(word.messages[-1]["content"]) & content_words(correction)
        if (correction, shared) in seen:
            continue  # people who say the same of the same thing are looked at once
        seen.add((correction, shared))
        for subject in shared:
            by_subject.setdefault(subject, []).append(word)
    found = {}
    for old in olds:
        same = by_question.get(_question(old.messages))
        if same and normalised(same.correction or "") != normalised(old.target):
            found[old.id] = same
            continue
        near = {
            id(word): word
            for subject in content_words(old.target)
            for word in by_subject.get(subject, ())
        }
        for word in near.values():
            if overrules(word.messages, word.correction or "", old.target):
                found[old.id] = word
                break
    return found


def mix(
    new: Sequence[Example],
    olds: Sequence[Old],
    *,
    share: float,
    minimum: int = 0,
    seed: int,
    sampling: Sampling = "uniform",
    losses: Losses | None = None,
    first: frozenset[str] = frozenset(),
    passes: int = 1,
) -> list[Example]:
    """Return the new examples with old material beside them, shuffled.

    Args:
        new: this round's examples.
        olds: what may be replayed.
        share: old demonstrations among all of them, 0 for none.
        minimum: at least so many, unless the share is 0. More than there is cannot be taken;
            nothing is taken twice.
        seed: makes the draw and the order reproducible.
        sampling: by chance, by surprise, or one half so and one half so.
        losses: asked for the candidates where surprise has a say; without it, chance decides.
        first: ids of what is replayed before chance or surprise have a say, as far as there is
            room.
        passes: that the round makes; where there is enough, each shows other old examples.

    Returns:
        Every new example once, and ``n * share / (1 - share)`` old ones where there are so many;
        n counts the new demonstrations as often as they are shown, or everything new where there is none: preferences and
        verdicts compare answers within a prompt, which needs no counterweight of its own.
    """
    draw = random.Random(seed)
    shown = sum(each.repeats for each in new if each.kind == "demonstration") or len(new)
    wanted = max(round(shown * share / (1 - share)), minimum if share else 0)
    wished = [old for old in olds if old.id in first]
    sure = draw.sample(wished, min(len(wished), wanted)) if wished else []
    taken = {old.id for old in sure}
    olds = [old for old in olds if old.id not in taken]
    wanted -= len(sure)
    past = [old for old in olds if old.origin == "past"]
    general = [old for old in olds if old.origin == "general"]
    from_past = min(len(past), wanted * PAST_TO_GENERAL // (PAST_TO_GENERAL + 1))
    from_general = min(len(general), wanted - from_past)
    from_past = min(len(past), wanted - from_general)
    found = [_replayed(old) for old in sure]
    for origin, a_pass in ((past, from_past), (general, from_general)):
        count = min(len(origin), a_pass * passes)
        by_chance = partial(_spread if origin is past else _as_it_is, draw=draw)
        if losses is not None and sampling != "uniform":
            chosen = _surprising(origin, count, losses, by_chance, whole=sampling == "surprise")
        else:
            chosen = by_chance(origin, count)
        found += taking_turns([_replayed(old) for old in chosen], a_pass, passes)
    return _shuffled(new, found, draw)


def everything(
    new: Sequence[Example], olds: Sequence[Old], *, share: float, seed: int
) -> list[Example]:
    """Return the new examples with all of the past, for a round that starts afresh.

    Args:
        new: this round's examples.
        olds: past feedback, all of which is taken, and general material.
        share: general material among all demonstrations, 0 for none, as far as there is any.
        seed: makes the draw and the order reproducible.
    """
    draw = random.Random(seed)
    past = [old for old in olds if old.origin == "past"]
    general = [old for old in olds if old.origin == "general"]
    shown = sum(example.kind == "demonstration" for example in new) + len(past)
    wanted = min(len(general), round((shown or len(new)) * share / (1 - share)))
    olds = [*past, *draw.sample(general, wanted)]
    return _shuffled(new, [_replayed(old) for old in olds], draw)


def _shuffled(
    new: Sequence[Example], olds: Sequence[Example], draw: random.Random
) -> list[Example]:
    mixed = [*new, *olds]
    draw.shuffle(mixed)
    return mixed


def _surprising(
    olds: Sequence[Old], count: int, losses: Losses, by_chance: _Draw, *, whole: bool
) -> list[Old]:
    """Draw so many, all or half of them by surprise.

    The candidates are drawn as all are, so that no fact with many questions takes every place.
    """
    by_loss = count if whole else count // 2
    chosen = by_chance(olds, count - by_loss)
    taken = {old.id for old in chosen}
    rest = [old for old in olds if old.id not in taken]
    sound = [old for old in rest if old.trust >= TRUSTED]
    candidates = by_chance(sound, min(len(sound), CANDIDATES * by_loss))
    values = losses(candidates) if candidates else ()
    ranked = sorted(zip(values, candidates, strict=True), key=lambda pair: -pair[0])
    found = [old for _, old in ranked[:by_loss]]
    if len(found) < by_loss:  # the doubtful make up the number, as they would by chance
        taken = {old.id for old in found}
        found += by_chance([o for o in rest if o.id not in taken], by_loss - len(found))
    return chosen + found


def _as_it_is(olds: Sequence[Old], count: int, *, draw: random.Random) -> list[Old]:
    """Draw so many; one answer, such as not to know, may be right to ever so many questions."""
    return draw.sample(olds, count)


def _spread(olds: Sequence[Old], count: int, *, draw: random.Random) -> list[Old]:
    """Draw so many: half of them evenly over the answers, so that each fact is rehearsed, however
    many questions it has; half by chance, so that what is often asked is rehearsed more."""
    by_answer: dict[str, list[Old]] = {}
    for old in draw.sample(olds, len(olds)):
        by_answer.setdefault(old.target, []).append(old)
    layers = itertools.zip_longest(*by_answer.values())
    evenly = [old for layer in layers for old in layer if old is not None]
    half = (count + 1) // 2
    return evenly[:half] + draw.sample(evenly[half:], count - half)


def taking_turns(olds: list[Example], a_pass: int, passes: int) -> list[Example]:
    """Return the same, of which each pass shows so many; some are in all, where there are too few.

    Args:
        olds: what is shown once in `passes`.
        a_pass: how many each pass should show.
        passes: that the round makes.
    """
    if passes == 1:
        return olds
    always = (a_pass * passes - len(olds)) // (passes - 1)
    return [*olds[:always], *(replace(each, in_turn=passes) for each in olds[always:])]


def for_judging(old_id: str, *, share: float) -> bool:
    """Whether an old item is kept for the gate; the same answer in every round.

    What is replayed cannot also judge, or the gate would measure memory and not retention.
    """
    return place(old_id) < share


def place(name: str) -> float:
    """Where a name falls between 0 and 1: like chance, and always the same."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def _question(messages: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Everything that was asked: "And on Sunday?" alone is asked of many things."""
    return tuple(normalised(str(turn["content"])) for turn in messages if turn["role"] == "user")


def _replayed(old: Old) -> Example:
    example = Example(
        kind="demonstration",
        messages=old.messages,
        target=old.target,
        feedback_ids=old.feedback_ids,
        cluster=old.cluster,
    )
    return replace(example, source="past" if old.origin == "past" else "general")
