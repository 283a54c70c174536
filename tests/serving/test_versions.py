"""Versions under running answers: each request keeps the one it was admitted with."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx

from serving.engines.echo import EchoEngine
from tests.serving.conftest import Server, on_sqlite, running, wait_until
from trainer import registry

pytestmark = on_sqlite


def body(said: str, model: str = "heed") -> dict[str, object]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": said}]}


def test_an_exact_version_is_loaded_on_demand_and_named(own: Server) -> None:
    name = own.publish()
    assert name not in own.parts.engine.loaded()
    answer = own.chat("hi", model=name)
    assert answer.json()["choices"][0]["message"]["content"] == f"[{name}] hi"
    assert answer.headers["x-heed-adapter"] == answer.json()["system_fingerprint"] == name
    assert answer.json()["model"] == name
    assert own.chat("hi").headers["x-heed-adapter"] == "base"


def test_a_version_that_is_refused_later_is_served_no_more(own: Server) -> None:
    name = own.publish()
    assert own.chat(model=name).status_code == 200
    with own.store.session(write=True) as session:
        adapter = registry.get(session, name)
        adapter.state = "rejected"
        session.add(adapter)
        session.commit()
    assert own.chat(model=name).status_code == 409


def test_a_request_keeps_its_version_while_another_goes_live(slow: Server) -> None:
    old, new = slow.publish(), slow.publish()
    assert slow.promote(old).status_code == 200
    said = "word " * 30
    with (
        httpx.Client(base_url=slow.url) as other,
        other.stream("POST", "/v1/chat/completions", json=body(said)) as answer,
    ):
        lines = answer.iter_lines()
        next(line for line in lines if "word" in line)
        # `new` is no child of `old`, which is let go of while it still answers.
        assert slow.promote(new).status_code == 200
        assert slow.chat("hi").headers["x-heed-adapter"] == new
        assert old not in slow.parts.engine.loaded()
        events = [json.loads(line[6:]) for line in lines if line and "[DONE]" not in line]
    assert {event["system_fingerprint"] for event in events} == {old}
    assert answer.headers["x-heed-adapter"] == old
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
    logged = slow.exchange(events[0]["id"])
    assert logged.adapter_id == old
    assert logged.choices[0]["text"].split() == [f"[{old}]", *said.split()]
    assert logged.state == "complete"


def test_no_swap_waits_for_a_reader_that_stalls(slow: Server) -> None:
    names = [slow.publish() for _ in range(4)]
    assert slow.promote(names[0]).status_code == 200
    with slow.http.stream("POST", "/v1/chat/completions", json=body("word " * 1500)) as answer:
        lines = answer.iter_lines()
        next(lines)
        with httpx.Client(base_url=slow.url, timeout=15) as other:
            for name in names[1:]:
                assert other.post(f"/v1/adapters/{name}/promote").json()["live"] == name
            # What is still leaving can be wanted again.
            assert other.post(f"/v1/adapters/{names[0]}/promote").json()["live"] == names[0]
            hello = {**body("hi"), "stream": False}
            assert names[0] in other.post("/v1/chat/completions", json=hello).text
    wait_until(lambda: slow.parts.in_flight == 0)


def test_nobody_gets_an_error_while_versions_come_and_go(own: Server) -> None:
    names = [own.publish() for _ in range(3)]
    ended = False

    def ask() -> list[tuple[int, str, str]]:
        seen = []
        with httpx.Client(base_url=own.url) as client:
            while not ended:
                ask = {**body("hi"), "stream": False}
                answer = client.post("/v1/chat/completions", json=ask)
                text = answer.json().get("choices", [{"message": {"content": answer.text}}])
                name = answer.headers.get("x-heed-adapter", "")
                seen.append((answer.status_code, name, text[0]["message"]["content"]))
        return seen

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            for number in range(12):
                if number % 4 == 3:
                    assert own.http.post("/v1/adapters/rollback").status_code == 200
                else:
                    assert own.promote(names[number % 3]).status_code == 200
        finally:
            ended = True
    seen = [each for future in asking for each in future.result()]
    assert {status for status, _, _ in seen} == {200}, seen
    assert all(text == ("hi" if name == "base" else f"[{name}] hi") for _, name, text in seen)
    assert len({name for _, name, _ in seen}) > 1


def test_a_restart_serves_what_was_live(own: Server) -> None:
    name = own.publish()
    assert own.promote(name).status_code == 200
    with running(own.store.settings, EchoEngine()) as again:
        assert again.chat().headers["x-heed-adapter"] == name
