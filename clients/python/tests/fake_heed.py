"""The contract of Heed's feedback routes, small: what a client can count on, and every way to fail.

Knows nothing of the server's code.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx

Failing = Callable[[httpx.Request], httpx.Response | None]


class FakeHeed:
    """Answers requests; `failures` come first, one for each request."""

    def __init__(self) -> None:
        self.events: dict[str, tuple[dict[str, Any], str]] = {}
        self.requests: list[httpx.Request] = []
        self.failures: deque[Failing] = deque()
        self.up = True
        self.turned_away = 0
        self.takes_batches = True
        self.most_lines = 10_000
        self.key: str | None = None
        self.unknown: set[str] = set()
        self.unstorable: set[str] = set()
        self._serving = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._serving:
            return self._answer(request)

    def fail(self, *statuses: int, **headers: str) -> None:
        """Answer the next requests so."""
        self.failures.extend(partial(_not_now, status, headers) for status in statuses)

    @property
    def batches(self) -> list[int]:
        """The number of lines of every batch that came."""
        return [
            len(request.content.splitlines())
            for request in self.requests
            if request.url.path.endswith("/batch")
        ]

    @property
    def singles(self) -> int:
        """How often a single piece came."""
        return sum(
            request.method == "POST" and request.url.path == "/v1/feedback"
            for request in self.requests
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            self.turned_away += 1
            raise httpx.ConnectError("connection refused", request=request)
        self.requests.append(request)
        if self.failures:
            answer = self.failures.popleft()(request)
            if answer is not None:
                return answer
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return httpx.Response(401, json=error("This API key is unknown.", None))
        path = request.url.path
        if request.method == "POST" and path == "/v1/feedback":
            assert request.headers["content-type"] == "application/json"
            status, body = self._take(json.loads(request.content))
            return httpx.Response(status, json=body)
        if request.method == "POST" and path == "/v1/feedback/batch" and self.takes_batches:
            return self._batch(request)
        known = {feedback_id: body for body, feedback_id in self.events.values()}
        name = path.rpartition("/")[2]
        if path == f"/v1/feedback/{name}" and name in known:
            became = "withdrawn" if request.method == "DELETE" else "waiting"
            return httpx.Response(200, json=receipt(name, known[name], became))
        return httpx.Response(404, json=error(f"There is no {request.method} {path}.", None))

    def _batch(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["content-type"] == "application/x-ndjson"
        lines = [line for line in request.content.split(b"\n") if line.strip()]
        if len(lines) > self.most_lines or len(request.content) > 16 * 1024 * 1024:
            return httpx.Response(413, json=error("Too much.", None))
        results = []
        for line in lines:
            try:
                status, body = self._take(json.loads(line))
            except ValueError:
                status, body = 422, error("This line is not JSON.", None)
            results.append({"status": status, **(body if status >= 400 else {"id": body["id"]})})
        said = "".join(f"{json.dumps(result)}\n" for result in results)
        return httpx.Response(200, text=said, headers={"content-type": "application/x-ndjson"})

    def _take(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        event_id = body["event_id"]
        if body.get("completion_id") in self.unknown:
            return 404, error("No such completion is on record.", "completion_id")
        if body.get("comment") in self.unstorable:
            return 503, error("This could not be stored.", None)
        if event_id in self.events:
            earlier, feedback_id = self.events[event_id]
            if earlier != body:
                return 409, error("Taken with another body.", "event_id")
            return 200, receipt(feedback_id, body)
        feedback_id = f"fbk_{len(self.events)}"
        self.events[event_id] = (body, feedback_id)
        return 201, receipt(feedback_id, body)


def _not_now(status: int, headers: dict[str, str], _request: httpx.Request) -> httpx.Response:
    return httpx.Response(status, json=error("Not now.", None), headers=headers)


def error(message: str, param: str | None) -> dict[str, Any]:
    """The shape of every error."""
    return {"error": {"message": message, "type": "error", "param": param, "code": "told"}}


def receipt(name: str, body: dict[str, Any], status: str = "waiting") -> dict[str, Any]:
    """A receipt, with a field that this client does not know yet."""
    return {
        "id": name,
        "object": "feedback.receipt",
        "status": status,
        "completion_id": body.get("completion_id"),
        "reason": "Waits for the next round.",
        "round": None,
        "adapter": None,
        "something_new": 1,
    }
