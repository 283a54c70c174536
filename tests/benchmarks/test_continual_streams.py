"""The streams of the continual-learning benchmark: what they promise of their own questions."""

from collections import Counter

import pytest

from benchmarks.continual.streams import MAKERS, named
from benchmarks.continual.tasks import Stream
from feedback.errors import Invalid

ALL = sorted(MAKERS)


def made(name: str, rounds: int = 3, seed: int = 0) -> Stream:
    """The beginning of a stream at full size."""
    return MAKERS[name].build(seed, rounds, 1.0)


@pytest.mark.parametrize("name", ALL)
def test_every_expected_answer_is_right(name: str) -> None:
    stream = made(name)
    probes = [probe for task in stream.tasks for probe in task.probes]
    assert probes and all(each.check.passes(each.expected) for each in [*probes, *stream.traps])
    lessons = [lesson for task in stream.tasks for lesson in task.lessons]
    assert lessons and all(lesson.check.passes(lesson.wanted) for lesson in lessons)


@pytest.mark.parametrize("name", ALL)
def test_no_question_that_tests_was_taught(name: str) -> None:
    stream = made(name)
    taught = {str(lesson.messages) for task in stream.tasks for lesson in task.lessons}
    tested = [str(probe.messages) for task in stream.tasks for probe in task.probes]
    assert not taught & set(tested)


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_stream_and_more_rounds_change_none(name: str) -> None:
    assert made(name) == made(name) != made(name, seed=1)
    if not name.startswith("E-"):
        assert made(name, rounds=2).tasks == made(name, rounds=3).tasks[:2]


@pytest.mark.parametrize("name", ALL)
def test_probes_have_names_of_their_own(name: str) -> None:
    names = [probe.id for task in made(name).tasks for probe in task.probes]
    assert len(names) == len(set(names))


def test_facts_change_and_what_was_true_is_known_to_be_stale() -> None:
    stream = made("A")
    assert [len(task.probes) for task in stream.tasks] == [75, 75, 75]
    assert [len(task.lessons) for task in stream.tasks] == [300, 300, 300]
    later = stream.tasks[1]
    assert len(later.retires) == 15
    changed = [probe for probe in later.probes if probe.check.stale]
    assert len(changed) == 15
    assert all(probe.check.states not in probe.check.stale for probe in changed)
    alive = stream.alive(0, after=1)
    assert 60 <= sum(alive) < 75


def test_the_groups_of_the_style_stream_disagree_and_say_so_by_thumbs() -> None:
    thumbs, shown = made("D"), made("D-shown")
    assert {lesson.said for lesson in thumbs.tasks[0].lessons} == {"thumb"}
    assert {lesson.said for lesson in shown.tasks[0].lessons} == {"correction"}
    tones = {
        lesson.messages[0]["content"]: lesson.check.polite for lesson in thumbs.tasks[0].lessons
    }
    assert sorted(map(bool, tones.values())) == [False, True]
    questions = [[lesson.messages for lesson in each.tasks[1].lessons] for each in (thumbs, shown)]
    assert questions[0] == questions[1]


def test_votes_as_they_come_are_of_three_people_some_wrong_some_late_and_most_unsaid() -> None:
    lessons = [lesson for task in made("F").tasks for lesson in task.lessons]
    votes = [lesson for lesson in lessons if lesson.said == "thumb"]
    assert len(votes) * 2 == len(lessons) and not any(lesson.reviewed for lesson in lessons)
    voters = Counter((str(lesson.messages), lesson.late) for lesson in votes)
    assert min(voters.values()) == 3
    assert 0.1 < sum(not lesson.true for lesson in votes) / len(votes) < 0.3
    assert 0.4 < sum(lesson.late for lesson in votes) / len(votes) < 0.6


def test_skills_are_tested_on_words_that_were_never_taught_together() -> None:
    for task in MAKERS["C"].build(0, 8, 1.0).tasks:
        taught, tested = (
            {frozenset(each.messages[-1]["content"].partition(": ")[2].split()) for each in some}
            for some in (task.lessons, task.probes)
        )
        assert len(task.probes) == 40 and tested and not taught & tested


def test_a_share_of_the_reports_is_wrong_and_liars_agree() -> None:
    clean, noisy = made("E-0"), made("E-40")
    assert all(lesson.true for task in clean.tasks for lesson in task.lessons)
    wrong = [not lesson.true for task in noisy.tasks for lesson in task.lessons]
    assert 0.3 < sum(wrong) / len(wrong) < 0.5
    attacked = made("E-colluding")
    assert len(attacked.traps) == 200
    lies: dict[str, set[str]] = {}
    for task in attacked.tasks:
        for lesson in task.lessons:
            if not lesson.true:
                lies.setdefault(lesson.about, set()).add(lesson.wanted)
    assert lies and all(len(told) == 1 for told in lies.values())
    assert set(lies) == {probe.about for probe in attacked.traps}


def test_sleepers_are_honest_at_first() -> None:
    stream = MAKERS["E-sleeping"].build(0, 8, 1.0)
    honest = [all(lesson.true for lesson in task.lessons) for task in stream.tasks]
    assert honest == [True] * 4 + [False] * 4


def test_a_letter_names_all_its_streams_and_a_wrong_one_says_which_there_are() -> None:
    assert named("D,A") == ["D", "D-shown", "A"]
    assert len(named("E")) == 6
    with pytest.raises(Invalid, match="choose from A, B"):
        named("Z")
