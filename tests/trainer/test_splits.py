"""Who tunes a round: by person, apart from who trains and who judges, and only where it is wanted."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.harvest import Word
from tests.builders import person, plan, word
from trainer import material, outcome, splits
from trainer.material import Gathered, Sorted

SEARCH = {"step_share": "search", "replay_share": 0.5}


def crowd(people: int = 60, facts: int = 4) -> list[Word]:
    """Everybody corrects two facts and likes something of their own."""
    words = []
    for who in range(people):
        about = {"person_id": person(f"p{who}")}
        words += [
            word(
                f"fbk_{who:03}_{fact}",
                question=f"What is fact {fact}?",
                correction=f"Fact {fact} holds.",
                **about,
            )
            for fact in {who % facts, (who + 1) % facts}
        ]
        words.append(word(f"fbk_{who:03}_up", question=f"Are you {who}?", rating=1.0, **about))
    return words


def sort(words: list[Word], **fields: object) -> Sorted:
    gathered = Gathered(tuple(words), (), (), (), ())
    return material.sort(gathered, plan(**{**SEARCH, **fields}))


@given(seed=st.integers(0, 20), share=st.sampled_from([0.05, 0.1, 0.3]))
def test_nobody_is_in_two_of_train_dev_and_gate(seed: int, share: float) -> None:
    words = crowd()
    people = {each.feedback_id: each.person_id for each in words}
    found = sort(words, seed=seed, dev_share=share)
    tuned = {name for each in found.dev for name in each.feedback_ids}
    held = {each.feedback_id for each in found.held_out}
    assert tuned and held and found.roles
    assert not tuned & found.roles.keys() and not tuned & held
    measured = {each.feedback_id for each in found.measured}
    assert tuned | held | measured | found.roles.keys() | set(found.silent) == people.keys()
    assert {people[name] for name in measured} == {people[name] for name in held}
    assert not measured & (tuned | found.roles.keys())
    tuners = {people[name] for name in tuned}
    assert not tuners & {people[name] for name in found.roles}
    assert not tuners & {people[name] for name in held}
    assert not tuners & {each.cluster for each in found.training}
    assert len(tuned) <= share * len(words) + 3


def test_dev_asks_for_what_others_teach() -> None:
    words = crowd()
    made = Counter(each.correction for each in words if each.correction is not None)
    found = sort(words, dev_share=0.5)
    tuned = Counter(each.target for each in found.dev if each.kind == "demonstration")
    taught = Counter(
        each.target
        for each in found.training
        if each.kind == "demonstration" and each.source == "new"
    )
    assert tuned
    for text, count in tuned.items():
        assert 4 * count <= made[text]
        assert 2 * taught[text] >= made[text]


def test_whose_correction_nobody_shares_is_learned_from() -> None:
    alone = [
        word(f"fbk_x{n}", person_id=person(f"x{n}"), correction=f"Only I say {n}.")
        for n in range(30)
    ]
    found = sort([*crowd(), *alone], dev_share=0.4)
    assert found.dev
    assert not {name for each in found.dev for name in each.feedback_ids} & {
        each.feedback_id for each in alone
    }


def test_without_a_setting_that_wants_it_there_is_no_dev() -> None:
    words = crowd()
    found = sort(words, step_share=0.8, dev_share=0.5)
    assert found.dev == ()
    assert not splits.dev_wanted(plan())
    assert outcome.counts(Gathered(tuple(words), (), (), (), ()), found).keys().isdisjoint({"dev"})


def test_what_tuned_is_told_so_in_the_manifest_and_counted() -> None:
    words = crowd()
    found = sort(words)
    planned = outcome.planned(found)
    tuned = {name for name, fate in planned.items() if fate["role"] == outcome.DEV}
    assert tuned == {name for each in found.dev for name in each.feedback_ids}
    assert planned.keys() == {each.feedback_id for each in words}
    counts = outcome.counts(Gathered(tuple(words), (), (), (), ()), found)
    assert counts["dev"] == len(tuned) > 0
    assert counts["measured"] == len(found.measured) > 0
    parts = (counts[name] for name in ("dev", "used", "held_out", "measured"))
    assert sum(parts) == len(words)


def test_a_retry_is_judged_by_people_who_have_not_judged_before() -> None:
    words = crowd(people=80)
    seen: set[str] = set()
    judged: frozenset[str] = frozenset()
    for _ in range(4):
        held = splits.held_out(words, plan(), judged=judged)
        people = {each.person_id for each in held}
        assert people and not people & seen
        seen |= people
        judged |= {each.feedback_id for each in held}
    assert splits.held_out(words, plan()) == splits.held_out(words, plan())


def test_where_everybody_has_judged_nobody_does() -> None:
    words = crowd(people=12)
    every = frozenset(each.feedback_id for each in words)
    assert splits.held_out(words, plan(), judged=every) == []


def test_who_judged_a_round_that_could_not_tell_trains_in_the_next() -> None:
    words = crowd(people=80)
    first = material.sort(Gathered(tuple(words), (), (), (), ()), plan())
    judges = {each.feedback_id for each in first.held_out}
    again = Gathered(tuple(words), (), (), (), (), judged=frozenset(judges))
    second = material.sort(again, plan())
    assert judges and judges <= second.roles.keys()
    assert not judges & {each.feedback_id for each in second.held_out}


def voters(people: int, each: int = 2) -> list[Word]:
    """People who correct nothing: one thumb up, the others down."""
    return [
        word(
            f"fbk_v{who:03}_{n}", person_id=person(f"v{who}"), question=f"{who} {n}?", rating=1 - n
        )
        for who in range(people)
        for n in range(each)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_share_of_the_thumbs_is_held_out_by_person(seed: int) -> None:
    clicks = [
        word(f"fbk_c{who}", person_id=person(f"v{who}"), rating=0.8, accepted_by="signal")
        for who in range(20)
    ]
    words = [*crowd(), *voters(60), *clicks]
    found = sort(words, step_share=0.8, seed=seed)
    people = {each.person_id for each in (*found.held_out, *found.measured)}
    assert not people & {each.cluster for each in found.training if each.source == "new"}
    ids = {each.feedback_id for each in (*found.held_out, *found.measured)}
    assert ids == {each.feedback_id for each in words if each.person_id in people}
    assert {each.person_id for each in found.held_out} < people
    thumbs = [each for each in found.measured if each.accepted_by != "signal"]
    assert 0.1 * 180 < len(thumbs) <= 0.15 * 180
    assert all(each.correction is None for each in found.measured)


def test_where_the_share_of_the_thumbs_tells_nothing_all_are_learned() -> None:
    assert sort(voters(26), step_share=0.8).measured == ()
    assert len(sort(voters(27), step_share=0.8).measured) == splits.FEWEST_MEASURED
    assert len(sort(voters(2000), step_share=0.8).measured) == splits.MOST_MEASURED


def test_a_person_with_more_thumbs_than_the_share_is_not_taken() -> None:
    loud = voters(1, each=2) + [
        word(f"fbk_w{n}", person_id=person("v0"), question=f"{n}?", rating=1.0) for n in range(30)
    ]
    for seed in range(5):
        measured = sort([*voters(60)[2:], *loud], step_share=0.8, seed=seed).measured
        assert measured and person("v0") not in {each.person_id for each in measured}
