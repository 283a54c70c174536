"""Whose corrections held up, who contradicts whom, and who is one voice with whom."""

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import corroboration
from feedback.corroboration import STRANGER, Corroboration, assess, claim
from feedback.statements import Statement
from feedback.words import supersedes
from tests.builders import DAY_SECONDS

RIGHT = "The lamp costs 59 dollars."
CHANCE = 0.01
NEEDED = 3 * STRANGER


def fix(who: str, thing: str, value: int = 59, **fields: Any) -> Statement:
    """A correction of what a thing costs, by one who asks in their own way."""
    asked = fields.pop("asked", f"what does the {thing} cost {who}")
    values: dict[str, Any] = {"key_id": None, "kind": "correction", "liked": False}
    text = fields.pop("text", f"The {thing} costs {value} dollars.")
    return Statement(
        feedback_id=f"{who} {thing} {value}",
        person_id=who,
        answer=("i do not know", asked),
        said=f"{asked} {text}",
        first_seen_at=0.0,
        received_at=100 * DAY_SECONDS,
        fix=text,
        **{**values, **fields},
    )


def weighed(found: Corroboration, thing: str, *people: str, value: int = 59) -> tuple[int, float]:
    said = {who: f"{who} {thing} {value}" for who in people}
    return found.weigh(said, {who: at for at, who in enumerate(people)})


def many(number: int, *, seed: int = 0, accounts: int = 30) -> list[Statement]:
    """Honest people who speak on their own, three a thing."""
    rng = Random(seed)
    return [
        fix(f"p{who}", f"thing{at}")
        for at in range(number)
        for who in rng.sample(range(accounts), 3)
    ]


def test_a_correction_that_names_its_subject_stands_for_itself() -> None:
    one = claim(["What does the lamp cost?"], RIGHT)
    two = claim(["Price of that lamp?"], RIGHT.upper())
    assert one == two


def test_a_correction_that_names_nothing_means_something_beside_its_question_alone() -> None:
    lamp = claim(["Is the lamp in stock?"], "Yes.")
    chair = claim(["Is the chair in stock?"], "Yes.")
    assert lamp != chair
    assert lamp == claim(["Is the LAMP in stock?!"], "yes")


def test_a_question_that_names_nothing_means_something_beside_what_came_before() -> None:
    def about(product: str) -> tuple[str, ...]:
        return claim([f"Do you have the {product}?", "And how much is it?"], "59.")

    assert about("lamp") == about("lamp")
    assert about("lamp") != about("chair")


def test_strangers_who_agree_are_as_good_as_their_number() -> None:
    found = assess([fix(who, "lamp") for who in ("ana", "ben", "cleo")], circle_chance=CHANCE)
    for number in (1, 2, 3):
        people = ("ana", "ben", "cleo")[:number]
        sources, odds = weighed(found, "lamp", *people)
        assert sources == number
        assert odds == pytest.approx(number * STRANGER)
    assert assess([], circle_chance=CHANCE) == Corroboration()


def test_two_whose_corrections_others_confirmed_are_as_good_as_three_strangers() -> None:
    before = [
        fix(who, f"{thing} of {who}")
        for who in ("ana", "ben")
        for thing in ("chair", "desk", "shelf")
    ]
    confirmed = [fix(f"other {each.feedback_id}", each.feedback_id[4:-3]) for each in before]
    now = [fix(who, "lamp") for who in ("ana", "ben", "stranger", "newcomer")]
    found = assess([*before, *confirmed, *now], circle_chance=CHANCE)
    assert weighed(found, "lamp", "ana", "ben")[1] > NEEDED
    assert weighed(found, "lamp", "stranger", "newcomer")[1] < NEEDED


def test_two_who_only_confirm_each_other_stay_strangers() -> None:
    said = [fix(who, f"thing{at}") for at in range(40) for who in ("ana", "ben")]
    found = assess(said, circle_chance=0)
    assert found.records["ana"].right + found.records["ana"].wrong == pytest.approx(1.0)
    assert weighed(found, "thing0", "ana", "ben")[1] < NEEDED


@pytest.mark.parametrize("stood_by", [True, False])
def test_what_a_reviewer_decided_is_known_of_whoever_said_it(stood_by: bool) -> None:
    said = [fix("ana", f"thing{at}", decided=stood_by) for at in range(10)]
    said += [fix("ben", f"thing{at}") for at in range(10)]
    found = assess(said, circle_chance=CHANCE)
    for who in ("ana", "ben"):
        record = found.records[who]
        assert (record.right, record.wrong) == ((10, 0) if stood_by else (0, 10))
    assert (found.log_odds("ben") > STRANGER) == stood_by


def test_who_is_contradicted_again_and_again_is_believed_less_and_heard_less() -> None:
    said = []
    for at in range(12):
        said += [fix(f"p{(3 * at + each) % 20}", f"thing{at}") for each in range(2)]
        said.append(fix("liar", f"thing{at}", value=13))
    said += [fix("ana", "lamp"), fix("liar", "lamp", value=13)]
    found = assess(said, circle_chance=CHANCE)
    assert found.log_odds("liar") < 0 < STRANGER < found.log_odds("p0")
    assert found.against["p0 thing0 59"] == {"liar"}
    # Nor does the liar's word against hers make hers less probable.
    assert weighed(found, "lamp", "ana")[1] == pytest.approx(found.log_odds("ana"))


