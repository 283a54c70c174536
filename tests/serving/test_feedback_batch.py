"""Many at once: NDJSON in, a result per line out."""

import json
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from feedback import ledger, votes
from feedback.ids import new_id
from feedback.intake import Told
from feedback.models import Feedback
from tests.builders import feedback_of
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
    assert answer.status_code == 415
    assert fault(answer)["param"] == "content-type"


def test_a_batch_costs_one_commit_and_is_counted_by_line(own: Server) -> None:
    identity = own.asked()
    commits = own.parts.metrics.commit_rows._sum.get()
    lines = [
        json.dumps({"completion_id": identity, "rating": "up", "event_id": f"e{n}"})
        for n in range(700)
    ]
    post(own, "\n".join([*lines, lines[0], "no json"]))
    told = own.http.get("/metrics").text
    assert own.parts.metrics.commit_rows._sum.get() == commits + 701
    assert 'heed_intake_commit_rows_bucket{le="500.0"} 1.0' in told  # the chat's, and no other
    assert 'heed_intake_commit_rows_bucket{le="1000.0"} 2.0' in told
    for result, count in (("taken", 700), ("repeated", 1), ("refused", 1)):
        assert f'heed_feedback_batch_lines_total{{result="{result}"}} {count}.0' in told
    assert 'heed_feedback_total{kind="rating"} 700.0' in told


def test_a_batch_sent_again_is_answered_the_same_and_changes_nothing(server: Server) -> None:
    identity, run = server.asked(), new_id("run")
    body = "\n".join(
        json.dumps({"completion_id": identity, "signal": "copy", "event_id": f"{run}-{n}"})
        for n in range(50)
    )
    first, second = read(post(server, body)), read(post(server, body))
    assert {each["status"] for each in first} == {201}
    assert {each["status"] for each in second} == {200}
    assert [each["id"] for each in first] == [each["id"] for each in second]


@pytest.mark.parametrize("when", [{}, {"created_at": 1_700_000_000}])
def test_of_two_votes_of_equal_time_the_later_line_counts(
    server: Server, when: dict[str, Any]
) -> None:
    identity = server.asked()
    ratings = ["up", "down"] * 20 + ["up"]
    body = "\n".join(
        json.dumps({"completion_id": identity, "user": "fay", "rating": rating, **when})
        for rating in ratings
    )
    ids = [each["id"] for each in read(post(server, body))]
    with server.store.session() as session:
        events = session.exec(select(Feedback).where(col(Feedback.id).in_(ids))).all()
    assert votes.superseded(events) == dict.fromkeys(ids[:-1], ids[-1])
    later = feedback_of(server.store, server.told(completion_id=identity, rating="down"))
    assert later.told_at > max(event.told_at for event in events)


def test_a_line_that_breaks_the_transaction_does_not_take_the_others_along(
    own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = own.asked()
    event = ledger._event

    def choking(told: Told, *others: Any) -> Any:
        if told.submission.comment == "choke":
            raise RuntimeError("a fault that nobody foresaw")
        return event(told, *others)

    monkeypatch.setattr(ledger, "_event", choking)
    body = "\n".join(
        json.dumps({"completion_id": identity, "comment": "choke" if n == 7 else f"fine {n}"})
        for n in range(30)
    )
    results = read(post(own, body))
    assert [each["status"] for each in results] == [201] * 7 + [503] + [201] * 22
    assert "foresaw" not in json.dumps(results)


def test_a_batch_needs_a_key_once_there_is_one_and_its_votes_are_that_keys(own: Server) -> None:
    line = json.dumps({"completion_id": own.asked(), "rating": "up"}).encode()
    key_id, headers = own.key("client")
    assert own.http.post("/v1/feedback/batch", content=line, headers=NDJSON).status_code == 401
    answer = own.http.post("/v1/feedback/batch", content=line, headers={**NDJSON, **headers})
    [result] = read(answer)
    assert feedback_of(own.store, result["id"]).key_id == key_id


def post(server: Server, body: str) -> httpx.Response:
    return server.http.post("/v1/feedback/batch", content=body.encode(), headers=NDJSON)


def read(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]
