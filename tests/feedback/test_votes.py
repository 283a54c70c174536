"""The vote in force."""

from typing import Any

from feedback.ids import new_id
from feedback.models import Feedback
from feedback.votes import in_force, kinds, superseded


def event(name: str, at: float, *, who: str = "ana", choice: int = 0, **body: Any) -> Feedback:
    return Feedback(
        id=new_id("fbk"),
        event_id=name,
        body_hash="",
        exchange_id="chatcmpl_1",
        choice=choice,
        person_id=who,
        signal=body.get("signal"),
        body=body,
        told_at=at,
        received_at=at,
    )


def test_the_last_vote_replaces_the_one_before() -> None:
    first, second = event("b", 1, rating="up"), event("a", 2, rating="down")
    assert superseded([second, first]) == {first.id: second.id}


def test_equal_times_are_told_apart_by_the_event_id() -> None:
    first, second = event("a", 1, rating="up"), event("b", 1, rating="down")
    assert superseded([second, first]) == {first.id: second.id}


def test_other_people_choices_and_kinds_do_not_replace() -> None:
    events = [
        event("a", 1, rating="up"),
        event("b", 2, rating="up", who="ben"),
        event("c", 3, rating="up", choice=1),
        event("d", 4, comment="Hm."),
        event("e", 5, signal="copy"),
        event("f", 6, signal="dwell", value=3.0),
    ]
    assert superseded(events) == {}


def test_a_remark_beside_a_vote_does_not_keep_the_vote() -> None:
    both = event("a", 1, rating="up", comment="Good.", reasons=["clear"])
    rating, comment = event("b", 2, rating="down"), event("c", 3, comment="Not so good.")
    assert superseded([both, rating]) == {both.id: rating.id}
    assert superseded([both, comment]) == {}
    assert in_force([both, rating])[both.id] == {"comment", "reasons"}


def test_what_held_two_votes_is_replaced_once_both_were_cast_again() -> None:
    both = event("a", 1, rating="down", correction="It costs 59.")
    rating, correction = event("b", 2, rating="up"), event("c", 3, correction="It costs 69.")
    assert superseded([both, rating]) == {}
    assert in_force([both, rating])[both.id] == {"correction"}
    assert superseded([both, rating, correction]) == {both.id: rating.id}


def test_what_held_no_vote_is_replaced_once_everything_was_said_again() -> None:
    both = event("a", 1, comment="Hm.", survey={"clear?": "no"})
    survey, comment = event("b", 2, survey={"clear?": "yes"}), event("c", 3, comment="Fine.")
    assert superseded([both, survey]) == {}
    assert superseded([both, survey, comment]) == {both.id: survey.id}


def test_reasons_alone_are_a_kind_of_their_own() -> None:
    first, second = event("a", 1, reasons=["tone"]), event("b", 2, reasons=["length"])
    assert superseded([first, second]) == {first.id: second.id}


def test_signals_are_kinds_of_their_own() -> None:
    assert kinds(event("a", 1, signal="copy", rating="up")) == ("rating", "signal:copy")
