"""`heed up`: the door, what is said once Heed answers, and a graceful end."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feedback.errors import Forbidden, Invalid
from feedback.store import Store
from serving.auth import create_key, revoke_key
from serving.commands import server
from serving.settings import load
from tests.serving.command_line import fault, store_at


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    monkeypatch.setattr(server, "_log_to_stderr", lambda _: None)
    yield store
    store.close()


def test_answers_says_where_and_finishes_what_is_in_flight(store: Store, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from serving.cli import main; main()", "up", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        said = "".join(up.stdout.readline() for _ in range(4))
        found = re.search(r"API +(http://127\.0\.0\.1:(\d+))/v1", said)
        assert found is not None, said
        assert str(tmp_path / "data") in said
        url, port = found[1], int(found[2])
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        docs = re.search(r"Docs +(\S+)", said)
        assert docs is not None
        assert httpx.get(docs[1]).status_code == 200

        body = json.dumps({"model": "heed", "messages": [{"role": "user", "content": "hello"}]})
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body[:10].encode())
            )
            # A second request, answered on the way, shows that the first has begun.
            assert httpx.get(f"{url}/readyz").status_code == 200
            up.send_signal(signal.SIGTERM)
            assert up.stderr is not None
            while "Shutting down" not in up.stderr.readline():
                pass
            slow.sendall(body[10:].encode())
            assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
        assert up.wait(20) == 0
        assert "Traceback" not in up.stderr.read()


@pytest.mark.usefixtures("store")
def test_refuses_to_let_other_machines_in_without_a_key() -> None:
    said = fault("up", "--host", "0.0.0.0", "--port", "0", exit_code=2)
    assert "`heed keys create --role admin`" in said


def test_a_valid_key_opens_the_door_and_a_revoked_one_does_not(store: Store) -> None:
    wide = load(serving={"host": "0.0.0.0"})
    with store.session(write=True) as session:
        row, _ = create_key(session, role="client", name="")
        session.commit()
    server.guard_the_door(wide)
    with store.session(write=True) as session:
        revoke_key(session, row.id)
        session.commit()
    with pytest.raises(Forbidden):
        server.guard_the_door(wide)
    server.guard_the_door(load(serving={"host": "::1"}))


@pytest.mark.usefixtures("store")
def test_names_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 is taken" in fault("up", "--port", str(port))


@pytest.mark.usefixtures("store")
def test_names_an_address_that_is_none() -> None:
    assert "'no.such.invalid' is no address" in fault("up", "--host", "no.such.invalid")


@pytest.mark.usefixtures("store")
def test_names_a_base_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_SERVING__ENGINE", "local")
    monkeypatch.setenv("HEED_TRAINER__BASE_MODEL", "/no/such/model")
    assert "'/no/such/model' is neither" in fault("up", "--port", "0")


@pytest.mark.usefixtures("store")
def test_an_engine_that_does_not_start_is_a_plain_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: object) -> None:
        raise Invalid("The weights are of another kind.")

    monkeypatch.setattr("serving.engines.echo.EchoEngine.start", refuse)
    assert fault("up", "--port", "0") == "Error: The weights are of another kind.\n"
