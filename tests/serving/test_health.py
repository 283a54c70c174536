"""Health, errors everywhere in one shape, and the page of documentation."""

import re
from html.parser import HTMLParser

import httpx
import pytest

from feedback.errors import Unavailable
from feedback.settings import FeedbackSettings
from serving.context import Heed
from serving.engines.base import EngineHealth
from serving.routes import docs
from tests.serving.conftest import Server, fault, running
from tests.serving.test_roles import NEEDED


def test_says_that_it_is_alive_and_ready(server: Server) -> None:
    assert server.http.get("/healthz").json() == {"status": "ok"}
    ready = server.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    assert ready.json()["engine"] == "ready"
    assert ready.json()["swap_error"] is None


def test_is_not_ready_where_the_database_is_away(
    own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise Unavailable("The database did not take this (disk full).")

    monkeypatch.setattr(own.store, "session", away)
    ready = own.http.get("/readyz")
    assert ready.status_code == 503
    assert (ready.json()["ready"], "disk full" in ready.json()["database"]) == (False, True)
    assert own.http.get("/healthz").status_code == 200
    refused = own.tell(completion_id="chatcmpl-1", rating="up")
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert fault(refused)["type"] == "server_error"


def test_is_not_ready_where_the_engine_has_stopped(own: Server) -> None:
    own.parts.engine.inner._started = False  # type: ignore[attr-defined]
    assert own.http.get("/readyz").status_code == 503
    for stream in (False, True):
        answer = own.chat(stream=stream)
        assert answer.status_code == 503
        assert fault(answer)["code"] == "unavailable"
    assert own.parts.in_flight == 0
    own.parts.engine.inner._started = True  # type: ignore[attr-defined]


def test_says_how_answers_share_the_model(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own.http.get("/readyz").json()["batching"] is None  # an echo shares nothing
    found = EngineHealth(
        True, "ready; static batches, since they were asked for", batching="static"
    )
    monkeypatch.setattr(own.parts.engine.inner, "health", lambda: found)  # type: ignore[attr-defined]
    ready = own.http.get("/readyz")
    assert ready.status_code == 200
    assert (ready.json()["batching"], ready.json()["engine"]) == ("static", found.detail)


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/v1/nowhere", 404),
        ("GET", "/v1/feedback", 405),
        ("PUT", "/v1/chat/completions", 405),
        ("DELETE", "/v1/rounds", 405),
        ("GET", "/v1/%2e%2e/%2e%2e/etc/passwd", 404),
    ],
)
def test_errors_have_one_shape_everywhere(
    server: Server, verb: str, path: str, status: int
) -> None:
    answer = server.http.request(verb, path)
    assert answer.status_code == status
    fault(answer)


def test_a_bug_is_said_without_its_details(
    settings: FeedbackSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("secret detail")

    with running(settings) as served:
        monkeypatch.setattr(Heed, "person_id", broken)
        answer = served.chat()
        assert httpx.get(f"{served.url}/healthz").status_code == 200
    assert answer.status_code == 500
    assert fault(answer)["code"] == "internal_error"
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


def test_the_documentation_shows_every_route_and_loads_nothing(server: Server) -> None:
    page = server.http.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//", page.text)
    for route in NEEDED:
        verb, path = route.split()
        if path.startswith("/v1"):
            path = path.replace(":path}", "}")  # how it is matched is not how it is written
            assert f"<b>{verb}</b> {path}" in page.text
    for field in ("correction", "preferred_over", "max_completion_tokens", "canary_share"):
        assert f"<code>{field}</code>" in page.text
    balanced(page.text)


def test_the_documentation_escapes_what_it_shows() -> None:
    said = "<script>alert(1)</script>"
    page = docs.render(
        {
            "info": {"title": said, "version": said},
            "paths": {
                f"/{said}": {
                    "get": {
                        "tags": [said],
                        "description": said,
                        "parameters": [{"name": said, "in": said, "schema": {"type": said}}],
                    }
                }
            },
        }
    )
    assert "<script" not in page
    balanced(page)


def test_the_api_describes_itself(server: Server) -> None:
    document = server.http.get("/openapi.json").json()
    assert document["info"]["title"] == "Heed"
    described = document["components"]["schemas"]
    assert set(described["Fault"]["properties"]) == {"message", "type", "param", "code"}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            assert operation["description"], (verb, path)
            assert "HTTPValidationError" not in str(operation)


def balanced(page: str) -> None:
    """Every element that needs it is closed, in order."""
    optional = {"meta", "td", "th", "tr"}
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in optional:
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag not in optional:
                assert opened.pop() == tag

    Reader().feed(page)
    assert opened == []
