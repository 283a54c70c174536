"""Open WebUI's feedback: the rating, the chat around it, and the other answers beside it."""

import json
from typing import Any

import pytest

from feedback.errors import Invalid
from feedback.formats.records import Chat
from feedback.store import Store
from tests.feedback.imports import KEY, lines, only, reason, stored, take


def message(
    name: str, role: str, parent: str | None, *children: str, **more: Any
) -> dict[str, Any]:
    plain = {"id": name, "parentId": parent, "childrenIds": list(children), "role": role}
    return {**plain, "content": f"{role} says {name}", **more}


MESSAGES = {
    "q1": message("q1", "user", None, "a1"),
    "a1": message("a1", "assistant", "q1", "q2", model="llama", timestamp=1_700_000_001),
    "q2": message("q2", "user", "a1", "a2", "b2"),
    "a2": message("a2", "assistant", "q2", model="llama", timestamp=1_700_000_002),
    "b2": message("b2", "assistant", "q2", model="qwen", timestamp=1_700_000_002),
}


def rating(**more: Any) -> dict[str, Any]:
    """A rating as the server exports it."""
    data: dict[str, Any] = {
        "rating": 1,
        "model_id": "llama",
        "sibling_model_ids": None,
        "reason": "",
        "comment": "",
        "tags": [],
    }
    meta = {"model_id": "llama", "message_id": "a2", "chat_id": "c1", "arena": False}
    snapshot = {"chat": {"chat": {"history": {"messages": MESSAGES, "currentId": "a2"}}}}
    plain = {"id": "f1", "user_id": "u1", "version": 0, "type": "rating", "snapshot": snapshot}
    times = {"created_at": 1_700_000_010, "updated_at": 1_700_000_020}
    return {
        **plain,
        **times,
        "data": {**data, **more.pop("data", {})},
        "meta": {**meta, **more.pop("meta", {})},
        **more,
    }


def export(*rows: Any) -> str:
    return json.dumps(list(rows), indent=1)


def test_a_rating_comes_with_the_chat_before_the_answer() -> None:
    item = only("openwebui", export(rating(data={"comment": "Nice", "tags": ["tone"]})))
    [vote] = item.votes
    rated = item.chats[0]
    assert vote.said == {"rating": "up", "comment": "Nice", "reasons": ["tone"]}
    assert (vote.user, vote.created_at, vote.preferred_over) == ("u1", 1_700_000_020, None)
    assert [turn["content"] for turn in rated.messages] == [
        "user says q1",
        "assistant says a1",
        "user says q2",
    ]
    assert (rated.answer, rated.model, rated.user) == ("assistant says a2", "llama", "u1")
    assert (rated.conversation_id, rated.created_at) == ("c1", 1_700_000_002)


@pytest.mark.parametrize(
    ("value", "said"), [(1, "up"), ("1", "up"), (-1, "down"), ("-1", "down"), ("+1", "up")]
)
def test_a_rating_may_be_a_number_or_a_text(value: Any, said: str) -> None:
    [vote] = only("openwebui", export(rating(data={"rating": value}))).votes
    assert vote.said["rating"] == said


def test_the_finer_rating_is_kept_wherever_it_stands() -> None:
    inside = only("openwebui", export(rating(data={"details": {"rating": 8}})))
    outside = only("openwebui", export(rating(details={"rating": 8})))
    for item in (inside, outside):
        assert item.votes[0].said["survey"] == {"details.rating": 8.0}


def test_an_answer_that_was_chosen_beside_others_is_preferred() -> None:
    item = only("openwebui", export(rating(data={"sibling_model_ids": ["qwen"]})))
    rated, other = item.chats
    assert (other.answer, other.model) == ("assistant says b2", "qwen")
    assert other.messages == rated.messages
    assert item.votes[0].preferred_over == other.source_id
    down = only("openwebui", export(rating(data={"rating": -1, "sibling_model_ids": ["qwen"]})))
    assert down.votes[0].preferred_over is None


def test_an_answer_that_was_asked_for_again_comes_along_without_a_preference() -> None:
    item = only("openwebui", export(rating()))
    assert [chat.answer for chat in item.chats] == ["assistant says a2", "assistant says b2"]
    assert item.votes[0].preferred_over is None


def test_without_a_snapshot_the_answer_is_only_named() -> None:
    item = only("openwebui", export(rating(snapshot=None)))
    assert item.chats == (Chat("openwebui:c1:a2", completion_ids=("a2",)),)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"data": {"rating": 5}}, "the rating is neither 1 nor -1"),
        ({"data": {"rating": None}}, "it says nothing: no rating, no comment, no reason"),
        ({"data": {"rating": [1]}}, "`data.rating.int`: Input should be a valid integer"),
        ({"meta": {"message_id": "zz"}}, "the snapshot does not hold the rated answer"),
        ({"meta": {"message_id": "q2"}}, "the rated message is not the assistant's"),
        ({"id": None}, "`id`: Field required"),
        (
            {"snapshot": None, "meta": {"message_id": None}},
            "neither a snapshot nor a message id: nobody can say what was rated",
        ),
        ({"created_at": "yesterday"}, "`created_at`: Invalid isoformat string: 'yesterday'"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(more: dict[str, Any], why: str) -> None:
    assert reason("openwebui", export(rating(**more))) == why


def test_a_tree_that_bites_its_tail_ends() -> None:
    messages = {
        "q": message("q", "user", "a", "a"),
        "a": message("a", "assistant", "q", "q"),
    }
    snapshot = {"chat": {"chat": {"history": {"messages": messages}}}}
    item = only("openwebui", export(rating(snapshot=snapshot, meta={"message_id": "a"})))
    assert [turn["role"] for turn in item.chats[0].messages] == ["assistant", "user"]


def test_a_rating_is_stored_with_its_preference(store: Store) -> None:
    text = export(rating(data={"sibling_model_ids": ["qwen"]}), rating(id="f2", user_id="u2"))
    tally, _ = take(store, "openwebui", text)
    assert (tally.imported, tally.exchanges, tally.feedback) == (2, 2, 2)
    found = stored(store)
    assert {row[0].person_id for row in found} == {
        KEY.person_id("user:u1"),
        KEY.person_id("user:u2"),
    }
    [chosen] = [row[0] for row in found if row[0].preferred_over]
    assert (chosen.rating, chosen.told_at) == (1.0, 1_700_000_020)
    assert chosen.preferred_over != chosen.exchange_id
    again, _ = take(store, "openwebui", text)
    assert (again.duplicates, again.imported) == (2, 0)


def test_another_formats_file_is_named() -> None:
    with pytest.raises(Invalid, match="looks like trl: try --format trl"):
        only("openwebui", lines({"prompt": "a", "completion": "b", "label": True}))
    with pytest.raises(Invalid, match="its first lines are no JSON"):
        only("openwebui", "id,rating\n1,2\n")
    with pytest.raises(Invalid, match="has the keys colour"):
        only("openwebui", lines({"colour": "red"}))
