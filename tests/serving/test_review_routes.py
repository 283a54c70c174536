"""The routes around a review: the next one, reservations, drafts, undo, notes, saved queues, progress."""

from typing import Any

import pytest

from tests.serving.conftest import Server, fault
from tests.serving.test_reviews import corrected


def test_a_reviewer_takes_the_next_item_and_decides_it(own: Server) -> None:
    name = corrected(own)
    item = own.http.get("/v1/reviews/next").json()["item"]
    assert (item["id"], item["lane"], item["version"]) == (name, "waiting", 0)
    assert item["reserved"]["by"] == "local" and item["reserved"]["until"] > item["created_at"]
    assert (item["messages"], item["answer"]) == (
        [{"role": "user", "content": "how much"}],
        "how much",
    )
    assert item["draft"] is None and item["verdicts"] == [] and item["verdicts_needed"] == 1
    body = {"feedback_id": name, "decision": "accept", "version": 0}
    answer = own.http.post("/v1/reviews", json=body).json()
    assert answer["reviews"] == [
        {"id": name, "lane": "accepted", "version": 1, "verdicts": 0, "verdicts_needed": 1}
    ]
    assert own.http.get("/v1/reviews/next").json() == {"object": "review.next", "item": None}
    undone = own.http.post(f"/v1/reviews/{name}/undo").json()
    assert [row["status"] for row in undone["data"]] == ["review"]
    assert own.http.get("/v1/reviews/next").json()["item"]["id"] == name


