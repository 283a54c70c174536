"""What the stock client leaves behind: log entries, feedback, and none of either twice."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from sqlmodel import col, select

from feedback.models import Exchange, Feedback, Receipt
from tests.serving.conftest import Server


@pytest.fixture(scope="module")
def client(starter: Server) -> Iterator[OpenAI]:
    with starter.stock() as made:
        yield made


def create(client: OpenAI, text: str = "Hello!", **fields: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="heed", messages=messages, **fields)


def logged(server: Server, text: str) -> list[Exchange]:
    with server.store.session() as session:
        rows = session.exec(select(Exchange).order_by(col(Exchange.created_at))).all()
    return [row for row in rows if row.messages[-1]["content"] == text]


def test_what_is_not_to_be_stored_is_not_stored(starter: Server, client: OpenAI) -> None:
    answer = create(client, "Hello unseen!", store=False)
    assert answer.choices[0].message.content
    assert logged(starter, "Hello unseen!") == []
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(answer.id)
    create(client, "Hello unseen!", store=True)
    assert len(logged(starter, "Hello unseen!")) == 1


def test_metadata_is_kept_and_people_only_as_hashes(starter: Server, client: OpenAI) -> None:
    tags = {"conversation_id": "talk-1", "screen": "help"}
    first = create(client, metadata=tags, user="ada@example.com")
    second = create(client, metadata=tags, safety_identifier="ada@example.com")
    other = create(client, user="bob@example.com")
    rows = [starter.exchange(each.id) for each in (first, second, other)]
    assert (rows[0].tags, rows[0].conversation_id) == (tags, "talk-1")
    assert rows[0].person_id == rows[1].person_id != rows[2].person_id
    assert "ada@example.com" not in starter.everything()
    kept = client.chat.completions.retrieve(first.id)
    assert kept.choices[0].message == first.choices[0].message
    assert kept.metadata == tags
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, metadata={f"k{at}": "v" for at in range(17)})
    assert refused.value.param == "metadata"


def test_models_can_be_listed_and_looked_up(starter: Server, client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["heed", "base"]
    found = client.models.retrieve("heed")
    assert (found.id, found.object, found.owned_by) == ("heed", "model", "heed")
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-none")
    assert refused.value.param == "model"


def test_an_update_of_a_completion_is_feedback_on_it(starter: Server, client: OpenAI) -> None:
    answer = create(client, user="ada")
    told = {"rating": "down", "correction": "Good day.", "reasons": "rude, short", "user": "ada"}
    updated: Any = client.chat.completions.update(answer.id, metadata=told)
    assert (updated.id, updated.metadata) == (answer.id, told)
    receipt = updated.heed
    with starter.store.session() as session:
        (row,) = session.exec(select(Feedback).where(Feedback.exchange_id == answer.id)).all()
        kept = session.get_one(Receipt, row.id)
    assert (row.id, kept.status) == (receipt["id"], receipt["status"])
    assert receipt["completion_id"] == answer.id
    assert (row.correction, row.body["reasons"]) == ("Good day.", ["rude", "short"])
    assert row.rating == 0
    assert row.person_id == starter.exchange(answer.id).person_id
    assert starter.http.get(f"/v1/feedback/{row.id}").json() == receipt
    for bad, param in (({"rating": "sideways"}, "metadata.rating"), ({"mood": "up"}, "mood")):
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.update(answer.id, metadata=bad)
        assert refused.value.param == param
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.update("chatcmpl-none", metadata={"rating": "up"})


def test_the_asynchronous_client_updates_too(starter: Server) -> None:
    async def play() -> tuple[str, Any]:
        async with AsyncOpenAI(base_url=f"{starter.url}/v1", api_key="any") as client:
            answer = await client.chat.completions.create(
                model="heed", messages=[{"role": "user", "content": "Hello!"}]
            )
            updated: Any = await client.chat.completions.update(
                answer.id, metadata={"rating": "up"}
            )
            return answer.id, updated.heed

    completion_id, receipt = asyncio.run(play())
    with starter.store.session() as session:
        row = session.exec(select(Feedback).where(Feedback.exchange_id == completion_id)).one()
    assert (row.id, row.rating) == (receipt["id"], 1)


def test_the_raw_response_names_the_version_and_the_request(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="heed",
        messages=[{"role": "user", "content": "Hello!"}],
        extra_headers={"X-Request-Id": "ticket-9"},
    )
    answer = raw.parse()
    assert raw.headers["x-heed-adapter"] == answer.system_fingerprint == "base"
    assert raw.headers["x-request-id"] == raw.request_id == "ticket-9"
    assert raw.retries_taken == 0
    with client.chat.completions.with_streaming_response.create(
        model="heed", messages=[{"role": "user", "content": "Hello!"}], stream=True
    ) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.headers["x-heed-adapter"] == "base"
        assert list(streamed.iter_lines())[-2:] == ["data: [DONE]", ""]


def test_fields_that_nobody_knows_are_let_through(starter: Server, client: OpenAI) -> None:
    more = {"top_k": 5, "chat_template_kwargs": {"thinking": False}, "repetition_penalty": 1.1}
    answer = create(client, extra_body=more)
    assert answer.choices[0].message.content == create(client).choices[0].message.content
    assert len(logged(starter, "Hello!")) >= 2


class Lossy(httpx.HTTPTransport):
    """Sends each request, and loses the answers to the first few."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self._losses = losses
        self.counts: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.counts.append(request.headers["x-stainless-retry-count"])
        answer = super().handle_request(request)
        if len(self.counts) > self._losses:
            return answer
        answer.read()
        answer.close()
        raise httpx.ReadError("lost on the way", request=request)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_lost_is_asked_for_again_and_logged_once(
    starter: Server, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    said, lossy = f"Hello again, stream {stream}!", Lossy(2)
    http: Any = httpx.Client(transport=lossy)
    with OpenAI(base_url=f"{starter.url}/v1", api_key="any", http_client=http) as client:
        answer = create(client, said, stream=stream)
        ids = {each.id for each in answer} if stream else {answer.id}
    assert lossy.counts == ["0", "1", "2"]
    (only,) = logged(starter, said)
    assert ids == {only.id}
    assert only.state == "complete"
