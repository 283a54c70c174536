"""The figures of the continual-learning benchmark, from marks that are written by hand."""

import math
from typing import Any

import pytest

from benchmarks.continual import metrics, targets
from benchmarks.continual.metrics import Run
from benchmarks.continual.results import Job, Record
from benchmarks.continual.tasks import Check, Probe, Stream, Task, user


def record(number: int, row: list[str], *, ways: int | None = None, **fields: Any) -> Record:
    """What a round measured."""
    values: dict[str, Any] = {
        "exam": {},
        "traps": "",
        "train_cpu_seconds": 1.0,
        "cpu_seconds": 1.0,
        "tokens": 1,
        "steps": 1,
        "examples": 1,
        "seconds": 1.0,
    }
    return Record(job=Job("A", "heed", 0, number, ways), row=row, **{**values, **fields})


def probe(name: str, stale: tuple[str, ...] = ()) -> Probe:
    """A question whose right answer is yes."""
    return Probe(name, user(name), "yes", Check("yes", stale=stale), name.partition(":")[2])


def two_tasks() -> Stream:
    """Four facts; the second round changes the first of them and brings one more."""
    first = tuple(probe(f"1:{name}") for name in "abc")
    second = (probe("2:a", stale=("no",)), probe("2:d"))
    return Stream(
        "A", "two", (Task((), first), Task((), second, retires=frozenset({"1:a"})), Task((), ()))
    )


def run(*records: Record, needs: tuple[Record, ...] = ()) -> Run:
    """One run of these rounds."""
    return Run(two_tasks(), 0, {each.job.number: each for each in records}, needs)


def test_average_accuracy_counts_each_question_that_still_holds_once() -> None:
    one = run(record(1, ["111", "00"]), record(2, ["-10", "10", ""]))
    assert metrics.share(metrics.final()(one)) == 2 / 4
    assert metrics.share(metrics.final(1)(one)) == 1.0


def test_plasticity_is_what_is_known_right_after_its_own_round() -> None:
    one = run(record(1, ["110", "01"]), record(2, ["-00", "11", ""]))
    assert metrics.share(metrics.right_after(one)) == pytest.approx(4 / 5)
    assert metrics.share(metrics.before_learning(one)) == 1 / 2


def test_backward_transfer_compares_what_still_holds_with_how_it_was_learned() -> None:
    # "a" was changed on purpose: that it is answered otherwise is no forgetting.
    one = run(record(1, ["111", "00"]), record(2, ["-01", "11", ""]))
    change = metrics.backward_transfer([one])
    assert change is not None and change.estimate == -0.5
    assert metrics.backward_transfer([run(record(2, ["-01", "11", ""]))]) is None


def test_a_stale_answer_counts_at_every_round_since_the_change() -> None:
    one = run(record(1, ["111", "00"]), record(2, ["-11", "s1", ""]), record(3, ["-11", "11", ""]))
    assert metrics.share(metrics.stale(one)) == 1 / 2


def test_the_old_value_is_told_from_a_wrong_one() -> None:
    check = Check("blue", never=("red", "green"), stale=("red",))
    marks = [
        check.mark(text) for text in ("It is blue.", "It is red.", "It is green.", "Blue red.")
    ]
    assert marks == ["1", "s", "0", "s"]


def test_tone_and_exactness_are_asked_for_where_they_matter() -> None:
    assert not Check("blue", polite=True).passes("Blue.")
    assert Check("blue", polite=True).passes("Of course! It is blue.")
    assert Check("a b c", exact=True).passes("A b c.")
    assert not Check("a b c", exact=True).passes("A b c d.")


def test_what_the_starter_never_knew_is_not_held_against_anybody() -> None:
    frozen = run(record(1, ["000", "00"], exam={"price": "110", "unknown": "1"}))
    ours = run(record(1, ["111", "00"], exam={"price": "101", "unknown": "0"}))
    assert targets.kept_share([ours], [frozen]) == pytest.approx(1 / 3)
    assert targets.kept_share([ours], [frozen], without="unknown") == pytest.approx(1 / 2)


def test_a_trap_that_flipped_once_has_flipped() -> None:
    stream = Stream("A", "traps", two_tasks().tasks, traps=(probe("t:1"), probe("t:2")))
    rounds = {1: record(1, ["111", "00"], traps="1s"), 2: record(2, ["-11", "11", ""], traps="11")}
    assert sum(metrics.flipped(Run(stream, 0, rounds)).values()) == 1


