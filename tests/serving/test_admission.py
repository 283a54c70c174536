"""What is let in, what is turned away, and how a place becomes free again."""

import time
from typing import Any

import httpx
import pytest
from sqlmodel import select

from feedback.models import Exchange
from feedback.settings import FeedbackSettings
from serving.engines import limits
from serving.engines.echo import EchoEngine
from tests.serving.conftest import Server, fault, on_sqlite, running, wait_until


class Reader(EchoEngine):
    """An echo that counts the words it has had to look at."""

    looked_at = 0

    def _token(self, word: str) -> int:
        self.looked_at += 1
        return super()._token(word)


def ask(server: Server, words: int) -> dict[str, Any]:
    """The arguments of a streamed request whose echo has so many words."""
    said = [{"role": "user", "content": "word " * words}]
    body = {"model": "heed", "stream": True, "messages": said}
    return {"method": "POST", "url": f"{server.url}/v1/chat/completions", "json": body}


def states(server: Server) -> list[str]:
    """What became of the answers on the record, in the order of their asking."""
    with server.store.session() as session:
        rows = session.exec(select(Exchange)).all()
    return [row.state for row in sorted(rows, key=lambda row: row.created_at)]


def test_the_one_too_many_is_sent_away_and_the_rest_go_on(settings: FeedbackSettings) -> None:
    engine = EchoEngine(delay_seconds=0.02)
    with running(settings, engine, max_waiting=2) as busy, httpx.Client(timeout=60) as http:
        with http.stream(**ask(busy, 40)) as one, http.stream(**ask(busy, 40)) as other:
            for stream in (False, True):
                refused = busy.chat(stream=stream)
                assert refused.status_code == 429
                assert int(refused.headers["retry-after"]) > 0
                assert fault(refused)["type"] == "rate_limit_error"
            assert busy.http.get("/readyz").status_code == 200
            assert busy.tell(completion_id="chatcmpl-none", rating="up").status_code == 404
            heard = [one.read().decode(), other.read().decode()]
        assert all(each.count("word") == 40 and each.endswith("[DONE]\n\n") for each in heard)
        assert busy.chat("hi").status_code == 200
        assert states(busy) == ["complete"] * 3


def test_a_reader_who_leaves_makes_room_and_leaves_a_partial_answer(
    settings: FeedbackSettings,
) -> None:
    engine = EchoEngine(delay_seconds=0.02)
    with running(settings, engine, max_waiting=1) as busy, httpx.Client(timeout=60) as http:
        with http.stream(**ask(busy, 900)) as answer:
            lines = answer.iter_lines()  # kept: letting go of it ends the answer
            next(line for line in lines if "word" in line)
            assert busy.chat().status_code == 429
        left_at = time.monotonic()
        wait_until(lambda: busy.chat("hi").status_code == 200)
        # Words enough for eighteen seconds were still to come.
        assert time.monotonic() - left_at < 12
        assert engine.health().running == 0
        assert states(busy) == ["partial", "complete"]


def test_somebody_who_waits_for_a_whole_answer_and_leaves_makes_room_too(
    settings: FeedbackSettings,
) -> None:
    engine = EchoEngine(delay_seconds=0.02)
    with running(settings, engine, max_waiting=1) as busy:
        left_at = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            httpx.request(**{**ask(busy, 900), "json": _whole(900)}, timeout=0.2)
        wait_until(lambda: busy.chat("hi").status_code == 200)
        assert time.monotonic() - left_at < 12
        assert engine.health().running == 0
        assert states(busy) == ["partial", "complete"]


def test_a_place_is_free_again_after_every_way_to_fail(settings: FeedbackSettings) -> None:
    engine = EchoEngine(context_tokens=20)
    with running(settings, engine, max_waiting=1) as busy:
        for stream in (False, True):
            assert busy.chat("word " * 30, stream=stream).status_code == 400
            assert busy.chat("hi", stream=stream, model="nobody").status_code == 404
            assert busy.chat("hi", stream=stream, max_tokens=0).status_code == 400
        assert busy.parts.in_flight == 0
        assert busy.chat("hi").status_code == 200


@on_sqlite
def test_a_prompt_beyond_every_budget_is_refused_unread(settings: FeedbackSettings) -> None:
    engine = Reader(context_tokens=64)
    with running(settings, engine) as served:
        engine.looked_at = 0  # by the probe at the start, if there was one
        too_long = "word " * (64 * limits.MAX_CHARACTERS_PER_TOKEN // 5 + 1)
        for messages in (
            [{"role": "user", "content": too_long}],
            [{"role": "user", "content": [{"type": "text", "text": too_long}]}],
            [{"role": "user", "content": too_long[i::4]} for i in range(4)],
        ):
            refused = served.chat(messages=messages)
            assert refused.status_code == 400
            assert fault(refused)["param"] == "messages"
            assert "64 tokens" in fault(refused)["message"]
        assert engine.looked_at == 0
        # Shorter than that it has to be counted, and is refused for what it counts.
        assert served.chat("word " * 80).status_code == 400
        assert engine.looked_at == 80


def _whole(words: int) -> dict[str, Any]:
    return {"model": "heed", "messages": [{"role": "user", "content": "word " * words}]}
