"""What people see while the engine dies under them and comes back, over real HTTP."""

import json
import time

from feedback.settings import FeedbackSettings
from serving.engines.echo import EchoEngine
from serving.engines.supervised import SupervisedEngine
from tests.serving.conftest import Server, fault, on_sqlite, running, wait_until


class Line:
    """A factory that remembers what it made."""

    def __init__(self) -> None:
        self.made: list[EchoEngine] = []

    def __call__(self) -> EchoEngine:
        self.made.append(EchoEngine(delay_seconds=0.02))
        return self.made[-1]

    def die(self) -> None:
        """The newest is gone, and its readers learn it at their next word."""
        self.made[-1]._started = False


def events(server: Server, words: int, line: Line) -> list[str]:
    """Every event of a stream during which the engine dies."""
    body = {
        "model": "heed",
        "stream": True,
        "messages": [{"role": "user", "content": "word " * words}],
    }
    heard: list[str] = []
    with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        for said in answer.iter_lines():
            if said:
                heard.append(said.removeprefix("data: "))
            if len(heard) == 4:
                line.die()
    return heard


@on_sqlite
def test_people_are_told_and_the_next_are_answered(settings: FeedbackSettings) -> None:
    line = Line()
    engine = SupervisedEngine(line, backoff_seconds=0.5, poll_seconds=0.05)
    with running(settings, engine) as served:
        adapter = served.publish()
        assert served.promote(adapter).status_code == 200
        heard = events(served, 400, line)
        assert "word" in heard[3]
        error = json.loads(heard[-1])["error"]
        assert (error["code"], error["type"]) == ("unavailable", "server_error")
        assert len(heard) < 20
        identity = json.loads(heard[0])["id"]
        kept = f"/v1/chat/completions/{identity}"
        wait_until(lambda: served.http.get(kept).status_code == 200)
        logged = served.exchange(identity)
        assert (logged.state, logged.adapter_id) == ("failed", adapter)

        wait_until(lambda: served.http.get("/readyz").status_code == 503)
        said = served.http.get("/readyz").json()["engine"]
        assert "died" in said
        assert "is being restarted" in said
        for stream in (False, True):
            refused = served.chat(stream=stream)
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert fault(refused)["code"] == "unavailable"

        began = time.monotonic()
        wait_until(lambda: served.http.get("/readyz").status_code == 200)
        assert time.monotonic() - began < 30
        assert "restarted once" in served.http.get("/readyz").json()["engine"]
        answer = served.chat("tea for two")
        assert answer.headers["x-heed-adapter"] == adapter
        assert answer.json()["choices"][0]["message"]["content"] == f"[{adapter}] tea for two"
        assert served.parts.in_flight == 0


@on_sqlite
def test_an_engine_that_stays_down_says_so_until_the_end(settings: FeedbackSettings) -> None:
    line = Line()
    engine = SupervisedEngine(line, max_restarts=0, poll_seconds=0.02)
    with running(settings, engine) as served:
        line.die()
        wait_until(lambda: "stays down" in served.http.get("/readyz").json()["engine"])
        assert served.http.get("/readyz").status_code == 503
        assert served.http.get("/healthz").status_code == 200
        refused = served.chat()
        assert (refused.status_code, "stays down" in fault(refused)["message"]) == (503, True)
        assert served.http.get("/v1/models").status_code == 200
