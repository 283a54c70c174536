"""Trust in the store: what a claim writes, what a quorum takes, what the report says."""

import time

from feedback import harvest, reports, trust
from feedback.harvest import Word
from feedback.store import Store
from tests import builders
from tests.builders import DAY_SECONDS

RIGHT = "The lamp costs 59 dollars."


def known(store: Store, who: str, *, days: float) -> None:
    """Somebody who has been chatting here for so long."""
    builders.recorded(store, who=who, question=who, created_at=time.time() - days * DAY_SECONDS)
    builders.known_since(store, who, seconds=days * DAY_SECONDS)


def quarrel(store: Store, number: int = 10) -> dict[str, list[str]]:
    """Three people and a liar vote on the same answers, each asked anew and by another adapter."""
    people = ("ana", "ben", "cleo", "liar")
    for at, who in enumerate(people):
        known(store, who, days=3 + at)
    said: dict[str, list[str]] = {who: [] for who in people}
    for at in range(number):
        for who in people:
            name = builders.recorded(
                store,
                who=who,
                question=f"What about thing {at}{'?' if who == 'ana' else ' ?!'}",
                answer=f"It is {at}.",
                adapter_id=f"adp_{who}",
            )
            rating = "up" if (at % 2 == 0) != (who == "liar") else "down"
            said[who].append(builders.say(store, who, completion_id=name, rating=rating))
    return said


def claimed(store: Store) -> dict[str, Word]:
    settings = store.settings.model_copy(update={"account_cap_minimum": 50})
    with store.session(write=True) as session:
        harvest.claim(session, settings, "rnd_1")
        session.commit()
    with store.session() as session:
        return {word.feedback_id: word for word in harvest.words(session, "rnd_1")}


def test_people_agree_across_exchanges_and_adapters_and_a_liar_is_refused(store: Store) -> None:
    said = quarrel(store)
    words = claimed(store)
    assert all(words[each].weight > 0.9 for each in said["ana"])
    assert not words.keys() & set(said["liar"])
    refused = builders.receipt_of(store, said["liar"][0])
    assert refused.status == "refused"
    assert "It does not count: the votes of this account seldom agree" in refused.reason
    assert builders.receipt_of(store, said["ana"][0]).weight == words[said["ana"][0]].weight


def test_noise_is_told_to_the_learner_by_kind(store: Store) -> None:
    quarrel(store)
    noise = harvest.noise(list(claimed(store).values()))
    assert noise["rating"]["judged"] == 30
    assert noise["rating"]["wrong_share"] < 0.1


def test_what_a_reviewer_stood_by_counts_fully(store: Store) -> None:
    said = quarrel(store)
    builders.decide(store, said["liar"][0])
    word = claimed(store)[said["liar"][0]]
    assert (word.weight, word.right, word.accepted_by) == (1.0, 1.0, "reviewer")


def test_the_report_names_nobody_in_clear_and_says_why(store: Store) -> None:
    quarrel(store)
    builders.say(store, "newcomer", rating="up")
    with store.session() as session:
        found = reports.trust(session, store.settings)
    rows = {row["account"]: row for row in found["discounted"]}
    liar = rows[builders.person("liar")[:12]]
    assert liar["weight"] == 0.0 and liar["judged"] == 10
    assert "probably wrong" in liar["reasons"][0]
    assert "share of a round" in liar["reasons"][-1]
    assert "too young" in " ".join(rows[builders.person("newcomer")[:12]]["reasons"])
    assert builders.person("liar") not in str(found)
    assert found["answers_shared"] == 10
    assert found["noise"]["rating"]["wrong_share"] > 0.15


def test_the_report_names_circles_and_those_whose_corrections_seldom_hold_up(
    store: Store,
) -> None:
    said = [
        *(("liar", f"lie {at}") for at in range(3)),
        *(("ally", f"lie {at}") for at in range(3)),
    ]
    for who, what in said:
        name = builders.say(store, who, correction=f"The lamp is a {what}.")
        if who == "liar":
            builders.decide(store, name, "refuse")
    for at in range(30):  # others, who speak on their own
        for who in (f"p{at % 7}", f"p{at % 5 + 7}"):
            builders.say(store, who, correction=f"Thing number {at}.")
    for at in range(8):
        for who in ("one", "two"):
            builders.say(store, who, correction=f"They agree on {at}.")
    with store.session() as session:
        found = reports.trust(session, store.settings)
    rows = {row["account"]: " ".join(row["reasons"]) for row in found["discounted"]}
    for who in ("liar", "ally"):
        assert "3 corrections are probably wrong" in rows[builders.person(who)[:12]]
    for who in ("one", "two"):
        assert "the same corrections as 1 other(s)" in rows[builders.person(who)[:12]]
    assert "same corrections" not in rows[builders.person("p0")[:12]]


def test_the_report_of_an_empty_store_is_empty(store: Store) -> None:
    with store.session() as session:
        found = reports.trust(session, store.settings)
    assert (found["votes"], found["discounted"], found["noise"]) == (0, [], {})


def correct(store: Store, who: str) -> str:
    name = builders.recorded(store, who=who, question="What does the lamp cost?")
    return builders.say(store, who, completion_id=name, correction=RIGHT)


def settled(store: Store, **changes: object) -> int:
    with store.session(write=True) as session:
        accepted = trust.settle(session, store.settings.model_copy(update=changes))
        session.commit()
    return accepted


def test_accounts_that_one_key_made_up_within_minutes_are_no_quorum(store: Store) -> None:
    for at, who in enumerate(("one", "two", "three", "four")):
        known(store, who, days=2 + at / 1000)
        correct(store, who)
    assert settled(store) == 0
    known(store, "ana", days=5)
    correct(store, "ana")
    assert settled(store) == 0  # four who are one, and another: two sources
    assert settled(store, quorum_burst_seconds=0.0) == 5


def test_accounts_that_never_asked_anything_are_no_quorum(store: Store) -> None:
    for at, who in enumerate(("one", "two", "three")):
        correct(store, who)  # the account may be old: its first question is a moment old
        builders.known_since(store, who, seconds=(2 + at) * DAY_SECONDS)
    for who in ("one", "two", "three"):
        correct(store, who)
    assert settled(store) == 0
    assert settled(store, quorum_needs_own_chats=False) == 2 * 3  # each said so twice


def test_a_liar_is_no_part_of_a_quorum(store: Store) -> None:
    quarrel(store, 12)
    for who in ("ana", "ben", "liar"):
        correct(store, who)
    assert settled(store) == 0
    correct(store, "cleo")
    assert settled(store) == 3
