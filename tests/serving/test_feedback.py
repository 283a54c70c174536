"""Sending feedback: every kind of it, doubled and late, and what is refused."""

import gzip
import json
import time
from typing import Any

import openai
import pytest
from sqlmodel import select

from feedback.models import Person
from tests.builders import feedback_of, receipt_of
from tests.serving.conftest import Server, fault

KINDS: list[dict[str, Any]] = [
    {"rating": "up"},
    {"rating": "down"},
    {"rating": 4, "scale": 5},
    {"survey": {"clear?": "yes", "useful?": 4}},
    {"correction": "The answer as it should have been."},
    {"comment": "Nice."},
    {"reasons": ["too long", "wrong"]},
    *({"signal": name} for name in ("copy", "regenerate", "retry", "edit", "click", "follow_up")),
    *({"signal": name} for name in ("abandon", "bounce", "session_end")),
    {"signal": "session_end", "value": 300.0},
    {"signal": "dwell", "value": 12.5},
    {"signal": "something_new"},
    {"rating": "down", "correction": "Better.", "comment": "Because.", "reasons": ["tone"]},
]


@pytest.mark.parametrize(
    "said", KINDS, ids=lambda said: "+".join(map(str, (*said, said.get("signal", ""))))
)
def test_every_kind_of_feedback_is_taken(server: Server, said: dict[str, Any]) -> None:
    identity = server.asked()
    answer = server.tell(completion_id=identity, **said)
    assert answer.status_code == 201, answer.text
    receipt = answer.json()
    assert set(receipt) >= {"id", "status", "completion_id", "reason", "round", "adapter"}
    assert receipt["completion_id"] == identity
    waits = "review" if said.keys() & {"correction", "comment", "reasons"} else "waiting"
    assert receipt["status"] == waits
    assert receipt["reason"]
    assert server.http.get(f"/v1/feedback/{receipt['id']}").json() == receipt
    kept = feedback_of(server.store, receipt["id"])
    assert kept.body == said
    assert kept.exchange_id == identity


@pytest.mark.parametrize(
    ("said", "satisfaction"),
    [({"rating": "up"}, 1), ({"rating": "down"}, 0), ({"rating": 4, "scale": 5}, 0.75)],
)
def test_ratings_lie_between_zero_and_one(
    server: Server, said: dict[str, Any], satisfaction: float
) -> None:
    name = server.told(completion_id=server.asked(), **said)
    assert feedback_of(server.store, name).rating == satisfaction


def test_a_preference_names_the_other_answer(server: Server) -> None:
    better, worse = server.asked(), server.asked()
    name = server.told(completion_id=better, preferred_over=worse)
    assert feedback_of(server.store, name).preferred_over == worse


def test_a_signal_may_name_a_conversation_alone(server: Server) -> None:
    for said in ({"signal": "session_end"}, {"survey": {"again?": "yes"}}):
        answer = server.tell(conversation_id="talk-9", **said)
        assert answer.status_code == 201
        assert answer.json()["completion_id"] is None


def test_a_doubled_delivery_is_the_same_event(server: Server) -> None:
    said = {"completion_id": server.asked(), "event_id": "evt-doubled", "rating": "up"}
    first, second = server.tell(**said), server.tell(**said)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    for other in ({**said, "rating": "down"}, {**said, "user": "somebody"}):
        answer = server.tell(**other)
        assert answer.status_code == 409
        assert fault(answer)["param"] == "event_id"


def test_feedback_may_come_days_late(server: Server) -> None:
    identity = server.asked()
    with server.store.session(write=True) as session:
        logged = server.exchange(identity)
        logged.created_at -= 9 * 86_400
        session.add(logged)
        session.commit()
    said_at = time.time() - 2 * 86_400
    name = server.told(completion_id=identity, rating="up", created_at=said_at)
    assert feedback_of(server.store, name).told_at == pytest.approx(said_at)


def test_times_are_taken_as_iso_too_and_never_from_the_future(server: Server) -> None:
    identity = server.asked()
    name = server.told(completion_id=identity, rating="up", created_at="2026-01-31T10:00:00+01:00")
    assert feedback_of(server.store, name).told_at == 1769850000
    ahead = server.told(completion_id=identity, rating="up", created_at=time.time() + 1e6)
    assert feedback_of(server.store, ahead).told_at <= time.time()


def test_who_says_so_is_kept_as_a_hash(server: Server) -> None:
    identity = server.asked(user="dora")
    with_name = feedback_of(server.store, server.told(completion_id=identity, rating="up"))
    same = feedback_of(server.store, server.told(completion_id=identity, rating="up", user="dora"))
    assert same.person_id == server.exchange(identity).person_id != with_name.person_id


