"""Who looks at what, drafts that come back, and decisions that come too late."""

import threading

import pytest

from feedback import drafts, harvest, receipts, reservations, review_actions, verdicts
from feedback import review_queue as queue
from feedback.errors import Conflict, Invalid, NotFound
from feedback.review_models import ReviewItem
from feedback.review_queue import Filters
from feedback.store import Store
from tests import builders
from tests.feedback.test_review_queue import found, indexed, taken


def claim(store: Store, name: str, reviewer: str, now: float = 1000.0) -> ReviewItem:
    with store.session(write=True) as session:
        item = reservations.claim(session, store.settings, name, reviewer=reviewer, now_seconds=now)
        session.commit()
    return item


def test_a_reservation_is_refused_to_others_renewed_and_ends_by_itself(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    assert claim(store, name, "rita").reserved_until == 1600
    assert claim(store, name, "rita", 1300).reserved_until == 1900
    with pytest.raises(Conflict, match="reserved by rita until 1970-01-01 00:31:40 UTC"):
        claim(store, name, "sam", 1899)
    with store.session(write=True) as session:
        reservations.release(session, name, reviewer="sam")  # is not theirs to give
        session.commit()
    assert claim(store, name, "sam", 1900).reserved_by == "sam"
    with store.session(write=True) as session:
        reservations.release(session, name, reviewer="sam")
        session.commit()
    assert claim(store, name, "rita", 1901).reserved_by == "rita"
    with store.session(write=True) as session:
        assert reservations.release_all(session, reviewer="rita") == 1
        with pytest.raises(NotFound):
            reservations.item(session, "fbk_none")


def test_two_reviewers_never_get_the_same_item(store: Store) -> None:
    ids = {builders.say(store, correction=f"It costs {n}.") for n in range(12)}
    got: list[str | None] = []

    def work(reviewer: str) -> None:
        seen: list[str] = []
        for _ in range(4):
            name = taken(store, reviewer, skip=seen)
            got.append(name)
            seen.append(str(name))

    threads = [threading.Thread(target=work, args=(who,)) for who in ("rita", "sam", "tom")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(got) == ids and len(got) == len(ids)
    assert taken(store, "uma") is None
    assert taken(store, "uma", now=1600.0) in ids


def test_whoever_asks_again_gets_what_they_have_unless_they_skip_it(store: Store) -> None:
    first, second = (builders.say(store, correction=f"It costs {n}.") for n in (1, 2))
    assert taken(store, "rita") == taken(store, "rita") == first
    assert taken(store, "rita", skip=[first]) == second


def test_a_decision_is_refused_while_somebody_else_looks(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    claim(store, name, "sam", 4e9)
    with pytest.raises(Conflict, match="sam"):
        builders.decide(store, name, now_seconds=4e9)
    assert builders.decide(store, name, now_seconds=5e9).status == "waiting"


def test_a_decision_on_an_older_sight_is_refused_with_who_decided(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    seen = claim(store, name, "sam").version
    builders.decide(store, name, "refuse", now_seconds=2000)
    with pytest.raises(Conflict, match=r"rita decided it \(refuse\).*version 1"):
        builders.decide(store, name, "edit", correction="59.", version=seen)
    assert builders.receipt_of(store, name).status == "refused"
    builders.decide(store, name, "edit", correction="59.", version=seen + 1)


def test_everybody_has_a_draft_of_their_own_and_none_is_overwritten_unseen(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    with store.session(write=True) as session:
        for who, text in (("rita", "It c"), ("sam", "No"), ("rita", "It co")):
            drafts.save(session, store.settings, name, reviewer=who, correction=text)
        session.commit()
    with store.session(write=True) as session:
        mine = drafts.get(session, name, reviewer="rita")
        other = drafts.of(session, [name], reviewer="sam")[name]
        assert mine is not None
        assert (mine.correction, mine.version, other.correction) == ("It co", 2, "No")
        with pytest.raises(Conflict, match="version 2, not 1"):
            drafts.save(session, store.settings, name, reviewer="rita", correction="It", version=1)
        with pytest.raises(Invalid):
            drafts.save(session, store.settings, name, reviewer="rita", correction="a\x00")
        with pytest.raises(NotFound):
            drafts.save(session, store.settings, "fbk_no", reviewer="rita", correction="a")
        assert drafts.discard(session, name, reviewer="rita")
        assert not drafts.discard(session, name, reviewer="rita")


def test_undo_puts_everything_back_and_the_last_decision_is_the_one_before(store: Store) -> None:
    name = builders.say(store, comment="It is dearer.")
    builders.decide(store, name, "edit", correction="It costs 59.")
    before = builders.receipt_of(store, name).model_dump(exclude={"updated_at"})
    builders.decide(store, name, "refuse", reason="No.")
    with store.session(write=True) as session:
        [again] = review_actions.undo(session, name, reviewer="sam")
        session.commit()
    assert again.model_dump(exclude={"updated_at"}) == before
    assert found(store, lane="edited") == [name]
    with store.session(write=True) as session:
        assert harvest.claim(session, store.settings, "rnd_1") == 1
        [word] = harvest.words(session, "rnd_1")
        assert word.correction == "It costs 59."
        session.rollback()
    with store.session(write=True) as session:
        review_actions.undo(session, name, reviewer="sam")
        session.commit()
    assert not builders.receipt_of(store, name).teaches
    assert found(store, lane="waiting") == [name]
    with store.session(write=True) as session:
        with pytest.raises(Conflict, match="no decision"):
            review_actions.undo(session, name, reviewer="sam")
        assert review_actions.count(session, since=0)["edit"] == 0


def test_what_a_round_has_is_not_undone(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    builders.decide(store, name)
    with store.session(write=True) as session:
        harvest.claim(session, store.settings, "rnd_1")
        session.commit()
    with store.session(write=True) as session, pytest.raises(Conflict, match="Round rnd_1 has"):
        review_actions.undo(session, name, reviewer="rita")
    with store.session(write=True) as session:
        harvest.release(session, "rnd_1", "Given back.")
        review_actions.undo(session, name, reviewer="rita")
        session.commit()
    assert builders.receipt_of(store, name).status == "review"
    builders.decide(store, name, "refuse")
    with store.session(write=True) as session:
        receipts.withdraw(session, name)
        session.commit()
    with store.session(write=True) as session, pytest.raises(Conflict, match="has changed since"):
        review_actions.undo(session, name, reviewer="rita")


def test_a_cluster_is_decided_once_and_undone_at_once(store: Store) -> None:
    ids = [builders.say(store, who, correction="It costs 59.") for who in ("a", "b", "c", "d")]
    lone = builders.say(store, correction="It is made of oak and brass, not of plastic.")
    indexed(store)
    claim(store, ids[3], "sam", 4e9)
    with store.session(write=True) as session:
        covered = queue.alike(session, ids[1], reviewer="rita", now_seconds=4e9)
        assert [each.feedback_id for each in covered] == [ids[1], ids[0], ids[2]]
        for each in covered:
            verdicts.give(
                session,
                store.settings,
                feedback_id=each.feedback_id,
                decision="accept",
                reviewer="rita",
                batch="bat_1",
            )
        session.commit()
    assert found(store, lane="accepted") == ids[:3]
    with store.session(write=True) as session:
        undone = review_actions.undo(session, ids[2], reviewer="rita")
        session.commit()
    assert [each.feedback_id for each in undone] == [ids[2], ids[0], ids[1]]
    assert found(store, lane="waiting") == [*ids, lone]


def test_one_that_a_round_has_keeps_all_from_being_undone(store: Store) -> None:
    one, other = (builders.say(store, who, correction="It costs 59.") for who in ("a", "b"))
    for name in (one, other):
        builders.decide(store, name, batch="bat_1")
    with store.session(write=True) as session:
        receipts.receipt(session, other)[0].round_id = "rnd_1"
        session.commit()
    with store.session(write=True) as session, pytest.raises(Conflict, match=other):
        review_actions.undo(session, one, reviewer="rita")
    assert found(store, lane="accepted") == [one, other]


def test_filters_of_the_next_item_hold(store: Store) -> None:
    builders.say(store, correction="It costs 59.")
    remark = builders.say(store, comment="Hm.")
    with store.session(write=True) as session:
        row = queue.next_item(
            session, store.settings, Filters(kind="comment"), reviewer="rita", now_seconds=1
        )
    assert row is not None and row.feedback.id == remark
