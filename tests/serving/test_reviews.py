"""The reviewer's routes: what waits, and deciding it."""

from typing import Any

import pytest
from sqlmodel import select

from feedback.models import Review
from serving.models import AuditEntry
from tests.serving.conftest import Server, fault


def corrected(server: Server, text: str = "As it should be.") -> str:
    return server.told(completion_id=server.asked("how much"), correction=text)


def test_the_queue_shows_what_a_reviewer_needs(own: Server) -> None:
    name = corrected(own)
    queue = own.http.get("/v1/reviews/queue").json()
    (item,) = queue["data"]
    assert item["id"] == name
    assert item["feedback"] == {"correction": "As it should be."}
    assert item["messages"] == [{"role": "user", "content": "how much"}]
    assert item["answer"] == "how much"
    assert (item["adapter"], item["status"]) == ("base", "review")
    assert item["conflicts"] == []
    assert (queue["has_more"], queue["next"]) == (False, None)


def test_the_queue_comes_in_pages(own: Server) -> None:
    names = [corrected(own) for _ in range(5)]
    seen: list[str] = []
    after: str | None = None
    for _ in range(3):
        params = {"limit": "2"} | ({"after": after} if after else {})
        page = own.http.get("/v1/reviews/queue", params=params).json()
        seen += [row["id"] for row in page["data"]]
        after = page["next"]
        assert page["has_more"] is (after is not None)
    assert seen == names
    assert after is None


def test_the_queue_is_filtered(own: Server) -> None:
    corrected(own)
    thumb = own.told(completion_id=own.asked(), rating="up")
    get = own.http.get
    params: dict[str, Any]
    for params, found in (
        ({"status": "waiting"}, [thumb]),
        ({"status": "waiting", "kind": "correction"}, []),
        ({"status": "waiting", "kind": "rating"}, [thumb]),
        ({"status": "waiting", "adapter": "adp_none"}, []),
        ({"status": "waiting", "adapter": "base"}, [thumb]),
    ):
        rows = get("/v1/reviews/queue", params=params).json()["data"]
        assert [row["id"] for row in rows] == found, params


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"status": "lost"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"kind": "mood"}, "kind"),
        ({"after": "a\x00"}, "after"),
        ({"adapter": "a\x00"}, "adapter"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(
    server: Server, params: dict[str, str], param: str
) -> None:
    answer = server.http.get("/v1/reviews/queue", params=params)
    assert answer.status_code == 422
    assert fault(answer)["param"] == param


def test_decisions_change_what_becomes_of_feedback(own: Server) -> None:
    name = corrected(own)
    for decision, status in (
        ({"decision": "accept"}, "waiting"),
        ({"decision": "reopen"}, "review"),
        ({"decision": "edit", "correction": "Better still."}, "waiting"),
        ({"decision": "refuse", "reason": "It is wrong."}, "refused"),
    ):
        answer = own.http.post("/v1/reviews", json={"feedback_id": name, **decision})
        assert answer.status_code == 200, answer.text
        (receipt,) = answer.json()["data"]
        assert receipt["status"] == status
        assert receipt == own.http.get(f"/v1/feedback/{name}").json()
    assert "It is wrong." in receipt["reason"]
    with own.store.session() as session:
        assert len(session.exec(select(Review)).all()) == 4
        actions = [line.action for line in session.exec(select(AuditEntry))]
    assert sorted(actions) == ["review.accept", "review.edit", "review.refuse", "review.reopen"]


def test_many_are_decided_together_or_not_at_all(own: Server) -> None:
    names = [corrected(own) for _ in range(3)]
    body: dict[str, Any] = {"feedback_id": [*names, "fbk_none"], "decision": "accept"}
    assert own.http.post("/v1/reviews", json=body).status_code == 404
    assert own.http.get(f"/v1/feedback/{names[0]}").json()["status"] == "review"
    answer = own.http.post("/v1/reviews", json={**body, "feedback_id": names})
    assert [row["status"] for row in answer.json()["data"]] == ["waiting"] * 3


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"decision": "perhaps"}, 422, "decision"),
        ({"decision": "edit"}, 422, "correction"),
        ({"decision": "accept", "correction": "x"}, 422, "correction"),
        ({"decision": "edit", "correction": " "}, 422, "correction"),
        ({"decision": "edit", "correction": "a\x00"}, 422, "correction"),
        ({"decision": "edit", "correction": "x" * 65_537}, 413, "correction"),
        ({"decision": "accept", "reason": "a\x00"}, 422, "reason"),
        ({"decision": "accept", "mood": "good"}, 422, "mood"),
        ({"decision": "accept", "feedback_id": "fbk_none"}, 404, "feedback_id"),
        ({"decision": "accept", "feedback_id": "a\x00"}, 422, "feedback_id"),
        ({"decision": "accept", "feedback_id": []}, 422, "feedback_id"),
        ({"decision": "accept", "feedback_id": ["fbk_none"] * 501}, 422, "feedback_id"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused_by_name(
    server: Server, body: dict[str, Any], status: int, param: str
) -> None:
    answer = server.http.post("/v1/reviews", json={"feedback_id": corrected(server), **body})
    assert answer.status_code == status, answer.text
    assert fault(answer)["param"] == param


def test_what_was_withdrawn_is_not_decided(own: Server) -> None:
    name = corrected(own)
    own.http.delete(f"/v1/feedback/{name}")
    answer = own.http.post("/v1/reviews", json={"feedback_id": name, "decision": "accept"})
    assert answer.status_code == 409
    fault(answer)
