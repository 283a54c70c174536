"""How satisfied people are, what they complain about, and what they correct."""

import time
from typing import Any

import pytest
from statsmodels.stats.proportion import proportion_confint

from feedback import insights, topics
from feedback.proportions import by_person, wilson
from feedback.store import Store
from tests import builders

NOW = time.time()
SPAN: dict[str, Any] = {"since": NOW - 3600, "until": NOW + 3600}


def test_the_interval_is_wilsons_where_everybody_votes_once() -> None:
    low, high = proportion_confint(7, 20, method="wilson")
    assert wilson(0.35, 20) == pytest.approx((low, high))
    found = by_person([(1.0, 1)] * 7 + [(0.0, 1)] * 13)
    assert found is not None
    # The design effect of independent votes is n / (n − 1), by which few clusters are widened.
    assert (found.low, found.high) == pytest.approx(wilson(0.35, 19), abs=1e-9)


def test_one_person_who_votes_often_counts_little_more_than_once() -> None:
    crowd = by_person([(1.0, 1)] * 30 + [(0.0, 1)] * 30)
    loud = by_person([(30.0, 30), (0.0, 10), (0.0, 10), (0.0, 10)])
    assert crowd is not None and loud is not None
    assert crowd.share == loud.share and (loud.votes, loud.people) == (60, 4)
    assert loud.high - loud.low > 2 * (crowd.high - crowd.low)
    same = by_person([(30.0, 30)])
    assert same is not None and same.low == pytest.approx(wilson(1.0, 1)[0])
    assert by_person([]) is None


def test_satisfaction_counts_the_last_vote_of_each_person_on_each_answer(store: Store) -> None:
    for number in range(3):
        builders.say(store, f"p{number}", rating="up")
    about = builders.recorded(store, adapter_id="adp_1")
    builders.say(store, "bo", rating="up", completion_id=about)
    builders.say(store, "bo", rating="down", completion_id=about)
    builders.say(store, "cy", correction="It costs 59.", completion_id=about)
    builders.say(store, "di", comment="Hm.", completion_id=about)
    with store.session() as session:
        told = insights.satisfaction(session, **SPAN, by="adapter")
        none = insights.satisfaction(session, since=1.0, until=2.0)
    everybody, base, adapter = told["series"]
    assert (told["votes"], told["complete"]) == (5, True)
    assert everybody["overall"]["share"] == pytest.approx(3 / 5)
    assert (base["name"], base["overall"]["share"]) == ("base", 1.0)
    assert (adapter["name"], adapter["overall"]["share"]) == ("adp_1", 0.0)
    assert adapter["overall"]["people"] == 2
    assert sum(step["votes"] for step in everybody["steps"]) == 5
    assert none["votes"] == 0 and none["series"] == [{"name": None, "overall": None, "steps": []}]


def test_satisfaction_is_told_apart_by_language_and_topic(store: Store) -> None:
    for number in range(10):
        german = f"Was kostet die große Lampe Nummer {number} bei Ihnen im Laden?"
        english = f"How do I bring the broken chair number {number} back to your shop?"
        for question, rating in ((german, "down"), (english, "up")):
            about = builders.recorded(store, question=question)
            builders.say(store, f"p{number}", rating=rating, completion_id=about)
    with store.session() as session:
        spoken = insights.satisfaction(session, **SPAN, by="language")["series"]
        about_what = insights.satisfaction(session, **SPAN, by="topic", every="week")["series"]
    shares = {each["name"]: each["overall"]["share"] for each in spoken}
    assert (shares["de"], shares["en"], shares[None]) == (0.0, 1.0, 0.5)
    named = [each["overall"]["share"] for each in about_what if each["name"]]
    assert len(named) >= 2 and set(named) == {0.0, 1.0}  # no topic mixes the two


def test_complaints_are_grouped_and_labelled_by_their_terms(store: Store) -> None:
    prices = [f"What does the lamp number {n} cost in dollars?" for n in range(8)]
    chairs = [f"When is the wooden chair number {n} delivered?" for n in range(8)]
    for who, question in enumerate([*prices, *chairs]):
        about = builders.recorded(store, question=question)
        said: dict[str, Any] = {"rating": "down", "reasons": ["wrong"]}
        if who % 4:
            said = {"comment": "No."}
        builders.say(store, f"p{who}", completion_id=about, **said)
    builders.say(store, rating="up")
    with store.session() as session:
        told = insights.complaints(session, **SPAN)
        assert insights.complaints(session, since=1.0, until=2.0)["groups"] == []
    assert (told["complaints"], told["people"], told["complete"]) == (16, 16, True)
    groups = told["groups"]
    assert sum(group["complaints"] for group in groups) == 16
    assert any("dollars" in group["topic"] for group in groups)
    assert any("chair" in group["topic"] for group in groups)
    for group in groups:
        words = {"lamp" in each["question"] for each in group["examples"]}
        assert len(words) == 1  # no group mixes the two
        assert group["earlier"] + group["later"] == group["complaints"]
    reasons = sum(reason["count"] for group in groups for reason in group["reasons"])
    assert reasons == 4


def test_corrections_are_told_with_what_became_of_them(store: Store) -> None:
    ids = [builders.say(store, correction=f"It costs {n}.") for n in range(4)]
    builders.decide(store, ids[0], "accept")
    builders.decide(store, ids[1], "edit", correction="It costs 60.")
    builders.decide(store, ids[2], "refuse")
    builders.say(store, rating="up")
    with store.session() as session:
        told = insights.corrections(session, **SPAN)
    total = told["total"]
    assert (told["corrections"], total["people"]) == (4, 1)
    fates = ("waiting", "accepted", "edited", "refused", "learned", "held_out")
    assert [total[name] for name in fates] == [1, 1, 1, 1, 0, 0]


def test_too_little_to_tell_makes_no_topic() -> None:
    assert topics.topics([]).of == ()
    assert topics.topics(["lamp"] * 3).labels == ()
    assert set(topics.topics(["the of and"] * 20).of) == {None}
    assert set(topics.topics([f"word{n}" for n in range(20)]).of) == {None}
