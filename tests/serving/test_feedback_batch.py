"""Many at once: NDJSON in, a result per line out."""

import json
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server, fault

NDJSON = {"content-type": "application/x-ndjson"}


def test_every_line_gets_its_own_result_in_order(server: Server) -> None:
    identity = server.asked()
    lines = [
        json.dumps({"completion_id": identity, "rating": "up", "event_id": "evt-batch-1"}),
        "no json",
        json.dumps({"completion_id": "chatcmpl-none", "rating": "up"}),
        json.dumps({"completion_id": identity, "rating": "sideways"}),
        json.dumps({"completion_id": identity, "rating": "up", "event_id": "evt-batch-1"}),
        json.dumps({"completion_id": identity, "rating": "down", "event_id": "evt-batch-1"}),
        json.dumps({"completion_id": identity, "correction": "x" * 65_537}),
        "[]",
        "[" * 60_000,
        '{"completion_id": "' + identity + '", "\\ud800": 1}',
        json.dumps({"completion_id": identity, "comment": "last"}),
    ]
    answer = post(server, "\n".join(lines))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    results = read(answer)
    expected = [201, 422, 404, 422, 200, 409, 413, 422, 422, 422, 201]
    assert [result["status"] for result in results] == expected
    assert results[4]["id"] == results[0]["id"]
    assert [results[index]["error"]["param"] for index in (2, 3, 5, 6)] == [
        "completion_id",
        "rating",
        "event_id",
        "correction",
    ]
    for result in results:
        assert set(result) == ({"status", "id"} if "id" in result else {"status", "error"})
    assert server.http.get(f"/v1/feedback/{results[-1]['id']}").status_code == 200


def test_empty_lines_say_nothing(server: Server) -> None:
    line = json.dumps({"completion_id": server.asked(), "rating": "up"})
    assert [result["status"] for result in read(post(server, f"\n{line}\r\n\n"))] == [201]
    assert post(server, "").text == ""


def test_a_batch_takes_many(server: Server) -> None:
    identity = server.asked()
    lines = [
        json.dumps({"completion_id": identity, "signal": "dwell", "value": n}) for n in range(300)
    ]
    results = read(post(server, "\n".join(lines)))
    assert {result["status"] for result in results} == {201}
    assert len({result["id"] for result in results}) == 300


def test_more_lines_than_fit_are_refused(server: Server) -> None:
    answer = post(server, "{}\n" * 10_001)
    assert answer.status_code == 413
    assert "10,000" in fault(answer)["message"]


def test_a_batch_may_be_larger_than_other_bodies_but_has_a_limit(server: Server) -> None:
    most = server.parts.settings.serving.max_body_bytes
    wide = json.dumps({"completion_id": server.asked(), "comment": "x" * 60_000})
    answer = post(server, "\n".join([wide] * (most // 60_000 + 2)))
    assert {result["status"] for result in read(answer)} == {201}
    assert post(server, " " * (16 * 1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
def test_another_content_type_is_refused(server: Server, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = server.http.post("/v1/feedback/batch", content=b"{}", headers=headers)
    assert answer.status_code == 422
    assert fault(answer)["param"] == "content-type"


def post(server: Server, body: str) -> httpx.Response:
    return server.http.post("/v1/feedback/batch", content=body.encode(), headers=NDJSON)


def read(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]