def test_the_cost_of_rounds_that_were_not_run_is_read_off_those_that_were() -> None:
    joint = run(record(2, [], train_cpu_seconds=20.0), record(4, [], train_cpu_seconds=60.0))
    assert metrics.cumulative_cost(joint, 4) == pytest.approx(10 + 20 + 40 + 60)
    every = run(record(1, [], train_cpu_seconds=3.0), record(2, [], train_cpu_seconds=4.0))
    assert metrics.cumulative_cost(every, 2) == 7.0
    assert math.isnan(metrics.cumulative_cost(run(record(3, [])), 2))


def test_how_many_examples_are_needed_lies_between_those_tried() -> None:
    tried = tuple(record(1, [marks, ""], ways=ways) for ways, marks in ((1, "1000"), (2, "1100")))
    one = run(record(1, ["1111", ""]), needs=tried)
    assert metrics.needed(one, 1, 4, level=0.75) == pytest.approx(3.0)
    assert metrics.needed(one, 1, 4, level=0.25) == pytest.approx(1.0)
    never = run(record(1, ["1110", ""]), needs=tried)
    assert metrics.needed(never, 1, 4, level=0.9) is None


def forward(first: str, last: str, *, tried: tuple[int, ...] = (1, 2)) -> targets.Row:
    """The row of what two rounds need, of which 3 and 1 lessons teach nothing, and 4 and 2 so much."""
    needs = (
        record(1, ["000", ""], ways=3),
        record(2, ["", "00", ""], ways=1),
        record(2, ["", last, ""], ways=2),
    )
    one = run(
        record(1, [first, "00"]),
        record(2, [first, last, ""]),
        needs=tuple(each for each in needs if each.job.number in tried),
    )
    found = targets.rows({"A": {"heed": [one]}}, "heed", None)
    [row] = [row for row in found if "examples a fact" in row.target]
    return row


def test_what_the_last_round_needs_is_compared_with_what_the_first_needed() -> None:
    assert forward("111", "11") == targets.Row(
        "examples a fact until 90% are known, last round ÷ first",
        "≤0.8",
        "0.49 (1.90 ÷ 3.90)",
        True,
    )
    row = forward("110", "11")
    assert row.measured.endswith("(1.90 ÷ more than 4.00)") and row.measured.startswith("below")
    assert row.holds, "whoever needs more than there is needs more than the last round did"
    row = forward("111", "10")
    assert "not always enough in the last round (in no run)" in row.measured and row.holds is False
    assert forward("111", "11", tried=(1,)).holds is None, "the last round was not tried"


def test_a_difference_keeps_questions_about_one_thing_together() -> None:
    ours, theirs = {(0, "1:a"): 1, (0, "1:b"): 1}, {(0, "1:a"): 0, (0, "1:b"): 1}
    found = metrics.difference(ours, theirs, [run(record(1, ["111", "00"]))])
    assert found is not None and found.estimate == 0.5 and found.clusters == 2


def test_a_target_without_runs_is_not_measured_and_one_that_falls_short_says_so() -> None:
    empty = targets.rows({}, "heed", None)
    assert {row.holds for row in empty} == {None}
    ours = run(record(1, ["111", "00"]), record(2, ["-11", "s1", ""]))
    joint = run(record(2, ["-11", "11", ""]))
    found = {
        row.target: row
        for row in targets.rows({"A": {"heed": [ours], "joint": [joint]}}, "heed", None)
    }
    assert found["stale answers after a revision"].holds is False
    assert found["average accuracy against joint training"].holds is False
    assert found["backward transfer"].holds is True


def test_runs_of_different_length_are_compared_as_far_as_both_have_got() -> None:
    ours = run(record(1, ["110", "00"]))
    other = run(record(1, ["111", "00"]), record(2, ["-11", "00", ""]))
    found = targets.rows({"A": {"heed": [ours], "sequential": [other]}}, "heed", None)
    [row] = [row for row in found if row.target == "plasticity against sequential"]
    assert row.measured.startswith("66.7%") and row.holds is False


def test_the_gates_own_figures_are_taken_as_they_are() -> None:
    found = targets.rows({}, "heed", {"rounds": 1000, "false_promotions": 0.06, "power": 0.9})
    assert [row.holds for row in found[-2:]] == [False, True]
