"""Who gets in: this machine alone until there is a key, then keys alone."""

import asyncio
import logging
import threading
import time

import httpx
import openai
import pytest

from feedback.store import Store
from serving.auth import REFRESH_SECONDS, KeyRing, create_key, is_loopback, revoke_key
from serving.engines.echo import EchoEngine
from serving.engines.measured import Measured
from tests.serving.conftest import Server, fault, on_sqlite, wait_until


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("testclient", False),
        ("", False),
        (None, False),
    ],
)
def test_knows_this_machine_by_its_address(host: str | None, own: bool) -> None:
    assert is_loopback(host) is own


@pytest.mark.parametrize("key", ["any", "sk-proj-123", "x"])
def test_without_keys_any_bearer_value_will_do(server: Server, key: str) -> None:
    with server.stock(key) as client:
        assert client.models.list().data
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": f"Bearer {key}"}):
        assert server.http.get("/v1/adapters", headers=headers).status_code == 200


@pytest.mark.parametrize("other", ["203.0.113.7", "10.1.2.3", "127.0.0.1, 203.0.113.7", "localhos"])
def test_without_keys_other_machines_are_refused(server: Server, other: str) -> None:
    # As a proxy on this machine tells it; uvicorn believes only those.
    answer = server.http.get("/v1/models", headers={"X-Forwarded-For": other})
    assert answer.status_code == 401
    assert "heed keys create" in fault(answer)["message"]
    assert server.http.get("/healthz", headers={"X-Forwarded-For": other}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "localhost.evil.example", "testclient", "[::2]:1"]
)
def test_without_keys_a_page_that_renames_this_machine_is_refused(
    server: Server, host: str
) -> None:
    answer = server.http.get("/v1/models", headers={"Host": host})
    assert answer.status_code == 401
    assert fault(answer)["type"] == "authentication_error"


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:9", "[::1]:9"])
def test_without_keys_this_machine_may_be_called_by_its_names(server: Server, host: str) -> None:
    assert server.http.get("/v1/models", headers={"Host": host}).status_code == 200


def test_without_keys_foreign_pages_can_change_nothing(own: Server) -> None:
    name = own.publish()
    assert own.promote(name).status_code == 200
    # What a browser sends across origins without asking first: no body, or text.
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://[",
        "file://",
    ):
        answer = own.http.post("/v1/adapters/rollback", headers={"Origin": origin})
        assert answer.status_code == 401, origin
        fault(answer)
        assert own.http.get("/readyz").json()["live"] == name
    for ours in ("http://localhost:3000", own.url, "http://[::1]:3000"):
        assert own.http.get("/v1/models", headers={"Origin": ours}).status_code == 200


