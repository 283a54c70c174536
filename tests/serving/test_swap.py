"""A replica that cannot serve what is deployed: it goes on with what it has, and says so."""

import logging
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlmodel import select

from feedback.errors import Invalid
from serving.engines.base import Chunk, GenerationRequest
from serving.engines.echo import EchoEngine
from serving.models import ReplicaState
from serving.swap import Swap
from tests.serving.conftest import Server, on_sqlite, running, wait_until
from trainer import registry

pytestmark = on_sqlite


def deploy(server: Server, name: str) -> None:
    """What another replica or the command line does: only the registry changes."""
    with server.store.session(write=True) as session:
        registry.promote(session, name, actor="test", reason="elsewhere")
        session.commit()


def test_follows_what_others_deploy(own: Server) -> None:
    name = own.publish()
    deploy(own, name)
    wait_until(lambda: own.http.get("/readyz").json()["live"] == name)
    assert own.chat().headers["x-heed-adapter"] == name
    with own.store.session() as session:
        (state,) = session.exec(select(ReplicaState)).all()
    assert (state.generation, state.live_id, state.error) == (1, name, None)


def test_what_cannot_be_served_is_said_and_the_old_version_goes_on(
    own: Server, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = own.publish(), own.publish()
    assert own.promote(old).status_code == 200
    own.damage(new)
    with caplog.at_level(logging.ERROR, "heed.swap"):
        deploy(own, new)
        wait_until(lambda: own.http.get("/readyz").json()["swap_error"])
        wait_until(lambda: "digest" in caplog.text)
    ready = own.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["live"] == old
    assert (ready.json()["generation"], ready.json()["deployed_generation"]) == (1, 2)
    assert new in ready.json()["swap_error"]
    assert own.chat().headers["x-heed-adapter"] == old
    with own.store.session() as session:
        (state,) = session.exec(select(ReplicaState)).all()
    assert (state.generation, state.live_id) == (1, old)
    assert new in (state.error or "")
    # The next deployment ends the trouble.
    third = own.publish(parent=old)
    assert own.promote(third).status_code == 200
    assert own.http.get("/readyz").json()["swap_error"] is None
    assert own.chat().headers["x-heed-adapter"] == third


def test_what_anybody_may_read_of_the_trouble_names_no_path(
    own: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(own.store.settings.data_dir)
    name = own.publish()
    own.damage(name)
    with caplog.at_level(logging.ERROR, "heed.swap"):
        deploy(own, name)
        wait_until(lambda: folder in caplog.text)
    said = own.http.get("/readyz").json()["swap_error"]
    assert "differs from its digest" in said
    assert "/" not in said
    with own.store.session() as session:
        (state,) = session.exec(select(ReplicaState)).all()
    assert folder in (state.error or "")

    async def broken(adapter_id: str, folder: Path) -> None:
        raise Invalid(f"[Errno 13] Permission denied: '{folder}'. Look at it.")

    other = own.publish()
    monkeypatch.setattr(own.parts.engine.inner, "load", broken)  # type: ignore[attr-defined]
    monkeypatch.setattr("serving.swap.RETRY_SECONDS", 0.05)
    deploy(own, other)
    wait_until(lambda: other in own.http.get("/readyz").json()["swap_error"])
    said = own.http.get("/readyz").json()["swap_error"]
    assert said == f"Generation 2 ({other}) is not served here: it cannot be loaded. This " + (
        "replica's log says more."
    )


def test_trouble_is_not_looked_into_at_every_poll(
    own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    verify = registry.verify
    monkeypatch.setattr(registry, "verify", lambda *args: looks.append(1) or verify(*args))  # type: ignore[func-returns-value]
    name = own.publish()
    own.damage(name)
    deploy(own, name)
    wait_until(lambda: own.http.get("/readyz").json()["swap_error"])
    time.sleep(0.4)  # four polls
    assert len(looks) == 1


def test_a_follower_outlives_what_nobody_expected(
    own: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("serving.swap.RETRY_SECONDS", 0.05)
    read = Swap._read
    failures = iter([RuntimeError("a bug"), RuntimeError("another")])

    def failing(self: Swap) -> object:
        for failure in failures:
            raise failure
        return read(self)

    monkeypatch.setattr(Swap, "_read", failing)
    name = own.publish()
    deploy(own, name)
    wait_until(lambda: own.http.get("/readyz").json()["live"] == name)
    assert "a bug" in caplog.text


def test_a_restart_falls_back_to_the_youngest_intact_ancestor(own: Server) -> None:
    first = own.publish()
    second = own.publish(parent=first)
    third = own.publish(parent=second)
    assert own.promote(third).status_code == 200
    own.damage(third)
    shutil.rmtree(own.damage(second).parent)
    with running(own.store.settings, EchoEngine()) as again:
        assert again.chat().headers["x-heed-adapter"] == first
        ready = again.http.get("/readyz").json()
        assert (ready["live"], ready["generation"], ready["deployed_generation"]) == (first, 0, 1)
        assert third in ready["swap_error"]
        # Repaired, it is taken up by itself or by promoting it again.
        own.damage(third)  # the same byte, flipped back
        assert again.promote(third).json()["live"] == third
        assert again.chat().headers["x-heed-adapter"] == third


def test_a_restart_without_any_intact_version_serves_the_base(own: Server) -> None:
    name = own.publish()
    assert own.promote(name).status_code == 200
    own.damage(name)
    with running(own.store.settings, EchoEngine()) as again:
        assert again.chat().headers["x-heed-adapter"] == "base"


class Mute(EchoEngine):
    """Says nothing with an adapter: the probe has to notice."""

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        return super().generate(request) if request.adapter == "base" else self._silence()

    async def _silence(self) -> AsyncIterator[Chunk]:
        yield Chunk("", 0, "stop")


def test_a_version_that_says_nothing_is_not_served(own: Server) -> None:
    name = own.publish()
    with running(own.store.settings, Mute()) as mute:
        answer = mute.promote(name)
        assert answer.status_code == 400
        assert "probe" in answer.text
        assert mute.chat().headers["x-heed-adapter"] == "base"
        assert mute.http.get("/v1/adapters").json()["deployment"]["generation"] == 0
