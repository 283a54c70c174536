"""What `/metrics` tells, after real requests."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from feedback.errors import Unavailable
from feedback.settings import FeedbackSettings
from serving.engines.base import Chunk, Engine, GenerationRequest
from serving.engines.echo import EchoEngine
from serving.engines.measured import Measured
from serving.metrics import KINDS, Metrics
from tests.builders import ended_round, opened_round
from tests.serving.conftest import Server, fault, on_sqlite, running, wait_until
from trainer import registry

DOCUMENTED = Path(__file__).parents[2] / "docs" / "observability.md"
TWINS = {
    "heed_time_to_first_token_seconds": "histogram",
    "heed_inter_token_latency_seconds": "histogram",
    "heed_e2e_request_latency_seconds": "histogram",
    "heed_num_requests_running": "gauge",
    "heed_num_requests_waiting": "gauge",
    "heed_prompt_tokens": "counter",
    "heed_generation_tokens": "counter",
    "heed_request_success": "counter",
}
"""What vLLM calls by the same names, with ``vllm:`` for ``heed_``."""


def scraped(server: Server, **labels: str) -> dict[str, float]:
    """Every sample by its name, summed over what `labels` leave open."""
    answer = server.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if labels.items() <= sample.labels.items():
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


@on_sqlite
def test_counts_what_was_asked_and_answered(own: Server) -> None:
    before = scraped(own)
    assert before["heed_request_success_total"] == before["heed_prompt_tokens_total"] == 0
    own.asked("one two three")
    own.asked("one two three four five")
    with own.stock() as client:
        list(
            client.chat.completions.create(
                model="heed", messages=[{"role": "user", "content": "six seven"}], stream=True
            )
        )
    after = scraped(own)
    assert after["heed_prompt_tokens_total"] == 4 + 6 + 3  # a turn costs one more than its words
    assert after["heed_generation_tokens_total"] == 3 + 5 + 2
    assert after["heed_time_to_first_token_seconds_count"] == 3
    assert after["heed_inter_token_latency_seconds_count"] == 2 + 4 + 1
    assert after["heed_e2e_request_latency_seconds_count"] == 3
    assert scraped(own, finished_reason="stop")["heed_request_success_total"] == 3
    assert scraped(own, handler="/v1/chat/completions")["heed_http_requests_total"] == 3


@on_sqlite
def test_an_answer_cut_short_by_its_limit_ends_by_length(own: Server) -> None:
    own.asked("one two three", max_tokens=2)
    assert scraped(own, finished_reason="length")["heed_request_success_total"] == 1
    assert scraped(own, finished_reason="stop")["heed_request_success_total"] == 0
    assert scraped(own)["heed_generation_tokens_total"] == 2


@on_sqlite
def test_times_are_those_of_the_engine(slow: Server) -> None:
    began = time.perf_counter()
    slow.asked("one two three four five")
    took_seconds = time.perf_counter() - began
    found = scraped(slow)
    first = found["heed_time_to_first_token_seconds_sum"]
    between = found["heed_inter_token_latency_seconds_sum"]
    whole = found["heed_e2e_request_latency_seconds_sum"]
    wait = 0.019  # the loop's timers count in whole milliseconds, and one may be nearly over
    assert wait <= first < took_seconds
    assert 4 * wait <= between < took_seconds
    assert first + between <= whole < took_seconds


@on_sqlite
def test_an_answer_being_made_is_running_and_one_that_was_left_is_aborted(slow: Server) -> None:
    body = {"model": "heed", "messages": [{"role": "user", "content": "word " * 400}]}
    with slow.http.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as answer:
        events = answer.iter_lines()
        next(events)
        wait_until(lambda: scraped(slow)["heed_generation_tokens_total"] > 0)
        found = scraped(slow)
        assert found["heed_num_requests_running"] == 1
        assert found["heed_request_success_total"] == 0
    wait_until(lambda: scraped(slow, finished_reason="abort")["heed_request_success_total"] == 1)
    wait_until(lambda: scraped(slow)["heed_num_requests_running"] == 0)
    assert 0 < scraped(slow)["heed_generation_tokens_total"] < 400


@on_sqlite
def test_an_answer_whose_engine_stops_ends_by_error(settings: FeedbackSettings) -> None:
    engine = EchoEngine(delay_seconds=0.02)
    with running(settings, engine) as served:
        body = {"model": "heed", "messages": [{"role": "user", "content": "word " * 400}]}
        with served.http.stream(
            "POST", "/v1/chat/completions", json=body | {"stream": True}
        ) as answer:
            events = answer.iter_lines()
            next(events)
            engine._started = False
            assert "unavailable" in "".join(events)
        assert scraped(served, finished_reason="error")["heed_request_success_total"] == 1
        assert scraped(served)["heed_engine_up"] == 0
        refused = served.chat()
        assert refused.status_code == 503
        found = scraped(served)  # what the engine refuses is no answer that ended
        assert found["heed_request_success_total"] == 1
        assert found["heed_e2e_request_latency_seconds_count"] == 1


@on_sqlite
def test_a_swap_is_timed_and_its_probes_are_nobodys_answers(own: Server) -> None:
    first, second = own.publish(), own.publish()
    assert own.promote(first).status_code == 200
    assert own.promote(second).status_code == 200
    found = scraped(own)
    assert found["heed_swap_seconds_count"] == 2
    assert 0 < found["heed_swap_seconds_sum"] < 30
    assert found["heed_live_generation"] == found["heed_deployed_generation"] == 2
    assert found["heed_adapters_loaded"] == 1
    assert scraped(own, adapter=second, role="live")["heed_adapter_info"] == 1
    assert "heed_adapter_info" not in scraped(own, adapter=first)
    assert found["heed_request_success_total"] == found["heed_prompt_tokens_total"] == 0
    own.asked()
    assert scraped(own)["heed_request_success_total"] == 1


@on_sqlite
def test_a_version_that_cannot_be_served_counts_as_a_failed_swap(own: Server) -> None:
    good, bad = own.publish(), own.publish()
    assert own.promote(good).status_code == 200
    with own.store.session(write=True) as session:
        registry.promote(session, bad, actor="test", reason="test")
        session.commit()
    own.damage(bad)
    wait_until(lambda: scraped(own)["heed_swap_failures_total"] > 0)
    found = scraped(own)
    assert (found["heed_live_generation"], found["heed_deployed_generation"]) == (1, 2)
    assert found["heed_swap_seconds_count"] == 1


def test_counts_feedback_by_kind_once_it_is_kept(own: Server) -> None:
    asked = own.asked()
    assert own.tell(completion_id=asked, event_id="a", rating="up", comment="fine").is_success
    assert own.tell(completion_id=asked, event_id="a", rating="up", comment="fine").is_success
    assert own.tell(completion_id=asked, event_id="a", rating="down").status_code == 409
    assert own.tell(completion_id="chatcmpl-none", rating="up").status_code == 404
    own.told(completion_id=asked, correction="hello to you")
    own.told(completion_id=asked, preferred_over=own.asked())
    own.told(completion_id=asked, signal="copy")
    found = {kind: scraped(own, kind=kind)["heed_feedback_total"] for kind in KINDS}
    assert found == {
        "rating": 1,
        "survey": 0,
        "correction": 1,
        "comment": 1,
        "reasons": 0,
        "preference": 1,
        "signal": 1,
    }


def test_tells_what_waits_for_a_reviewer_and_how_rounds_ended(own: Server) -> None:
    assert scraped(own)["heed_review_queue_length"] == 0
    told = own.told(completion_id=own.asked(), correction="hello to you")
    assert scraped(own)["heed_review_queue_length"] == 1
    own.http.post("/v1/reviews", json={"feedback_id": told, "decision": "accept"})
    assert scraped(own)["heed_review_queue_length"] == 0
    for state in ("promoted", "promoted", "refused"):
        ended_round(own.store, state=state)
    opened_round(own.store)
    rounds = {
        state: scraped(own, state=state)["heed_rounds"]
        for state in ("promoted", "refused", "open", "failed")
    }
    assert rounds == {"promoted": 2, "refused": 1, "open": 1, "failed": 0}


@on_sqlite
def test_the_rest_is_told_where_the_database_is_away(
    own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.asked()
    assert scraped(own)["heed_store_up"] == 1

    def away(*_: object, **__: object) -> None:
        raise Unavailable("The database did not take this (disk full).")

    own.parts.keys._read_at = time.monotonic() + 1000  # the keys are known; only the rest is away
    monkeypatch.setattr(own.store, "session", away)
    found = scraped(own)
    assert found["heed_store_up"] == 0
    assert found["heed_request_success_total"] == 1
    assert "heed_rounds" not in found


@on_sqlite
def test_who_may_scrape_is_a_setting(settings: FeedbackSettings) -> None:
    with running(settings) as served:
        assert served.http.get("/metrics").status_code == 200  # this machine, while there is no key
        foreign = served.http.get("/metrics", headers={"Host": "evil.example"})
        assert foreign.status_code == 401
        _, admin = served.key("admin")
        _, reviewer = served.key("reviewer")
        assert fault(served.http.get("/metrics"))["code"] == "unauthorized"
        assert served.http.get("/metrics", headers=reviewer).status_code == 403
        assert served.http.get("/metrics", headers=admin).status_code == 200
    with running(settings, metrics="open") as served:
        assert served.http.get("/metrics").status_code == 200
    with running(settings, metrics="off") as served:
        off = served.http.get("/metrics", headers=admin)
        assert off.status_code == 404
        assert "serving.metrics" in fault(off)["message"]


@on_sqlite
def test_names_are_vllms_and_every_series_is_bounded(own: Server) -> None:
    key_id, headers = own.key("admin")
    own.http.headers.update(headers)
    own.asked("an apricot", user="somebody")
    own.http.get("/nowhere/apricot?apricot=1")
    own.http.get("/v1/feedback/apricot")
    text = own.http.get("/metrics").text
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert all(name.startswith("heed_") for name in families)
    assert {name: families[name].type for name in TWINS} == TWINS
    for name in TWINS:
        assert {sample.labels["model_name"] for sample in families[name].samples} == {"heed"}
    assert all(family.documentation for family in families.values())
    for secret in ("apricot", "somebody", key_id, headers["Authorization"].split()[1]):
        assert secret not in text
    handlers = {sample.labels["handler"] for sample in families["heed_http_requests"].samples}
    assert {"/v1/chat/completions", "/v1/feedback/{feedback_id}", "none"} <= handlers


@on_sqlite
def test_every_metric_is_documented(own: Server) -> None:
    own.asked()
    written = set(re.findall(r"heed_[a-z0-9_]+", DOCUMENTED.read_text()))
    families = list(text_string_to_metric_families(own.http.get("/metrics").text))
    told = {
        each.name + ("_total" if each.type == "counter" else "")
        for each in families
        if not each.name.endswith("_created")
    }
    assert told == written - {"heed_"}


@on_sqlite
def test_two_applications_do_not_count_together(own: Server, slow: Server) -> None:
    own.asked()
    assert scraped(own)["heed_request_success_total"] == 1
    assert scraped(slow)["heed_request_success_total"] == 0


@on_sqlite
def test_prometheus_gets_the_format_that_it_asks_for(own: Server) -> None:
    asks = {"accept": "application/openmetrics-text;version=1.0.0"}
    answer = own.http.get("/metrics", headers=asks)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


class Lumpy(EchoEngine):
    """Hands several tokens over at once, and has more to it than the protocol says."""

    extra = "more"
    closed = False

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        async def lumps() -> AsyncIterator[Chunk]:
            try:
                yield Chunk("", 0)
                yield Chunk("a b", 2)
                yield Chunk("c d e", 5)
                yield Chunk("", 5, "stop")
            finally:
                self.closed = True

        self.answer = lumps()  # held, so that no collector closes it
        return self.answer


def sample(metrics: Metrics, name: str) -> float:
    """One sample's value."""
    found = metrics.registry.get_sample_value(name, {"model_name": "heed"})
    assert found is not None
    return found