@pytest.mark.parametrize(
    ("said", "status", "param"),
    [
        ({"completion_id": "chatcmpl-none", "rating": "up"}, 404, "completion_id"),
        ({"completion_id": 5, "rating": "up"}, 422, "completion_id"),
        ({"completion_id": "", "rating": "up"}, 422, "completion_id"),
        ({"completion_id": "a\x00", "rating": "up"}, 422, "completion_id"),
        ({"rating": "up"}, 422, "completion_id"),
        ({"conversation_id": "c", "rating": "up"}, 422, "completion_id"),
        ({"rating": "sideways"}, 422, "rating"),
        ({"rating": 4}, 422, "scale"),
        ({"rating": 6, "scale": 5}, 422, "rating"),
        ({"rating": True, "scale": 5}, 422, "rating"),
        ({"rating": "up", "created_at": True}, 422, "created_at"),
        ({"rating": "up", "choice": False}, 422, "choice"),
        ({"signal": "dwell", "value": True}, 422, "value"),
        ({"survey": {"clear?": True}}, 422, "survey"),
        ({"survey": {}}, 422, "survey"),
        ({"comment": " \n"}, 422, "comment"),
        ({"reasons": ["short", " "]}, 422, "reasons"),
        ({"rating": "up", "choice": 1}, 422, "choice"),
        ({"rating": "up", "choice": -1}, 422, "choice"),
        ({"rating": "up", "mood": "good"}, 422, "mood"),
        ({"rating": "up", "created_at": "2026-01-31T10:00:00"}, 422, "created_at"),
        ({"rating": "up", "created_at": "yesterday"}, 422, "created_at"),
        ({"rating": "up", "user": "a\x00"}, 422, "user"),
        ({"rating": "up", "event_id": "a\x00"}, 422, "event_id"),
        ({"rating": "up", "event_id": "x" * 201}, 422, "event_id"),
        ({"correction": "  "}, 422, "correction"),
        ({"correction": ""}, 422, "correction"),
        ({"correction": "a\x00b"}, 422, "correction"),
        ({"correction": "x" * 65_537}, 413, "correction"),
        ({"comment": "ä" * 40_000}, 413, "comment"),
        ({"reasons": []}, 422, "reasons"),
        ({"reasons": ["a\x00"]}, 422, "reasons"),
        ({"survey": {"q\x00": "a"}}, 422, "survey"),
        ({"signal": "No Such Thing"}, 422, "signal"),
        ({"signal": "dwell", "value": "long"}, 422, "value"),
        ({"preferred_over": "chatcmpl-none"}, 404, "preferred_over"),
        ({"preferred_over": "itself"}, 422, "preferred_over"),
        ({}, 422, None),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    server: Server, said: dict[str, Any], status: int, param: str | None
) -> None:
    identity = server.asked()
    about: dict[str, Any] = {"completion_id": identity}
    if said.keys() & {"completion_id", "conversation_id"} or param == "completion_id":
        about = {}
    if said.get("preferred_over") == "itself":
        said = {"preferred_over": identity}
    answer = server.tell(**about, **said)
    assert answer.status_code == status, answer.text
    assert fault(answer)["param"] == param


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"completion_id": "%s", "comment": "\\ud800"}',
        b'\xef\xbb\xbf{"completion_id": "%s", "rating": "up"}',
        b'{"completion_id": "%s", "user": "\\ud800", "rating": "up"}',
        b'{"completion_id": "%s", "\\ud800": 1}',
        b'{"completion_id": "%s", "survey": {"\\ud800": 1}}',
        b'{"completion_id": "%s", "survey": {"a": NaN}}',
        b'{"completion_id": "%s", "signal": "dwell", "value": Infinity}',
        b'{"completion_id": "%s", "rating": NaN, "scale": 5}',
        b'{"completion_id": "%s", "rating": "up", "created_at": NaN}',
        b'{"completion_id": "%s", "comment": ' + b"[" * 90_000,
    ],
    ids=lambda body: body[:60].decode(),
)
def test_what_no_store_can_hold_is_refused(server: Server, body: bytes) -> None:
    answer = server.http.post(
        "/v1/feedback",
        content=body.replace(b"%s", server.asked().encode()),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in (400, 422), answer.text
    fault(answer)


def test_the_stock_client_sends_feedback_by_updating(server: Server) -> None:
    identity = server.asked("how much is it", user="emil")
    with server.stock() as client:
        updated = client.chat.completions.update(
            identity,
            metadata={
                "rating": "4",
                "scale": "5",
                "correction": "Ten dollars.",
                "reasons": "short, wrong",
                "survey": '{"clear?": "no"}',
                "user": "emil",
                "event_id": "evt-update",
            },
        )
    assert updated.id == identity
    assert updated.choices[0].message.content == "how much is it"
    assert updated.model == "heed"
    receipt = updated.heed  # type: ignore[attr-defined]
    assert receipt["status"] == "review"
    kept = feedback_of(server.store, receipt["id"])
    assert kept.rating == 0.75
    assert kept.correction == "Ten dollars."
    assert kept.body["reasons"] == ["short", "wrong"]
    assert kept.event_id == "evt-update"
    assert kept.person_id == server.exchange(identity).person_id


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        (None, "metadata"),
        ({}, "metadata"),
        ("up", "metadata"),
        ({"rating": 5}, "metadata.rating"),
        ({"rating": "lots"}, "metadata.rating"),
        ({"rating": "up", "choice": "first"}, "metadata.choice"),
        ({"survey": "{"}, "metadata.survey"),
        ({"survey": "[" * 50_000}, "metadata.survey"),
        ({"rating": "up", "completion_id": "chatcmpl-other"}, "metadata.completion_id"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_an_update_that_says_nothing_is_refused(server: Server, metadata: Any, param: str) -> None:
    answer = server.http.post(f"/v1/chat/completions/{server.asked()}", json={"metadata": metadata})
    assert answer.status_code == 400, answer.text
    assert fault(answer)["param"] == param


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        rb'{"metadata": {"\ud800": "up"}}',
        rb'{"metadata": {"comment": "\ud800"}}',
        rb'{"metadata": {"rating": "\ud800"}}',
    ],
)
def test_an_update_that_cannot_be_read_is_refused(server: Server, body: bytes) -> None:
    answer = server.http.post(
        f"/v1/chat/completions/{server.asked()}",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 400, answer.text
    fault(answer)


@pytest.mark.parametrize("told_at", ["1700000000", "1700000000.5", "2023-11-14T22:13:20Z"])
def test_an_update_may_say_when_in_seconds_or_as_iso(server: Server, told_at: str) -> None:
    metadata = {"rating": "up", "created_at": told_at}
    answer = server.http.post(f"/v1/chat/completions/{server.asked()}", json={"metadata": metadata})
    assert answer.status_code == 200, answer.text
    kept = feedback_of(server.store, answer.json()["heed"]["id"])
    assert kept.told_at == pytest.approx(1_700_000_000, abs=0.5)


def test_half_a_surrogate_pair_is_refused_by_the_name_of_its_field(server: Server) -> None:
    answer = server.http.post(
        "/v1/feedback",
        content=b'{"completion_id": "%s", "comment": "\\ud800"}' % server.asked().encode(),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422
    assert fault(answer)["param"] == "comment"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/feedback", "application/json"), ("/v1/feedback/batch", "application/x-ndjson")],
)
def test_what_is_packed_is_not_read(server: Server, path: str, kind: str) -> None:
    said = json.dumps({"completion_id": server.asked(), "rating": "up"}).encode()
    headers = {"content-type": kind, "content-encoding": "gzip"}
    answer = server.http.post(path, content=gzip.compress(said), headers=headers)
    assert answer.status_code == 415
    assert fault(answer)["param"] == "content-encoding"


def test_of_what_is_refused_nobody_is_remembered(server: Server) -> None:
    def people() -> set[str]:
        with server.store.session() as session:
            return {each.id for each in session.exec(select(Person))}

    server.asked()
    before = people()
    assert server.tell(completion_id="chatcmpl-none", rating="up", user="nobody").status_code == 404
    assert people() == before
    server.told(completion_id=server.asked(), rating="up", user="somebody")
    assert len(people()) == len(before) + 1


def test_an_update_of_an_unknown_completion_is_refused(server: Server) -> None:
    with server.stock() as client, pytest.raises(openai.NotFoundError):
        client.chat.completions.update("chatcmpl-none", metadata={"rating": "up"})


def test_a_vote_can_be_taken_back_and_twice_is_once(server: Server) -> None:
    name = server.told(completion_id=server.asked(), rating="up")
    for _ in range(2):
        answer = server.http.delete(f"/v1/feedback/{name}")
        assert answer.status_code == 200
        assert answer.json()["status"] == "withdrawn"
    assert server.http.get(f"/v1/feedback/{name}").json()["status"] == "withdrawn"


def test_a_vote_that_a_round_holds_is_not_taken_back(server: Server) -> None:
    name = server.told(completion_id=server.asked(), rating="up")
    with server.store.session(write=True) as session:
        found = receipt_of(server.store, name)
        found.status, found.reason = "used", "Learned."
        session.add(found)
        session.commit()
    answer = server.http.delete(f"/v1/feedback/{name}")
    assert answer.status_code == 409
    fault(answer)


@pytest.mark.parametrize("name", ["fbk_none", "%00", "..%2f..", "x" * 5000])
def test_an_unknown_receipt_is_not_found(server: Server, name: str) -> None:
    for verb in ("GET", "DELETE"):
        answer = server.http.request(verb, f"/v1/feedback/{name}")
        assert answer.status_code in (404, 422), answer.text
        fault(answer)
