"""How much a word counts, and why: agreement, reviewers, age, and what is said over and over."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedback import duplicates, overlap
from feedback.settings import FeedbackSettings
from feedback.standing import Standing, assess
from feedback.statements import Statement
from tests.builders import DAY_SECONDS, person

SETTINGS = FeedbackSettings()
TODAY = 100 * DAY_SECONDS


def statement(name: str, who: str, *, about: str = "lamp", **fields: Any) -> Statement:
    """A thumb up by an account that is known for a while; accounts appear a day apart."""
    values: dict[str, Any] = {
        "key_id": "key_1",
        "kind": "rating",
        "liked": True,
        "answer": (f"{about} answer", f"{about} question"),
        "said": f"what does the {about} cost and when will it be here {about} answer",
        "first_seen_at": TODAY - DAY_SECONDS * (10 + sum(map(ord, who))),
        "received_at": TODAY,
    }
    return Statement(feedback_id=name, person_id=person(who), **{**values, **fields})


def crowd_against(who: str, number: int) -> list[Statement]:
    """One account that says the opposite of three others, again and again."""
    return [
        statement(f"{who} {at} {voter}", voter, about=f"thing {at}", liked=voter != who)
        for at in range(number)
        for voter in ("ana", "ben", "cleo", who)
    ]


def test_an_account_against_which_nothing_speaks_counts_fully() -> None:
    found = assess([statement("one", "ana")], SETTINGS)
    assert found.weigh("one").weight == 1.0
    assert found.weigh("one").right is None  # nothing tells
    assert found.weigh("never heard of").weight == 1.0


def test_an_account_that_is_always_outvoted_counts_nothing_and_is_told_so() -> None:
    found = assess(crowd_against("dora", 20), SETTINGS)
    assert found.worth(person("dora")) < 0.1
    assert found.worth(person("ana")) > 0.9
    weighed = found.weigh("dora 3 dora")
    assert weighed.weight == 0.0
    assert "seldom agree" in weighed.reason
    assert found.weigh("dora 3 ana").weight > 0.9


def test_of_two_who_disagree_neither_is_silenced() -> None:
    found = assess([statement("up", "ana"), statement("down", "ben", liked=False)], SETTINGS)
    assert found.weigh("up").weight == pytest.approx(found.weigh("down").weight)
    assert 0.5 < found.weigh("up").weight < 1.0


def test_a_reviewers_refusals_speak_against_an_account() -> None:
    said = [
        statement(f"fix {at}", "dora", about=f"thing {at}", kind="correction", liked=False)
        for at in range(12)
    ]
    fine = assess(said, SETTINGS)
    refused = [
        statement(each.feedback_id, "dora", **_fields(each), decided=False) for each in said[:10]
    ]
    found = assess([*refused, *said[10:]], SETTINGS)
    assert fine.worth(person("dora")) == 1.0
    assert found.worth(person("dora")) < 0.5
    assert found.accounts[person("dora")].refused == 10


def test_refusing_a_correction_says_nothing_of_those_who_disliked_the_answer() -> None:
    down = statement("down", "ana", liked=False)
    fix = statement("fix", "ben", kind="correction", liked=False, decided=False)
    assert assess([down, fix], SETTINGS).weigh("down").weight == 1.0


def test_a_young_accounts_word_counts_less() -> None:
    young = statement("young", "ana", first_seen_at=TODAY - 60.0)
    found = assess([young], SETTINGS).weigh("young")
    assert (found.weight, found.reason) == (0.5, "the account was too young")
    imported = statement("young", "ana", first_seen_at=TODAY - 60.0, imported=True)
    assert assess([imported], SETTINGS).weigh("young").weight == 1.0


def test_what_a_reviewer_stood_by_counts_whoever_said_it() -> None:
    said = crowd_against("dora", 20)
    accepted = statement("fine", "dora", about="other", decided=True, first_seen_at=TODAY - 1.0)
    assert assess([*said, accepted], SETTINGS).weigh("fine").weight == 1.0


def together(number: int, **fields: Any) -> list[Statement]:
    """Accounts under one key that appeared within seconds, and say the same."""
    return [
        statement(f"s{at}", f"sock {at}", first_seen_at=DAY_SECONDS + at, **fields)
        for at in range(number)
    ]


def test_accounts_that_appeared_together_and_say_the_same_count_once() -> None:
    found = assess(together(20), SETTINGS)
    assert sum(found.weigh(f"s{at}").weight for at in range(20)) == pytest.approx(1.0)
    assert "count once" in found.weigh("s0").reason


def test_they_do_not_outvote_two_independent_people() -> None:
    honest = [statement(f"h{at}", who, liked=False) for at, who in enumerate(("ana", "ben"))]
    found = assess([*together(20), *honest], SETTINGS)
    assert found.weigh("h0").weight > 0.9
    crowd = [
        statement(f"s{at}", f"sock {at}", first_seen_at=DAY_SECONDS * (at + 1)) for at in range(20)
    ]
    assert assess([*crowd, *honest], SETTINGS).weigh("h0").weight < 0.2  # these are independent


@pytest.mark.parametrize(
    "apart",
    [{"key_id": None}, {"imported": True}, {"liked": False}, {"first_seen_at": 50 * DAY_SECONDS}],
)
def test_what_is_not_of_one_source_or_not_the_same_is_no_duplicate(apart: dict[str, Any]) -> None:
    one, other = together(2)
    changed = statement("s1", "sock 1", **{"first_seen_at": other.first_seen_at, **apart})
    assert duplicates.clusters([one, other], burst_seconds=600) == [[0, 1]]
    assert duplicates.clusters([one, changed], burst_seconds=600) == []


def test_one_account_that_repeats_itself_counts_once_whatever_the_setting() -> None:
    said = [statement(f"s{at}", "ana", said=f"{_long(at)}") for at in range(4)]
    assert duplicates.clusters(said, burst_seconds=0) == [[0, 1, 2, 3]]
    assert duplicates.clusters(together(3), burst_seconds=0) == []


def _same_opinion(statements: Sequence[Statement], _: float) -> list[list[int]]:
    """Whoever said it."""
    sides = [[at for at, each in enumerate(statements) if each.liked == up] for up in (True, False)]
    return [side for side in sides if side]


@settings(deadline=None)
@given(
    accounts=st.lists(
        st.tuples(st.sampled_from([None, "key_1", "key_2"]), st.integers(0, 4), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    said=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 2)), max_size=12),
    burst_seconds=st.sampled_from([0, 1, 2]),
)
@example(  # a text whose first speaker repeats nothing
    accounts=[(None, 0, False), (None, 0, False)],
    said=[(0, True, 0), (0, False, 0), (0, False, 0), (1, True, 0), (1, True, 0)],
    burst_seconds=0,
)
def test_what_is_not_even_compared_repeats_nothing(
    accounts: list[tuple[str | None, int, bool]],
    said: list[tuple[int, bool, int]],
    burst_seconds: float,
) -> None:
    statements = []
    for at, (number, liked, text) in enumerate(said):
        key_id, since, imported = accounts[number % len(accounts)]
        statements.append(
            statement(
                f"s{at}",
                f"account {number % len(accounts)}",
                key_id=key_id,
                first_seen_at=float(since),
                imported=imported,
                liked=liked,
                said=f"text number {text}",
            )
        )
    found = duplicates.clusters(statements, burst_seconds=burst_seconds)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(duplicates, "_comparable", _same_opinion)
        assert found == duplicates.clusters(statements, burst_seconds=burst_seconds)


def test_texts_that_differ_in_what_matters_are_not_alike() -> None:
    texts = [
        "The lamp costs 59 dollars.",
        "The desk costs 59 dollars.",
        "the lamp costs 59 dollars",
    ]
    assert overlap.groups(texts) == [0, 1, 0]
    assert overlap.groups(["🙂", "🙁", "🙂"]) == [0, 1, 0]


def test_ten_thousand_variants_of_one_sentence_are_one_group() -> None:
    assert set(overlap.groups([_long(at) for at in range(10_000)])) == {0}


def test_noise_is_told_where_others_judged_and_unknown_elsewhere() -> None:
    found = assess(crowd_against("dora", 20), SETTINGS).noise["rating"]
    assert found.wrong_share == pytest.approx(0.25, abs=0.03)
    assert (found.votes, found.judged) == (80, 80)
    alone = assess([statement(str(at), f"p{at}", about=f"t{at}") for at in range(30)], SETTINGS)
    assert alone.noise["rating"].wrong_share is None


def test_nothing_said_is_nobodys_fault() -> None:
    assert assess([], SETTINGS) == Standing()


def _long(at: int) -> str:
    return (
        f"please tell me how good the lamp in your shop on the corner really is today, number {at}"
    )


def _fields(one: Statement) -> dict[str, Any]:
    return {"answer": one.answer, "said": one.said, "kind": one.kind, "liked": one.liked}
