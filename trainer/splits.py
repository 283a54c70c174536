"""Who judges a round and who tunes it: feedback held out, person by person. Pure, seeded.

Knows no database and no torch. What trains is the rest.
"""

from collections import Counter
from collections.abc import Sequence

from feedback.harvest import Word
from feedback.trust import SIGNAL
from trainer import replay
from trainer.settings import Plan

SHARED_MINIMUM = 8
"""With fewer held-out corrections that others share, the gate could not tell a gain from luck."""

FEWEST_MEASURED, MOST_MEASURED = 8, 200
"""Fewer thumbs would tell nothing of how well verdicts are met, and more teach more than they tell."""


def held_out(
    words: Sequence[Word], plan: Plan, *, judged: frozenset[str] = frozenset()
) -> list[Word]:
    """Corrections of a share of the people, by preference those that others also made.

    Nobody judges twice: a round that is tried again with feedback on which an earlier one was
    judged, and not promoted, would sooner or later pass by chance. Whoever judged then trains now.

    A correction that nobody shares can either be learned or judge, not both; it is learned, unless
    too few are left to judge by. Of those that several people made at most a quarter judges, so that
    no fact is left with too few to learn it from.

    Args:
        words: what a round may work with, in a fixed order.
        plan: the share and the seed.
        judged: ids of feedback that has judged a round before.
    """
    corrections = [word for word in words if word.correction is not None]
    before = {word.person_id for word in words if word.feedback_id in judged}
    wanted = int(plan.held_out_share * len(corrections))
    by_person: dict[str, list[Word]] = {}
    for word in corrections:
        if word.person_id not in before:
            by_person.setdefault(word.person_id, []).append(word)
    people = sorted(by_person, key=lambda person: replay.place(f"{plan.seed}:{person}"))
    made = Counter(word.correction for word in corrections)
    held: Counter[str | None] = Counter()
    shared: list[Word] = []
    for person in people:
        if len(shared) >= wanted:
            break
        theirs = Counter(word.correction for word in by_person[person])
        if all(4 * (held[text] + count) <= made[text] for text, count in theirs.items()):
            held += theirs
            shared += by_person[person]
    if len(shared) >= SHARED_MINIMUM:
        chosen = shared
    else:
        chosen = []
        for person in people:
            if len(chosen) < wanted:
                chosen += by_person[person]
    ids = {word.feedback_id for word in chosen}
    return [word for word in corrections if word.feedback_id in ids]


def measured(
    words: Sequence[Word], held: Sequence[Word], plan: Plan, *, further: bool = True
) -> list[Word]:
    """What else was said by whoever judges and, for a share of the thumbs, by others who only vote.

    Nobody who judges teaches: their thumbs and preferences measure the round. The people are taken in
    the order in which `held_out` takes them. Where the share would be less than `FEWEST_MEASURED`
    thumbs, nobody else is taken: all of them are learned.

    Args:
        words: what a round may work with, in a fixed order.
        held: of them, the corrections that judge.
        plan: the share and the seed.
        further: also take people who judge nothing.
    """
    people = {word.person_id for word in held}
    rest = [word for word in words if word.correction is None]
    if further:
        thumbs = Counter(word.person_id for word in rest if _is_thumb(word))
        wanted = min(int(plan.held_out_share * thumbs.total()), MOST_MEASURED)
        found = sum(thumbs[person] for person in people)
        teachers = {word.person_id for word in words if word.correction is not None}
        free = thumbs.keys() - people - teachers
        for person in sorted(free, key=lambda name: replay.place(f"{plan.seed}:{name}")):
            if FEWEST_MEASURED <= wanted >= found + thumbs[person]:
                people.add(person)
                found += thumbs[person]
    return [word for word in rest if word.person_id in people]


def _is_thumb(word: Word) -> bool:
    return word.rating is not None and word.rating != 0.5 and word.accepted_by != SIGNAL


def dev_wanted(plan: Plan) -> bool:
    """Whether some setting of the plan is chosen on dev; where none is, everything else trains."""
    return plan.step_share == "search" or plan.looks_at_dev


def dev(words: Sequence[Word], held: Sequence[Word], plan: Plan) -> list[Word]:
    """Everything that a share of the people said, for tuning: it neither trains nor judges.

    A correction tells how well something was learned only where others taught it, so nobody is
    taken whose correction is not shared; of what several people made, at most a quarter tunes, and
    half stays to be learned.

    Args:
        words: what a round may work with, in a fixed order.
        held: of them, what judges; whoever judges does not tune.
        plan: the share, the seed, and whether anybody wants it.

    Returns:
        Words in their order; none where no setting wants them.
    """
    if not dev_wanted(plan):
        return []
    judges = {word.person_id for word in held}
    by_person: dict[str, list[Word]] = {}
    for word in words:
        by_person.setdefault(word.person_id, []).append(word)
    made = Counter(word.correction for word in words if word.correction is not None)
    judging = Counter(word.correction for word in held)
    tuning: Counter[str | None] = Counter()
    chosen: set[str] = set()
    for person in sorted(by_person, key=lambda name: replay.place(f"{plan.seed}:dev:{name}")):
        if len(chosen) >= int(plan.dev_share * len(words)):
            break
        theirs = Counter(w.correction for w in by_person[person] if w.correction is not None)
        enough = all(
            4 * (tuning[text] + count) <= made[text]
            and 2 * (tuning[text] + judging[text] + count) <= made[text]
            for text, count in theirs.items()
        )
        if person not in judges and enough:
            tuning += theirs
            chosen.update(word.feedback_id for word in by_person[person])
    return [word for word in words if word.feedback_id in chosen]