def test_the_queue_is_searched_filtered_and_ordered(own: Server) -> None:
    names = [corrected(own, f"It costs {n} dollars.") for n in (58, 59)]

    def found(**asked: str) -> list[str]:
        answer = own.http.get("/v1/reviews/queue", params=asked)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["data"]]

    assert found(q="59 doll*") == names[1:]
    assert found(order="oldest") == names
    assert found(order="newest") == names[::-1]
    assert found(lane="accepted") == []
    assert found(lane="all", kind="correction", order="oldest", limit="1") == names[:1]
    assert found(order="oldest", after=names[0]) == names[1:]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"lane": "gone"}, "lane"),
        ({"q": "?!"}, "q"),
        ({"order": "random"}, "order"),
        ({"order": "best", "after": "fbk_none"}, "after"),
        ({"lane": "all", "status": "used"}, "status"),
        ({"trust_from": "2"}, "trust_from"),
        ({"since": "nan"}, "since"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(
    server: Server, asked: dict[str, str], param: str
) -> None:
    answer = server.http.get("/v1/reviews/queue", params=asked)
    assert answer.status_code in (400, 422), answer.text
    assert fault(answer)["param"] == param


def test_what_somebody_else_looks_at_is_neither_taken_nor_decided(own: Server) -> None:
    name = corrected(own)
    (rita, hers), (_, his) = own.key("reviewer"), own.key("reviewer")
    claimed = own.http.post(f"/v1/reviews/{name}/claim", headers=hers).json()
    assert claimed["reserved"]["by"] == rita
    refused = own.http.post(f"/v1/reviews/{name}/claim", headers=his)
    assert refused.status_code == 409 and rita in fault(refused)["message"]
    assert own.http.get("/v1/reviews/next", headers=his).json()["item"] is None
    [row] = own.http.get("/v1/reviews/queue?lane=waiting", headers=his).json()["data"]
    assert row["reserved"]["by"] == rita
    edit = {"feedback_id": name, "decision": "edit", "correction": "My own words."}
    refused = own.http.post("/v1/reviews", json=edit, headers=his)
    assert refused.status_code == 409 and "kept as your draft" in fault(refused)["message"]
    released = own.http.post(f"/v1/reviews/{name}/release", headers=hers).json()
    assert released["reserved"] is None
    item = own.http.get("/v1/reviews/next", headers=his).json()["item"]
    assert item["draft"]["correction"] == "My own words."


def test_a_decision_that_comes_too_late_loses_no_text(own: Server) -> None:
    name = corrected(own)
    (rita, hers), (_, his) = own.key("reviewer"), own.key("reviewer")
    item = own.http.get("/v1/reviews/next", headers=his).json()["item"]
    own.http.post(f"/v1/reviews/{name}/release", headers=his)  # as when his time has run out
    refuse = {"feedback_id": name, "decision": "refuse"}
    assert own.http.post("/v1/reviews", json=refuse, headers=hers).status_code == 200
    late = {
        "feedback_id": name,
        "decision": "edit",
        "correction": "Long thought over.",
        "version": item["version"],
    }
    answer = own.http.post("/v1/reviews", json=late, headers=his)
    assert answer.status_code == 409
    assert f"{rita} decided it (refuse)" in fault(answer)["message"]
    kept = own.http.get(f"/v1/reviews/{name}/draft", headers=his).json()["draft"]
    assert kept["correction"] == "Long thought over."
    assert own.http.get(f"/v1/reviews/{name}/draft", headers=hers).json()["draft"] is None
    assert own.http.get(f"/v1/feedback/{name}", headers=hers).json()["status"] == "refused"


def test_a_draft_comes_back_after_a_restart_and_goes_when_it_is_thrown_away(own: Server) -> None:
    name = corrected(own)
    send = f"/v1/reviews/{name}/draft"
    first = own.http.post(send, json={"correction": "It", "version": 0}).json()["draft"]
    assert (first["correction"], first["version"]) == ("It", 1)
    answer = own.http.post(send, json={"correction": "Other window", "version": 0})
    assert answer.status_code == 409 and fault(answer)["param"] == "version"
    [row] = own.http.get("/v1/reviews/queue?lane=draft").json()["data"]
    assert row["draft"]["correction"] == "It"
    assert own.http.post(send, json={}).json()["draft"] is None
    assert own.http.get("/v1/reviews/queue?lane=draft").json()["data"] == []


def test_near_duplicates_are_decided_once_and_undone_at_once(own: Server) -> None:
    names = [corrected(own, "It costs 59.") for _ in range(3)]
    item = own.http.get("/v1/reviews/next").json()["item"]
    assert item["alike"] == 3
    covered = own.http.get(f"/v1/reviews/{item['id']}/cluster").json()["data"]
    assert {row["id"] for row in covered} == set(names)
    assert {row["question"] for row in covered} == {"how much"}
    body = {"feedback_id": item["id"], "decision": "accept", "cluster": True}
    done = own.http.post("/v1/reviews", json=body).json()
    assert {row["id"] for row in done["data"]} == set(names)
    undone = own.http.post(f"/v1/reviews/{names[1]}/undo").json()["data"]
    assert {(row["id"], row["status"]) for row in undone} == {(name, "review") for name in names}
    again = own.http.post(f"/v1/reviews/{names[1]}/undo")
    assert again.status_code == 409
    several = {"feedback_id": names, "decision": "accept", "cluster": True}
    assert fault(own.http.post("/v1/reviews", json=several))["param"] == "cluster"


def test_comments_tags_and_queues_are_shared_by_a_team(own: Server) -> None:
    name = corrected(own)
    (_, hers), (_, his) = own.key("reviewer"), own.key("reviewer")
    post, get = own.http.post, own.http.get
    said = post(f"/v1/reviews/{name}/comment", json={"text": "<b>?</b>"}, headers=hers).json()
    assert get(f"/v1/reviews/{name}/comments", headers=his).json()["data"] == [said]
    tagged = post(f"/v1/reviews/{name}/tags", json={"add": ["price"]}, headers=hers).json()
    assert tagged["tags"] == ["price"]
    body: dict[str, Any] = {"name": "Prices", "filters": {"tag": "price"}, "shared": True}
    saved = post("/v1/reviews/queues", json=body, headers=hers).json()
    [seen] = get("/v1/reviews/queues", headers=his).json()["data"]
    assert seen == saved and seen["filters"] == {"tag": "price"}
    [row] = get("/v1/reviews/queue", params=seen["filters"], headers=his).json()["data"]
    assert (row["id"], row["tags"], row["comments"]) == (name, ["price"], 1)
    address = f"/v1/reviews/queues/{saved['id']}"
    assert own.http.delete(address, headers=his).status_code == 403
    assert own.http.delete(address, headers=hers).json()["deleted"] is True
    assert own.http.delete(address, headers=hers).status_code == 404
    body["filters"] = {"mood": "good"}
    assert post("/v1/reviews/queues", json=body, headers=hers).status_code == 422


def test_progress_tells_what_is_done_and_what_the_next_round_waits_for(own: Server) -> None:
    names = [corrected(own, f"It costs {n}.") for n in range(3)]
    for name in names[:2]:
        own.http.post("/v1/reviews", json={"feedback_id": name, "decision": "accept"})
    own.http.post(f"/v1/reviews/{names[1]}/undo")
    told = own.http.get("/v1/reviews/progress").json()
    assert (told["lanes"]["waiting"], told["lanes"]["accepted"]) == (2, 1)
    assert told["decided"]["today"]["mine"]["accept"] == 1
    assert told["decided"]["week"]["team"]["accept"] == 1
    assert told["team"] == [{"reviewer": "local", "decided_this_week": 1}]
    settings = own.parts.settings.trainer
    assert told["next_round"] == {
        "available": 1,
        "missing": settings.new_material - 1,
        "missing_for_schedule": settings.minimum_material - 1,
        "running": None,
    }
    agreement = own.http.get("/v1/reviews/agreement").json()
    assert (agreement["items"], agreement["alpha"]) == (0, None)


def test_insights_are_told_over_http(own: Server) -> None:
    own.told(completion_id=own.asked(), rating="up")
    corrected(own)
    get = own.http.get
    told = get("/v1/insights/satisfaction", params={"by": "adapter", "every": "week"}).json()
    assert [series["name"] for series in told["series"]] == [None, "base"]
    assert told["series"][0]["overall"]["share"] == 0.5
    assert get("/v1/insights/complaints").json()["complaints"] == 1
    assert get("/v1/insights/corrections").json()["total"]["waiting"] == 1
    wrong = get("/v1/insights/corrections", params={"since": 5, "until": 4})
    assert fault(wrong)["param"] == "until"
