"""A client that asks again because it did not get its answer: one exchange is logged."""

import json
from typing import Any

import httpx
import pytest
from openai import APITimeoutError, OpenAI
from sqlmodel import col, select

from feedback.models import Exchange
from tests.serving.conftest import Server, fault, wait_until

RETRY = {"x-stainless-retry-count": "1"}


def ask(server: Server, said: str, headers: dict[str, str], **fields: Any) -> httpx.Response:
    body = {"model": "heed", "messages": [{"role": "user", "content": said}], **fields}
    return server.http.post("/v1/chat/completions", json=body, headers=headers)


def logged(server: Server, said: str) -> list[Exchange]:
    with server.store.session() as session:
        rows = session.exec(select(Exchange).order_by(col(Exchange.created_at))).all()
    return [row for row in rows if row.messages[-1]["content"].startswith(said)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_after_a_whole_answer_gets_that_answer(server: Server, stream: bool) -> None:
    said = f"lost on the way {stream}"
    first = ask(server, said, {}, stream=stream)
    again = ask(server, said, RETRY, stream=stream)
    if stream:
        ids, texts = [], []
        for answer in (first, again):
            events = [json.loads(line[6:]) for line in answer.text.split("\n\n")[:-2]]
            ids.append({event["id"] for event in events})
            texts.append("".join(e["choices"][0]["delta"].get("content", "") for e in events))
        assert ids[0] == ids[1]
        assert texts == [said, said]
        assert again.text.endswith("data: [DONE]\n\n")
    else:
        assert first.json() == again.json()
    assert len(logged(server, said)) == 1


def test_the_same_words_again_are_no_retry(server: Server) -> None:
    said = "said twice"
    first, second = ask(server, said, {}), ask(server, said, {"x-stainless-retry-count": "0"})
    assert first.json()["id"] != second.json()["id"]
    assert len(logged(server, said)) == 2
    assert ask(server, "never said before", RETRY).status_code == 200
    ask(server, said, RETRY, user="somebody else")
    assert len(logged(server, said)) == 3


def test_a_retry_takes_the_place_of_the_answer_that_was_given_up(slow: Server) -> None:
    said = "patience " * 30
    body = {"model": "heed", "messages": [{"role": "user", "content": said}]}
    with pytest.raises(httpx.ReadTimeout):
        slow.http.post("/v1/chat/completions", json=body, timeout=0.2)
    wait_until(lambda: logged(slow, "patience"))
    (partial,) = logged(slow, "patience")
    assert partial.state == "partial"
    whole = ask(slow, said, RETRY)
    (only,) = logged(slow, "patience")
    assert (only.id, only.state) == (partial.id, "complete")
    assert whole.json()["id"] == partial.id
    assert only.choices[0]["text"].split() == said.split()


def test_the_stock_clients_own_retry_is_logged_once(slow: Server) -> None:
    said = "hurry " * 20
    # 20 words of 20 ms: too slow for the first attempt's patience, and for the second's.
    with (
        OpenAI(base_url=f"{slow.url}/v1", api_key="any", max_retries=1, timeout=0.25) as client,
        pytest.raises(APITimeoutError),
    ):
        client.chat.completions.create(model="heed", messages=[{"role": "user", "content": said}])
    wait_until(lambda: slow.parts.in_flight == 0 and not slow.parts.tasks)
    (only,) = logged(slow, "hurry")
    assert only.state == "partial"


def test_a_key_of_the_clients_own_needs_no_count(server: Server) -> None:
    said, key = "with a key", {"Idempotency-Key": "k-1"}
    first, again = ask(server, said, key), ask(server, said, key)
    assert first.json() == again.json()
    other = ask(server, said, {"Idempotency-Key": "k-2"})
    assert other.json()["id"] != first.json()["id"]
    assert len(logged(server, said)) == 2


def test_a_key_whose_request_is_being_answered_is_told_to_wait(slow: Server) -> None:
    body = {"model": "heed", "messages": [{"role": "user", "content": "long " * 50}]}
    key = {"Idempotency-Key": "k-3"}
    path = "/v1/chat/completions"
    with slow.http.stream("POST", path, json={**body, "stream": True}, headers=key) as answer:
        lines = answer.iter_lines()
        next(lines)
        refused = slow.http.post(path, json={**body, "stream": True}, headers=key)
    assert refused.status_code == 409
    assert fault(refused)["code"] == "conflict"


def test_nothing_is_kept_of_what_is_not_to_be_stored(server: Server) -> None:
    first, again = (ask(server, "unseen", each, store=False) for each in ({}, RETRY))
    assert first.json()["id"] != again.json()["id"]
    assert logged(server, "unseen") == []
