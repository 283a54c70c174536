"""A file that is imported again: under a new key, for somebody else, after somebody was forgotten."""

import time
from typing import Any

import pytest
from sqlmodel import col, select

from feedback import forget, retention
from feedback.formats import catalogue, importing
from feedback.formats.names import In
from feedback.formats.on_record import AGED, CLASH, ERASED
from feedback.formats.records import Skipped, Tally
from feedback.models import Exchange, Feedback
from feedback.people import PeopleKey
from feedback.retention import DAY_SECONDS
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests.builders import tell, told
from tests.feedback.imports import KEY, exchanges, lines, source, stored

ROTATED = PeopleKey(b"n" * 32, (KEY,))
SAID: list[dict[str, Any]] = [
    {"prompt": "a?", "completion": "write to ana@shop.example"},
    {"prompt": "b?", "completion": "b", "label": True},
    {"prompt": "c?", "chosen": "c", "rejected": "d"},
]


def taken(
    store: Store,
    *rows: dict[str, Any],
    key: PeopleKey = KEY,
    user: str | None = None,
    name: In = "trl",
    settings: FeedbackSettings | None = None,
) -> tuple[tuple[int, int, int], set[str]]:
    """Import rows: how many were imported, known and skipped, and why those were."""
    tally, skipped = Tally(), list[Skipped]()
    entries = catalogue.entries(name, [source(lines(*rows))])
    voices = importing.Voices(key, name, user)
    used = settings or store.settings
    importing.load(store, used, voices, entries, tally=tally, report=skipped.append)
    return (tally.imported, tally.duplicates, tally.skipped), {row.reason for row in skipped}


def forgotten(store: Store, *people: str) -> None:
    with store.session(write=True) as session:
        forget.lock(session, people)
        forget.erase(session, forget.trace(session, people))
        session.commit()


def test_a_file_is_known_under_a_new_key_and_whoever_it_is_said_to_be_of(store: Store) -> None:
    assert taken(store, *SAID, user="ana") == ((3, 0, 0), set())
    before = [(row.id, row.person_id) for row, _, _ in stored(store)]
    assert taken(store, *SAID, user="ana", key=ROTATED) == ((0, 3, 0), set())
    assert taken(store, *SAID, user="ben") == ((0, 3, 0), set())
    assert taken(store, *SAID) == ((0, 3, 0), set())
    assert [(row.id, row.person_id) for row, _, _ in stored(store)] == before


def test_a_file_is_known_though_redaction_was_chosen_since(store: Store) -> None:
    taken(store, *SAID)
    hidden = store.settings.model_copy(update={"redaction": "storage"})
    assert taken(store, *SAID, settings=hidden) == ((0, 3, 0), set())


def test_a_name_that_stands_for_something_else_is_told_without_talk_of_events(
    store: Store,
) -> None:
    taken(store, SAID[1])
    [(first, _, exchange)] = stored(store)
    forgotten(store, KEY.person_id("import:trl"))
    tell(store, told(completion_id=exchange.id, event_id=first.event_id, comment="mine"))
    assert taken(store, SAID[1]) == ((0, 0, 1), {CLASH})


def test_what_was_forgotten_at_somebodys_request_is_not_taken_in_again(store: Store) -> None:
    taken(store, *SAID)
    forgotten(store, KEY.person_id("asked:trl"))
    # Neither is the worse answer of the comparison, whose row is gone altogether.
    assert taken(store, *SAID, user="somebody") == ((0, 0, 3), {ERASED})
    assert {each.state for each in exchanges(store)} == {"forgotten"}
    assert taken(store, {"prompt": "new?", "completion": "x"}) == ((1, 0, 0), set())


def test_a_demonstration_goes_with_whoever_gave_it_and_does_not_come_back(store: Store) -> None:
    taken(store, SAID[0], user="ana")
    taken(store, {**SAID[0], "prompt": "other?"}, user="ben")
    forgotten(store, *KEY.traceable("ana"))
    left = {each.state: each.messages for each in exchanges(store)}
    assert left == {"forgotten": [], "complete": [{"role": "user", "content": "other?"}]}
    assert taken(store, SAID[0], user="ana") == ((0, 0, 1), {ERASED})


def test_a_thumb_on_what_somebody_else_was_told_takes_nothing_of_theirs_along(
    store: Store,
) -> None:
    taken(store, SAID[1], user="ana")
    forgotten(store, *KEY.traceable("ana"))
    assert [each.state for each in exchanges(store)] == ["complete"]
    with store.session() as session:
        assert session.exec(select(Feedback.person_id)).all() == ["forgotten"]


@pytest.mark.parametrize("row", SAID)
def test_what_age_has_emptied_is_known_and_takes_no_other_vote(
    store: Store, row: dict[str, Any]
) -> None:
    taken(store, row)
    about = [exchange.id for _, _, exchange in stored(store)]
    later = time.time() + 40 * DAY_SECONDS
    store.settings = store.settings.model_copy(
        update={"keep_rated_days": 30, "keep_unrated_days": 30}
    )
    retention.purge(store, now_seconds=later)
    left = [each.id for each in exchanges(store)]
    assert taken(store, row) == taken(store, row, user="ana") == ((0, 1, 0), set())
    answer = row.get("completion") or row["chosen"]
    other = {"prompt": row["prompt"], "completion": answer, "label": False}
    assert taken(store, other) == ((0, 0, 1), {AGED})
    assert [each.id for each in exchanges(store)] == left
    with store.session() as session:
        emptied = select(Exchange.state).where(col(Exchange.id).in_(about))
        assert session.exec(emptied).all() == ["forgotten"]