def asked(engine: Engine) -> AsyncIterator[Chunk]:
    """An answer, begun."""
    prompt = engine.prepare([{"role": "user", "content": "a"}])
    return engine.generate(GenerationRequest("r", prompt, "base"))


def test_tokens_that_arrive_together_count_each() -> None:
    metrics = Metrics()

    async def read() -> list[str]:
        return [chunk.text async for chunk in asked(Measured(Lumpy(), metrics))]

    assert asyncio.run(read()) == ["", "a b", "c d e", ""]
    assert sample(metrics, "heed_generation_tokens_total") == 5
    assert sample(metrics, "heed_time_to_first_token_seconds_count") == 1
    assert sample(metrics, "heed_inter_token_latency_seconds_count") == 3


def test_a_reader_that_leaves_frees_the_engines_place_at_once() -> None:
    metrics, engine = Metrics(), Lumpy()

    async def leave() -> bool:
        answer = asked(Measured(engine, metrics))
        assert [(await anext(answer)).text, (await anext(answer)).text] == ["", "a b"]
        await answer.aclose()  # type: ignore[attr-defined]
        return engine.closed

    assert asyncio.run(leave())
    assert sample(metrics, "heed_generation_tokens_total") == 2
    assert metrics.requests.labels("heed", "abort")._value.get() == 1


def test_what_is_measured_is_otherwise_the_engine_itself() -> None:
    engine = Lumpy(context_tokens=77)
    measured = Measured(engine, Metrics())
    assert (measured.context_tokens, measured.base_hash) == (77, engine.base_hash)
    assert measured.extra == "more"
    with pytest.raises(AttributeError):
        _ = measured.missing
