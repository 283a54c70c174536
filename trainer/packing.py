"""Which rows go into which step, and into which batch of it. Pure and seeded.

Knows no torch. Every step holds about the same mix of new and old material and of objectives,
since a step that sees only one of them undoes the others; within a step, rows of like length
share a batch, so that little is spent on padding.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence

from trainer.rows import Row
from trainer.settings import Plan

Step = list[list[Row]]

# What one more batch costs, in tokens: its fixed expense on a model of a few million parameters.
_BATCH_COST_TOKENS = 64
# Bounds the activations that are alive at once, whatever the size of a step.
LARGEST_BATCH_TOKENS = 8192


def schedule(plan: Plan, rows: Sequence[Row], *, easy_first: bool = False) -> list[Step]:
    """The steps that a plan takes over rows; `easy_first` needs the rows' references."""
    return steps(
        rows,
        budget_tokens=plan.batch_tokens,
        epochs=plan.epochs,
        minimum=plan.minimum_steps,
        seed=plan.seed,
        staged=plan.staged_introduction,
        easy_first=easy_first,
    )


def eases(plan: Plan) -> bool:
    """Whether the plan's steps depend on how likely the model finds the new rows."""
    return plan.staged_introduction > 0 and plan.staged_order == "easy-first"


def steps(
    rows: Sequence[Row],
    *,
    budget_tokens: int,
    epochs: float,
    minimum: int = 0,
    seed: int,
    staged: float = 0.0,
    easy_first: bool = False,
) -> list[Step]:
    """The whole schedule: for each optimizer step its batches.

    Args:
        rows: what to learn, at least one; a row that repeats is in a pass several times.
        budget_tokens: padded tokens in one step; a longer row has a step of its own.
        epochs: passes over the rows; the last may be a partial one.
        minimum: passes go on, beyond `epochs`, until there are so many steps.
        seed: of the order; every epoch has another.
        staged: over this share of the steps the share of new rows grows from nothing; what is old
            comes earlier instead, and every row as often as without it.
        easy_first: with `staged`, of the new rows those that the reference finds likeliest come
            first in every pass; needs their references.
    """
    schedule: list[Step] = []
    epoch = 0
    while epoch < epochs or len(schedule) < minimum:
        cut = _cut(_spread(_shown(rows, epoch), random.Random(f"{seed}/{epoch}")), budget_tokens)
        wanted = math.ceil(len(cut) * min(1.0, epochs - epoch)) if epoch < epochs else 0
        schedule += cut[: max(wanted, minimum - len(schedule))]
        epoch += 1
    if staged:
        order = _staged([row for step in schedule for batch in step for row in batch], staged)
        if easy_first:
            order = _easy_first(order)
        schedule = _cut(order, budget_tokens, at_least=len(schedule))
    return schedule


def batches(part: Sequence[Row], *, largest_tokens: int = LARGEST_BATCH_TOKENS) -> Step:
    """The batches of one step, none of more padded tokens than this but for single rows.

    Rows with several branches are apart from the others, since they need a mask of their own.
    """
    split = []
    for several in (False, True):
        group = sorted(
            (row for row in part if (len(row.branches) > 1) == several), key=lambda row: row.tokens
        )
        if group:
            split += _cheapest(group, largest_tokens)
    return split


def by_length(rows: Sequence[Row], *, budget_tokens: int) -> list[list[Row]]:
    """Batches of like length, the longest first, at most `budget_tokens` padded tokens each."""
    found: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: -row.tokens):
        if found and found[-1][0].tokens * (len(found[-1]) + 1) <= budget_tokens:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def _shown(rows: Sequence[Row], epoch: int) -> list[Row]:
    """What one pass shows: everything, as often as it repeats, but of what takes turns its share."""
    taking_turns: defaultdict[int, int] = defaultdict(int)
    shown = []
    for row in rows:
        turn = taking_turns[row.in_turn]
        taking_turns[row.in_turn] += 1
        if turn % row.in_turn == epoch % row.in_turn:
            shown += [row] * row.repeats
    return shown


def _spread(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """Shuffled, with each objective and source spread evenly over the whole."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        groups[row.kind, row.source].append(at)
    placed: list[tuple[float, int]] = []
    for _, members in sorted(groups.items()):
        rng.shuffle(members)
        placed += [((i + rng.random()) / len(members), at) for i, at in enumerate(members)]
    return [rows[at] for _, at in sorted(placed)]


def _staged(order: list[Row], ramp: float) -> list[Row]:
    """The same rows, new ones as dense as a line that rises over the ramp and then stays level.

    Easy or known things first (Bengio, Louradour, Collobert and Weston 2009, "Curriculum
    learning"): what is rehearsed is known. The order among the new and among the old stays.
    """
    new = [row for row in order if row.source == "new"]
    old = [row for row in order if row.source != "new"]
    staged: list[Row] = []
    taken = 0
    for at in range(len(order)):
        done = (at + 1) / len(order)
        risen = done**2 / (2 * ramp) if done < ramp else done - ramp / 2
        wanted = round(len(new) * risen / (1 - ramp / 2))
        left = len(old) - (at - taken)
        if taken < len(new) and (taken < wanted or not left):
            staged.append(new[taken])
            taken += 1
        else:
            staged.append(old[at - taken])
    return staged


def _easy_first(order: list[Row]) -> list[Row]:
    """New rows change places among themselves: each pass begins with the likeliest answers."""
    passes: defaultdict[int, int] = defaultdict(int)
    keys: list[tuple[int, float, int]] = []
    for at, row in enumerate(order):
        if row.source == "new":
            keys.append((passes[id(row)], -row.reference[0] / len(row.branches[0]), at))
            passes[id(row)] += 1
    sorted_rows = iter([order[at] for *_, at in sorted(keys)])
    return [next(sorted_rows) if row.source == "new" else row for row in order]


def _cut(order: Sequence[Row], budget_tokens: int, *, at_least: int = 1) -> list[Step]:
    """As few steps of equal size as stay within the budget, padding included."""
    total = sum(row.tokens for row in order)
    count = max(at_least, math.ceil(total / budget_tokens))
    while count < len(order):
        parts: list[list[Row]] = [[] for _ in range(count)]
        passed = 0
        for row in order:
            parts[min(count - 1, (passed + row.tokens // 2) * count // total)].append(row)
            passed += row.tokens
        cut = [batches(part) for part in parts if part]
        if all(
            sum(map(_padded, step)) <= budget_tokens or sum(map(len, step)) == 1 for step in cut
        ):
            return cut
        count = max(count + 1, int(count * 1.02))
    return [[[row]] for row in order]


def _cheapest(group: list[Row], largest_tokens: int) -> list[list[Row]]:
    """The split of length-sorted rows that costs least, padding and batches together."""
    best, start = [0], [0]
    for end in range(1, len(group) + 1):
        length = group[end - 1].tokens
        best.append(best[end - 1] + length + _BATCH_COST_TOKENS)
        start.append(end - 1)
        for begin in range(end - 2, -1, -1):
            padded = length * (end - begin)
            if padded > largest_tokens:
                break
            if best[begin] + padded + _BATCH_COST_TOKENS < best[end]:
                best[end] = best[begin] + padded + _BATCH_COST_TOKENS
                start[end] = begin
    split, end = [], len(group)
    while end:
        split.append(group[start[end] : end])
        end = start[end]
    return split


def _padded(batch: list[Row]) -> int:
    return len(batch) * max(row.tokens for row in batch)
