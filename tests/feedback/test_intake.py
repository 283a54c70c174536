"""Taking things in: idempotent, faults in place, and never stuck."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, func, select

from feedback import intake, ledger, votes
from feedback.errors import Conflict, HeedError, Invalid, NotFound, TooLarge, Unavailable
from feedback.ids import new_id
from feedback.intake import Intake, Taken, Told
from feedback.models import Exchange, Feedback, Person, Receipt
from feedback.store import Store
from tests import builders

WAIT_SECONDS = 20


@pytest.fixture
def taking(store: Store) -> Iterator[Intake]:
    taking = Intake(store, store.settings)
    taking.start()
    yield taking
    taking.stop()


def count(store: Store, table: type[Any]) -> int:
    with store.session() as session:
        return session.exec(select(func.count()).select_from(table)).one()


def test_what_is_acknowledged_is_there(store: Store, taking: Intake) -> None:
    made = builders.exchange()
    completion_id = made.id
    taking.record(made).result(WAIT_SECONDS)
    taken = taking.submit(
        builders.told(completion_id=completion_id, rating="down", comment="Too short.")
    ).result(WAIT_SECONDS)
    assert not taken.repeated
    assert taken.completion_id == completion_id
    found = builders.feedback_of(store, taken.receipt.feedback_id)
    assert (found.rating, found.body["comment"]) == (0.0, "Too short.")
    assert builders.receipt_of(store, found.id).status == "waiting"


def test_an_exchange_and_its_feedback_may_arrive_together(store: Store) -> None:
    made = builders.exchange()
    said = builders.told(completion_id=made.id)
    with store.session(write=True) as session:
        _, taken = intake.apply(session, [made, said], store.settings)
        session.commit()
    assert isinstance(taken, Taken)


def test_a_doubled_event_gets_the_same_receipt(store: Store, taking: Intake) -> None:
    said = builders.told(completion_id=builders.recorded(store), event_id="e1")
    first = taking.submit(said).result(WAIT_SECONDS)
    second = taking.submit(said).result(WAIT_SECONDS)
    assert second.repeated
    assert second.receipt.feedback_id == first.receipt.feedback_id
    assert count(store, Feedback) == 1


def test_an_event_id_used_for_something_else_is_a_conflict(store: Store, taking: Intake) -> None:
    completion_id = builders.recorded(store)
    first = builders.told(completion_id=completion_id, event_id="e1", rating="up")
    taking.submit(first).result(WAIT_SECONDS)
    for other in (
        builders.told(completion_id=completion_id, event_id="e1", rating="down"),
        builders.told("ben", completion_id=completion_id, event_id="e1", rating="up"),
        builders.told(completion_id=builders.recorded(store), event_id="e1", rating="up"),
    ):
        with pytest.raises(Conflict) as refused:
            taking.submit(other).result(WAIT_SECONDS)
        assert refused.value.param == "event_id"
    assert count(store, Feedback) == 1


def test_doubled_and_conflicting_events_are_told_apart_within_one_batch(store: Store) -> None:
    completion_id = builders.recorded(store)
    up = builders.told(completion_id=completion_id, event_id="e1", rating="up")
    down = builders.told(completion_id=completion_id, event_id="e1", rating="down")
    with store.session(write=True) as session:
        first, second, third = intake.apply(session, [up, up, down], store.settings)
        session.commit()
    assert isinstance(first, Taken) and isinstance(second, Taken)
    assert (first.repeated, second.repeated) == (False, True)
    assert first.receipt.feedback_id == second.receipt.feedback_id
    assert isinstance(third, Conflict)


def test_events_without_an_id_are_never_the_same(store: Store) -> None:
    said = builders.told(completion_id=builders.recorded(store))
    assert len(set(builders.tell(store, said, said))) == 2


@pytest.mark.parametrize("writers", [1, 3])
def test_the_same_events_from_many_threads_are_stored_once(store: Store, writers: int) -> None:
    """Several writers stand for several processes: each has its own queue and thread."""
    completion_id = builders.recorded(store)
    takings = [Intake(store, store.settings) for _ in range(writers)]
    for each in takings:
        each.start()
    names = [f"e{number}" for number in range(30)]

    def deliver(number: int) -> list[tuple[str, str]]:
        # Everybody starts elsewhere, so that two writers hold the same events in another order.
        order = names[number * 7 % 30 :] + names[: number * 7 % 30]
        order = order[::-1] if number % 2 else order
        said = [builders.told(completion_id=completion_id, event_id=name) for name in order]
        futures = [takings[number % writers].submit(each) for each in said]
        return [
            (name, future.result(WAIT_SECONDS).receipt.feedback_id)
            for name, future in zip(order, futures, strict=True)
        ]

    with ThreadPoolExecutor(6) as pool:
        answers = {pair for pairs in pool.map(deliver, range(6)) for pair in pairs}
    for each in takings:
        each.stop()
    assert len(answers) == 30
    assert count(store, Feedback) == 30


def test_an_event_that_another_process_stores_at_the_same_moment_is_a_doubled_one(
    store: Store, taking: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = builders.told(completion_id=builders.recorded(store), event_id="e1")
    first = taking.submit(said).result(WAIT_SECONDS)
    look = ledger._known_events
    looks: list[Sequence[Told]] = []

    def too_early_at_first(session: Session, tolds: Sequence[Told]) -> Any:
        looks.append(tolds)
        return look(session, tolds) if len(looks) > 1 else {}

    monkeypatch.setattr(ledger, "_known_events", too_early_at_first)
    second = taking.submit(said).result(WAIT_SECONDS)
    assert second.repeated
    assert second.receipt.feedback_id == first.receipt.feedback_id


def test_many_threads_submit_and_every_acknowledged_row_is_there(
    store: Store, taking: Intake
) -> None:
    completion_id = builders.recorded(store)

    def speak(name: str) -> set[str]:
        said = [builders.told(name, completion_id=completion_id) for _ in range(40)]
        return {
            future.result(WAIT_SECONDS).receipt.feedback_id
            for future in [taking.submit(each) for each in said]
        }

    with ThreadPoolExecutor(8) as pool:
        acknowledged = set().union(*pool.map(speak, [f"p{n}" for n in range(8)]))
    with store.session() as session:
        stored = set(session.exec(select(Receipt.feedback_id)))
    assert acknowledged == stored
    assert len(stored) == 320
    assert count(store, Person) == 9


def test_refuses_feedback_about_what_it_does_not_know(store: Store, taking: Intake) -> None:
    completion_id = builders.recorded(store)
    for fields, error, param in (
        ({"completion_id": "chatcmpl_none"}, NotFound, "completion_id"),
        (
            {"completion_id": completion_id, "preferred_over": "chatcmpl_none"},
            NotFound,
            "preferred_over",
        ),
        ({"completion_id": completion_id, "choice": 1}, Invalid, "choice"),
        (
            {"completion_id": completion_id, "preferred_over": completion_id},
            Invalid,
            "preferred_over",
        ),
    ):
        with pytest.raises(error) as refused:
            taking.submit(builders.told(**fields)).result(WAIT_SECONDS)
        assert refused.value.param == param
    assert count(store, Feedback) == 0


def test_refuses_text_that_cannot_be_kept_before_it_is_queued(taking: Intake) -> None:
    for text, error in (
        ("a\x00b", Invalid),
        ("x" * (taking._settings.max_text_bytes + 1), TooLarge),
    ):
        with pytest.raises(error) as refused:
            taking.submit(builders.told(completion_id="c", correction=text))
        assert refused.value.param == "correction"


def test_a_signal_may_be_about_a_whole_conversation(store: Store) -> None:
    told = builders.told(conversation_id="conv_1", signal="return")
    assert builders.feedback_of(store, builders.tell(store, told)[0]).exchange_id is None


def test_what_the_database_says_of_an_entry_is_not_told_to_its_sender(
    store: Store, taking: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    twice = builders.exchange()
    taking.record(twice).result(WAIT_SECONDS)
    with pytest.raises(Unavailable) as refused:
        taking.record(builders.exchange(id=twice.id)).result(WAIT_SECONDS)
    assert refused.value.message.startswith("This could not be stored; Heed's log says more.")
    for detail in ("UNIQUE", "constraint", "exchange", twice.id, "sqlite", "psycopg", "sqlalche"):
        assert detail not in refused.value.message
    (line,) = [each for each in caplog.records if each.name == "heed.intake"]
    assert line.exc_info is not None
    assert isinstance(line.exc_info[1], IntegrityError)


def test_one_faulty_entry_does_not_take_its_neighbours_along(store: Store) -> None:
    """The faulty one breaks the whole transaction; the others are written again without it."""
    # SQLite would take that word as a number.
    faults: dict[str, Any] = {
        "prompt_tokens": "many",
        **({"model": object()} if store.is_sqlite else {}),
    }
    good, bad, last = builders.exchange(), builders.exchange(**faults), builders.exchange()
    ids = good.id, bad.id, last.id
    taking = Intake(store, store.settings)
    taking._open = True  # queue first, so that all of them end up in one batch
    futures = [taking.record(each) for each in (good, bad, last)]
    taking.start()
    futures[0].result(WAIT_SECONDS)
    futures[2].result(WAIT_SECONDS)
    with pytest.raises(Unavailable):
        futures[1].result(WAIT_SECONDS)
    taking.stop()
    with store.session() as session:
        assert set(session.exec(select(Exchange.id))) == {ids[0], ids[2]}


def test_a_caller_that_goes_away_neither_stops_the_writer_nor_loses_its_word(
    store: Store,
) -> None:
    completion_id = builders.recorded(store)
    taking = Intake(store, store.settings)
    taking._open = True  # queue first, so that the caller leaves before the writer comes
    leaving = taking.submit(builders.told(completion_id=completion_id, event_id="left"))
    leaving.cancel()
    staying = taking.submit(builders.told(completion_id=completion_id, event_id="stayed"))
    taking.start()
    staying.result(WAIT_SECONDS)
    taking.submit(builders.told(completion_id=completion_id)).result(WAIT_SECONDS)
    taking.stop()
    with store.session() as session:
        events = set(session.exec(select(Feedback.event_id)))
    assert {"left", "stayed"} < events


def test_a_stopped_intake_has_written_what_was_queued_and_refuses_the_rest(store: Store) -> None:
    completion_id = builders.recorded(store)
    taking = Intake(store, store.settings)
    taking.start()
    futures = [taking.submit(builders.told(completion_id=completion_id)) for _ in range(600)]
    taking.stop()
    assert all(future.done() for future in futures)
    assert count(store, Feedback) == 600
    with pytest.raises(Unavailable):
        taking.submit(builders.told(completion_id=completion_id))
    with pytest.raises(Unavailable):
        taking.record(builders.exchange())
    taking.stop()  # twice is as good as once


def test_an_intake_that_was_never_started_refuses(store: Store) -> None:
    with pytest.raises(Unavailable):
        Intake(store, store.settings).submit(builders.told(completion_id="c"))


def test_nobody_waits_for_ever_while_it_stops(store: Store) -> None:
    """Whoever races with `stop` is answered or refused, never left hanging."""
    completion_id = builders.recorded(store)
    for _ in range(5):
        taking = Intake(store, store.settings)
        taking.start()
        futures: list[Future[Taken]] = []

        def speak(taking: Intake = taking, futures: list[Future[Taken]] = futures) -> None:
            try:
                for _ in range(30):
                    futures.append(taking.submit(builders.told(completion_id=completion_id)))
            except HeedError:
                return

        speakers = [threading.Thread(target=speak) for _ in range(4)]
        for speaker in speakers:
            speaker.start()
        taking.stop()
        for speaker in speakers:
            speaker.join(WAIT_SECONDS)
        assert all(future.done() for future in futures)


def test_the_last_of_two_votes_in_one_batch_is_in_force(store: Store) -> None:
    """Without a client's time the order of arrival counts, also where one batch holds both."""
    for _ in range(8):  # random ids would get it right every other time
        completion_id = builders.recorded(store)
        up = builders.told(completion_id=completion_id, rating="up", event_id=new_id("z"))
        down = builders.told(completion_id=completion_id, rating="down", event_id=new_id("a"))
        first, second = builders.tell(store, up, down)
        with store.session() as session:
            events = session.exec(
                select(Feedback).where(Feedback.exchange_id == completion_id)
            ).all()
        assert votes.superseded(events) == {first: second}


def test_a_clock_that_runs_ahead_does_not_win_for_ever(store: Store) -> None:
    completion_id = builders.recorded(store)
    ahead = builders.told(completion_id=completion_id, created_at=time.time() + 1e6)
    first = builders.tell(store, ahead)[0]
    second = builders.tell(store, builders.told(completion_id=completion_id, rating="down"))[0]
    with store.session() as session:
        assert votes.superseded(session.exec(select(Feedback)).all()) == {first: second}