@on_sqlite
def test_the_first_key_ends_the_open_door(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.auth.REFRESH_SECONDS", 0.05)
    assert own.http.get("/v1/models").status_code == 200
    with own.store.session(write=True) as session:
        _, token = create_key(session, role="client", name="first")
        session.commit()
    wait_until(lambda: own.http.get("/v1/models").status_code == 401)
    for header in (None, "", "Bearer", "Basic abc", "Bearer any", f"Basic {token}"):
        answer = own.http.get("/v1/models", headers={"Authorization": header} if header else {})
        assert answer.status_code == 401
        assert fault(answer)["type"] == "authentication_error"
    for header in (f"Bearer {token}", f"bearer  {token}"):
        assert own.http.get("/v1/models", headers={"Authorization": header}).status_code == 200
    # A key is a key from anywhere.
    anywhere = {"X-Forwarded-For": "203.0.113.7", "Host": "heed.example", "Origin": "https://x.y"}
    with_key = {"Authorization": f"Bearer {token}", **anywhere}
    assert own.http.get("/v1/models", headers=with_key).status_code == 200


@on_sqlite
def test_a_revoked_key_is_refused_and_the_door_stays_shut(
    own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.auth.REFRESH_SECONDS", 0.05)
    key_id, headers = own.key("admin")
    assert own.http.get("/v1/adapters", headers=headers).status_code == 200
    with own.store.session(write=True) as session:
        revoke_key(session, key_id)
        session.commit()
    wait_until(lambda: own.http.get("/v1/adapters", headers=headers).status_code == 401)
    assert "revoked" in fault(own.http.get("/v1/adapters", headers=headers))["message"]
    assert own.http.get("/v1/adapters").status_code == 401


@on_sqlite
def test_the_stock_client_hears_which_role_is_missing(own: Server) -> None:
    _, headers = own.key("client")
    answer = own.http.post("/v1/rounds", headers=headers)
    assert answer.status_code == 403
    assert "`admin`" in fault(answer)["message"]
    with own.stock("wrong") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_a_key_is_nowhere_in_clear(own: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        key_id, headers = own.key("client")
        token = own.keys[key_id]
        name = own.http.post(
            "/v1/chat/completions",
            json={"model": "heed", "messages": [{"role": "user", "content": "a"}]},
            headers=headers,
        ).json()["id"]
        told = {"completion_id": name, "rating": "up"}
        assert own.http.post("/v1/feedback", json=told, headers=headers).status_code == 201
        assert own.http.get("/v1/rounds", headers=headers).status_code == 403
        assert own.http.get("/nowhere", headers=headers).status_code == 404
    logged = [f"{line.getMessage()} {line.args}" for line in caplog.records]
    # What httpx logs of itself in this process is the client's business.
    assert not [line for line in logged if token in line and "httpcore" not in line]
    assert key_id in own.everything()
    assert token not in own.everything()
    assert token.removeprefix("heed_") not in own.everything()


def test_an_exchange_and_its_feedback_belong_to_a_key(own: Server) -> None:
    mine_id, mine = own.key("client")
    _, theirs = own.key("client")
    _, reviewer = own.key("reviewer")
    body = {"model": "heed", "messages": [{"role": "user", "content": "a"}]}
    name = own.http.post("/v1/chat/completions", json=body, headers=mine).json()["id"]
    assert own.exchange(name).key_id == mine_id
    told = own.http.post(
        "/v1/feedback", json={"completion_id": name, "rating": "up"}, headers=mine
    ).json()["id"]
    update = {"json": {"metadata": {"rating": "down"}}}
    for who, status in ((mine, 200), (theirs, 403), (reviewer, 200)):
        seen = [
            own.http.get(f"/v1/feedback/{told}", headers=who),
            own.http.get(f"/v1/chat/completions/{name}", headers=who),
            own.http.post(f"/v1/chat/completions/{name}", headers=who, **update),  # type: ignore[arg-type]
        ]
        assert [answer.status_code for answer in seen] == [status] * 3
    assert own.http.delete(f"/v1/feedback/{told}", headers=theirs).status_code == 403
    assert own.http.delete(f"/v1/feedback/{told}", headers=mine).status_code == 200
    # Anybody with a key may say something about an answer that they were shown.
    other = {"completion_id": name, "rating": "up", "event_id": "theirs"}
    assert own.http.post("/v1/feedback", json=other, headers=theirs).status_code == 201


@on_sqlite
def test_who_is_unnamed_speaks_as_their_key(own: Server) -> None:
    people = set()
    for _ in range(2):
        _, headers = own.key("client")
        body = {"model": "heed", "messages": [{"role": "user", "content": "a"}]}
        name = own.http.post("/v1/chat/completions", json=body, headers=headers).json()["id"]
        people.add(own.exchange(name).person_id)
    assert len(people) == 2


@on_sqlite
def test_the_engine_is_not_reached_without_a_key(own: Server) -> None:
    own.key("client")
    assert isinstance(own.parts.engine, Measured) and isinstance(own.parts.engine.inner, EchoEngine)
    answer = own.chat("hello")
    assert answer.status_code == 401
    assert httpx.get(f"{own.url}/healthz").status_code == 200


def test_one_look_at_the_keys_serves_all_who_wait_for_it(store: Store) -> None:
    ring, looks, gate = KeyRing(store), [0], threading.Event()
    look = ring._refresh

    def counted() -> None:
        looks[0] += 1
        assert gate.wait(60)
        look()

    async def crowd() -> None:
        vars(ring)["_refresh"] = counted
        callers = [asyncio.create_task(ring.caller(None, "127.0.0.1")) for _ in range(50)]
        while not looks[0]:
            await asyncio.sleep(0)
        assert not any(each.done() for each in callers)  # nothing is known yet
        gate.set()
        assert {each.role for each in await asyncio.gather(*callers)} == {"admin"}
        assert looks == [1]
        # What is known and not too old is renewed meanwhile, and nobody waits.
        gate.clear()
        ring._read_at = time.monotonic() - 0.75 * REFRESH_SECONDS
        assert (await ring.caller(None, "127.0.0.1")).role == "admin"
        assert ring._reading is not None and not ring._reading.done()
        gate.set()
        await ring._reading
        assert looks == [2]

    asyncio.run(crowd())