def test_a_stranger_who_says_something_else_counts_against_it() -> None:
    said = [fix(who, "lamp") for who in ("ana", "ben", "cleo")]
    found = assess([*said, fix("dora", "lamp", value=60)], circle_chance=CHANCE)
    assert weighed(found, "lamp", "ana", "ben", "cleo")[1] < NEEDED
    # What is said of something else does not.
    other = fix("dora", "lamp", text="The lamp is blue.")
    assert assess([*said, other], circle_chance=CHANCE).against == {}


def test_yes_and_no_contradict_each_other_beside_one_question_alone() -> None:
    asked = "is it in stock"
    said = [fix(who, "lamp", asked=asked, text="Yes.") for who in ("ana", "ben")]
    no = fix("dora", "lamp", asked=asked, text="No.")
    found = assess([*said, no], circle_chance=CHANCE)
    assert found.against["ana lamp 59"] == {"dora"}
    elsewhere = fix("dora", "lamp", asked="is it blue", text="No.")
    assert assess([*said, elsewhere], circle_chance=CHANCE).against == {}


def test_a_correction_does_not_speak_for_its_own_author() -> None:
    found = assess([fix(who, "lamp") for who in ("ana", "ben")], circle_chance=CHANCE)
    assert found.log_odds("ana") > STRANGER
    assert found.log_odds("ana", without="ana lamp 59") == pytest.approx(STRANGER)


def test_four_who_always_agree_are_one_voice() -> None:
    liars = ("l1", "l2", "l3", "l4")
    lies = [fix(who, f"lie{at}", value=13) for at in range(8) for who in liars]
    found = assess([*many(40), *lies], circle_chance=CHANCE)
    assert set(found.circles) == set(liars)
    assert len(set(found.circles.values())) == 1
    sources, odds = weighed(found, "lie0", *liars, value=13)
    assert sources == 1
    assert odds < NEEDED
    assert assess([*many(40), *lies], circle_chance=0).circles == {}


def test_a_few_people_who_are_all_there_are_no_circle() -> None:
    said = [fix(who, f"thing{at}") for at in range(30) for who in ("ana", "ben", "cleo")]
    found = assess(said, circle_chance=CHANCE)
    assert found.circles == {}
    assert weighed(found, "thing0", "ana", "ben", "cleo")[0] == 3


@pytest.mark.parametrize("seed", range(10))
def test_people_who_speak_on_their_own_are_no_circle(seed: int) -> None:
    assert assess(many(80, seed=seed), circle_chance=CHANCE).circles == {}


def test_a_flood_about_one_thing_is_not_compared_all_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = 0

    def counted(*arguments: Any, **named: Any) -> bool:
        nonlocal compared
        compared += 1
        return supersedes(*arguments, **named)

    monkeypatch.setattr(corroboration, "supersedes", counted)
    monkeypatch.setattr(corroboration, "MOST_COMPARED", 100)
    flood = [fix(f"{who}{at}", "lamp", value=at) for at in range(200) for who in "ab"]
    known = [fix(f"p{at}", "lamp", value=1_000) for at in range(5)]
    found = assess([*flood, *known], circle_chance=CHANCE)
    assert 0 < compared <= 100
    # What most people say is looked at first.
    assert found.against["p0 lamp 1000"]


def test_circles_that_share_a_member_are_one() -> None:
    said = [fix(who, f"one{at}") for at in range(8) for who in ("a", "b")]
    said += [fix(who, f"two{at}") for at in range(8) for who in ("c", "d")]
    apart = assess([*many(40), *said], circle_chance=CHANCE).circles
    assert apart["a"] == apart["b"] != apart["c"] == apart["d"]
    said += [fix(who, f"both{at}") for at in range(20) for who in ("b", "c")]
    joined = assess([*many(200), *said], circle_chance=CHANCE).circles
    assert len({joined[who] for who in "abcd"}) == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 4),
            st.integers(0, 2),
            st.sampled_from([None, True, False]),
        ),
        unique_by=lambda each: each[:3],
        max_size=30,
    )
)
def test_records_are_bounded_by_what_was_said_and_hang_on_no_order(
    drawn: list[tuple[int, int, int, bool | None]],
) -> None:
    said = [
        fix(f"p{who}", f"thing{thing}", value=value, decided=decided)
        for who, thing, value, decided in drawn
    ]
    found = assess(said, circle_chance=CHANCE)
    for who, record in found.records.items():
        most = sum(each.person_id == who for each in said)
        assert -1e-9 <= record.right + record.wrong <= most + 1e-9
        assert math.isfinite(found.log_odds(who))
    for feedback_id, others in found.against.items():
        who = next(each.person_id for each in said if each.feedback_id == feedback_id)
        # One may contradict oneself; whoever else is named said something else of the same thing.
        assert all(other in {each.person_id for each in said} for other in others - {who})
    decided_once = {(each.fix, each.decided) for each in said if each.decided is not None}
    if len({text for text, _ in decided_once}) == len(decided_once):
        turned = assess(said[::-1], circle_chance=CHANCE)
        for who, record in found.records.items():
            assert turned.records[who].right == pytest.approx(record.right, abs=0.01)
