"""The log and its ids: every response and every line of it has one, and none says what was said."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from feedback.errors import Invalid
from feedback.settings import FeedbackSettings
from serving import logs
from serving.context import Heed
from serving.engines.echo import EchoEngine
from tests import builders
from tests.serving.conftest import Server, on_sqlite, running, wait_until

SECRETS = ("apricot", "quince", "medlar", "somebody")
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The log of everything in this process, as `heed up` would write it; all of it."""
    root = logging.getLogger()
    names = (*logs._OURS, "uvicorn", "uvicorn.access")
    before = {name: logging.getLogger(name).level for name in names}
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # or they would be closed
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    yield stream
    root.handlers, root.level = handlers, level
    for name, was in before.items():
        logging.getLogger(name).setLevel(was)


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """Its lines so far."""
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def of_request(lines: Lines, request_id: str) -> list[dict[str, Any]]:
    """The lines of one request; its own last line is written just after its answer."""

    def found() -> list[dict[str, Any]]:
        return [line for line in lines() if line.get("request_id") == request_id]

    wait_until(lambda: any(line["logger"] == "heed.http" for line in found()))
    return found()


@on_sqlite
def test_a_request_has_one_line_with_its_id_its_route_and_its_adapter(
    own: Server, lines: Lines
) -> None:
    name = own.publish()
    assert own.promote(name).status_code == 200
    own.http.headers["X-Request-Id"] = "ticket-7.a:b"
    answer = own.chat()
    assert answer.headers["x-request-id"] == "ticket-7.a:b"
    (line,) = of_request(lines, "ticket-7.a:b")
    assert line["at"].endswith("Z")
    assert line["level"] == "info"
    assert (line["method"], line["route"], line["status"]) == (
        *("POST", "/v1/chat/completions"),
        200,
    )
    assert line["adapter"] == name
    assert 0 < line["seconds"] < 30


@on_sqlite
def test_an_id_that_cannot_be_kept_is_replaced(own: Server) -> None:
    for given in ("", "a" * 129, "two words", 'quote"d', "new\\nline", "ünï", "-dash", "{}", "a;b"):
        headers = [(b"X-Request-Id", given.encode())]
        made = own.http.get("/healthz", headers=headers).headers["x-request-id"]
        assert re.fullmatch("req_[0-9a-z]{26}", made), given
        assert own.http.get("/healthz", headers=headers).headers["x-request-id"] != made


