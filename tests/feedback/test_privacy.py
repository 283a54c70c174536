"""Redaction: what the settings let be stored, in every text alike."""

import importlib.util

import pytest
from sqlmodel import select

from feedback import intake, privacy
from feedback.models import Review
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests import builders
from tests.feedback.test_privacy_patterns import INNOCENT
from trainer.starter.world import World, shop

PLAIN = FeedbackSettings()
STORAGE = FeedbackSettings(redaction="storage")
MAIL = "ana@mail.example"
CARD = "4111 1111 1111 1111"
HAS_PRESIDIO = importlib.util.find_spec("presidio_analyzer") is not None


def test_a_placeholder_stands_where_the_data_was() -> None:
    said = f"I am {MAIL}, card {CARD}, from 10.1.2.3."
    assert privacy.redacted(said, PLAIN) == "I am <EMAIL>, card <CARD>, from <IP>."


def test_redacting_twice_is_the_same_as_once() -> None:
    said = f"password: {'x1' * 8} or {MAIL} or +49 30 901820"
    once = privacy.redacted(said, PLAIN)
    assert privacy.redacted(once, PLAIN) == once
    assert privacy.placeholders(once) == ("SECRET", "EMAIL", "PHONE")


def test_of_pieces_that_overlap_the_longest_that_starts_first_counts() -> None:
    assert privacy.redacted(f"mailto:+49-30-901820@{'b.io'}", PLAIN) == "mailto:<EMAIL>"


def test_what_is_public_stays() -> None:
    settings = FeedbackSettings(redaction_keep=["@shop.example", "+49 30 901820", "10.0.0.1"])
    said = "help@shop.example, +49 (30) 90-18-20, 10.0.0.1 and me@other.example"
    assert privacy.redacted(said, settings) == (
        "help@shop.example, +49 (30) 90-18-20, 10.0.0.1 and <EMAIL>"
    )


def test_before_storage_nothing_of_it_reaches_the_database(store: Store) -> None:
    settings = store.settings.model_copy(update={"redaction": "storage"})
    exchange = builders.exchange(
        question=f"I am {MAIL}",
        answer=f"Hello {MAIL}",
        tags={"contact": MAIL},
        choices=[
            {
                "text": f"Hello {MAIL}",
                "tool_calls": [{"function": {"name": "mail", "arguments": f'{{"to": "{MAIL}"}}'}}],
            }
        ],
    )
    hashed = exchange.prompt_hash
    with store.session(write=True) as session:
        intake.apply(session, [exchange], settings)
        session.commit()
    said = builders.told(
        completion_id=exchange.id,
        rating="down",
        correction=f"Write to {MAIL}",
        comment=f"My card is {CARD}",
        reasons=[MAIL],
        survey={f"is {MAIL} yours?": MAIL, "how much?": 3.0},
        event_id="evt_1",
    )
    [feedback_id] = builders.tell(store, said, settings=settings)
    assert builders.tell(store, said, settings=settings) == [feedback_id]  # still the same event
    builders.decide(
        store,
        feedback_id,
        "edit",
        settings=settings,
        correction=f"Ask {MAIL}",
        reason=f"says {MAIL}",
    )
    with store.session() as session:
        kept = session.get_one(type(exchange), exchange.id)
        [decided] = session.exec(select(Review)).all()
    feedback = builders.feedback_of(store, feedback_id)
    assert kept.messages == [{"role": "user", "content": "I am <EMAIL>"}]
    assert kept.choices[0]["text"] == "Hello <EMAIL>"
    assert kept.choices[0]["tool_calls"][0]["function"]["arguments"] == '{"to": "<EMAIL>"}'
    assert kept.tags == {"contact": "<EMAIL>"}
    assert kept.prompt_hash != hashed
    assert feedback.correction == feedback.body["correction"] == "Write to <EMAIL>"
    assert feedback.body["comment"] == "My card is <CARD>"
    assert feedback.body["reasons"] == ["<EMAIL>"]
    assert feedback.body["survey"] == {"is <EMAIL> yours?": "<EMAIL>", "how much?": 3.0}
    assert (decided.correction, decided.reason) == ("Ask <EMAIL>", "says <EMAIL>")
    assert MAIL not in builders.receipt_of(store, feedback_id).reason
    told = builders.told(completion_id=exchange.id, correction=f"Write to {MAIL}")
    assert feedback.body_hash != told.submission.fingerprint(told.person_id)


@pytest.mark.parametrize("when", ["off", "training"])
def test_otherwise_the_reviewer_sees_what_was_said(store: Store, when: str) -> None:
    settings = store.settings.model_copy(update={"redaction": when})
    about = builders.recorded(store, question=f"I am {MAIL}")
    [feedback_id] = builders.tell(
        store, builders.told(completion_id=about, comment=MAIL), settings=settings
    )
    assert builders.feedback_of(store, feedback_id).body == {"comment": MAIL}


def test_a_conversation_that_holds_nothing_keeps_its_hash() -> None:
    exchange = builders.exchange()
    assert privacy.stored_exchange(exchange, STORAGE).prompt_hash == exchange.prompt_hash


@pytest.mark.skipif(not HAS_PRESIDIO, reason="needs `pip install 'heed[privacy]'`")
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"I am {MAIL}, card {CARD}.", "I am <EMAIL>, card <CARD>."),
        ("pay DE89 3704 0044 0532 0130 00", "pay <IBAN>"),
        ("call (415) 555-2671 or +49 30 901820", "call <PHONE> or <PHONE>"),
        ("my key sk-abcdefghijklmnopqrstuvwx from 192.168.17.4", "my key <SECRET> from <IP>"),
        (
            "The lamp costs 49 dollars. Open 9:00-17:30.",
            "The lamp costs 49 dollars. Open 9:00-17:30.",
        ),
    ],
)
def test_presidio_finds_them_offline(said: str, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def never(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", never)
    assert privacy.redacted(said, FeedbackSettings(redactor="presidio")) == kept


@pytest.mark.skipif(not HAS_PRESIDIO, reason="needs `pip install 'heed[privacy]'`")
def test_presidio_leaves_prices_numbers_and_hours_alone_too() -> None:
    settings = FeedbackSettings(redactor="presidio")
    world = shop()
    texts = [*INNOCENT, *(text for key in world.keys for text in _said(world, key))]
    touched = [text for text in texts if privacy.redacted(text, settings) != text]
    # A part's number that could be rung up in Germany, and `a::b`, which is an address.
    assert len(touched) == 2
    assert any("0815-4711" in text for text in touched)
    assert any("a::b" in text for text in touched)


def _said(world: World, key: str) -> tuple[str, ...]:
    return (world.phrasings(key)[0], world.answer(key, "polite"), world.answer(key, "curt"))