@on_sqlite
def test_every_response_carries_the_id(
    settings: FeedbackSettings, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    with running(settings, max_body_bytes=2_000) as served:
        _, headers = served.key("client")
        chat = {"model": "heed", "messages": [{"role": "user", "content": "hello"}]}
        asked: dict[int, httpx.Response] = {
            200: served.http.post("/v1/chat/completions", json=chat, headers=headers),
            401: served.http.get("/v1/models"),
            403: served.http.get("/v1/rounds", headers=headers),
            404: served.http.get("/nowhere"),
            405: served.http.delete("/v1/rounds"),
            413: served.http.post("/v1/feedback", content=b"x" * 3_000, headers=headers),
            422: served.http.post("/v1/feedback", json={"rating": "up"}, headers=headers),
        }

        def broken(*_: object) -> str:
            raise RuntimeError("a bug")

        streamed = served.http.post(
            "/v1/chat/completions", json={**chat, "stream": True}, headers=headers
        )
        monkeypatch.setattr(Heed, "person_id", broken)
        asked[500] = served.http.post("/v1/chat/completions", json=chat, headers=headers)
    assert {expected: answer.status_code for expected, answer in asked.items()} == {
        expected: expected for expected in asked
    }
    answers = [*asked.values(), streamed]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(answers)
    for answer, name in zip(answers, ids, strict=True):
        assert answer.headers.get_list("x-request-id") == [name]
        line = of_request(lines, name)[-1]
        statuses = [each["status"] for each in of_request(lines, name) if "status" in each]
        assert statuses == [answer.status_code], line


def test_no_line_says_what_was_said_by_whom_or_with_which_key(
    own: Server, stream: io.StringIO, lines: Lines
) -> None:
    _, headers = own.key("admin")
    token = headers["Authorization"].split()[1]
    own.http.headers.update(headers)
    said = "the apricot and the quince"
    asked = own.asked(said, user="somebody", metadata={"topic": "medlar"})
    own.chat(said, stream=True, user="somebody")
    own.chat(said, model="quince")
    own.chat(said, temperature=9)
    own.http.post("/v1/chat/completions", content=f'{{"apricot": {said}')
    own.told(completion_id=asked, correction=said, comment="medlar", user="somebody")
    own.tell(completion_id="quince", comment=said)
    own.http.get("/v1/chat/completions/apricot?quince=medlar")
    own.http.get("/apricot", headers={"X-Request-Id": "the quince", "Referer": "apricot"})
    own.http.get("/v1/models", headers={"Authorization": "Bearer quince"})
    own.http.delete("/v1/users/somebody")
    last = own.http.get("/v1/models").headers["x-request-id"]
    of_request(lines, last)
    assert len(lines()) >= 12
    for secret in (*SECRETS, token):
        assert secret not in stream.getvalue()


def test_a_bug_is_logged_where_it_happened_and_without_its_values(
    settings: FeedbackSettings,
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO,
    lines: Lines,
) -> None:
    def broken(_: object, user: str | None, *__: object) -> str:
        try:
            raise KeyError("quince")
        except KeyError as inner:
            raise ValueError(f"apricot of {user}") from inner

    with running(settings) as served:
        monkeypatch.setattr(Heed, "person_id", broken)
        answer = served.chat("the apricot", user="somebody")
    assert answer.status_code == 500
    found = of_request(lines, answer.headers["x-request-id"])
    (bug,) = [line for line in found if line["logger"] == "heed"]
    assert bug["level"] == "error"
    assert "builtins.KeyError" in bug["exception"]
    assert bug["exception"][-1] == "builtins.ValueError"
    assert any("test_logs.py" in each and "in broken" in each for each in bug["exception"])
    for secret in SECRETS:
        assert secret not in stream.getvalue()


def test_a_write_that_fails_is_logged_without_what_was_to_be_written(
    own: Server, stream: io.StringIO, lines: Lines
) -> None:
    """The database's error would quote every value of the row."""
    taken = builders.recorded(own.store)
    again = builders.exchange(id=taken, messages=[{"role": "user", "content": "apricot"}])

    async def record() -> None:
        await asyncio.wrap_future(own.parts.intake.record(again))

    async def leave() -> None:
        own.parts.detach(record())
        await asyncio.gather(*own.parts.tasks, return_exceptions=True)

    asyncio.run(leave())
    (line,) = [each for each in lines() if each["message"].startswith("what was left to do")]
    assert "feedback.errors.Unavailable: This could not be stored" in line["exception"][-1]
    assert "apricot" not in stream.getvalue()


@on_sqlite
def test_a_client_that_left_is_logged_as_such(settings: FeedbackSettings, lines: Lines) -> None:
    with running(settings, EchoEngine(delay_seconds=0.02)) as served:
        body = {"model": "heed", "messages": [{"role": "user", "content": "word " * 400}]}
        sent = {"X-Request-Id": "leaver"}
        with served.http.stream(
            "POST", "/v1/chat/completions", json=body | {"stream": True}, headers=sent
        ) as answer:
            events = answer.iter_lines()
            next(events)
        (line,) = of_request(lines, "leaver")
        assert line["seconds"] < 400 * 0.02


@on_sqlite
def test_probes_of_machines_are_for_debugging(own: Server, lines: Lines) -> None:
    name = own.http.get("/healthz").headers["x-request-id"]
    (line,) = of_request(lines, name)
    assert line["level"] == "debug"


def test_others_stay_silent_at_debug(stream: io.StringIO) -> None:
    """Some of them write bodies and headers there."""
    logging.getLogger("httpcore.http11").debug("apricot")
    logging.getLogger("openai._base_client").info("apricot")
    logging.getLogger("uvicorn.access").info("GET /v1/users/somebody")
    assert stream.getvalue() == ""
    logging.getLogger("serving.engines.worker").debug("heard")
    logging.getLogger("uvicorn.error").info("heard")
    logging.getLogger("apscheduler").warning("heard")
    assert stream.getvalue().count("heard") == 3


def test_the_level_is_a_setting(stream: io.StringIO) -> None:
    logging.getLogger().handlers = []
    logs.configure("warning", "json", stream)
    logging.getLogger("heed.swap").info("not heard")
    logging.getLogger("heed.swap").warning("heard")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["heard"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize(
    ("form", "kind", "is_json"),
    [
        ("auto", Terminal, False),
        ("auto", io.StringIO, True),
        ("json", Terminal, True),
        ("text", io.StringIO, False),
    ],
)
def test_a_terminal_gets_text_and_a_file_json(
    form: logs.Format, kind: type[io.StringIO], is_json: bool
) -> None:
    logging.getLogger().handlers = []
    target = kind()
    logs.configure("info", form, target)
    token = logs.asking.set(logs.Asking("req_1"))
    try:
        raise Invalid("Heed's own words.")
    except Invalid:
        logging.getLogger("heed").exception("it failed", extra={"fields": {"seconds": 0.25}})
    finally:
        logs.asking.reset(token)
    written = target.getvalue()
    assert "feedback.errors.Invalid: Heed's own words." in written
    if is_json:
        assert json.loads(written)["request_id"] == "req_1"
    else:
        assert "ERROR heed: it failed (250 ms) [req_1]\n" in written
