"""Rows of tables: Chainlit's steps and threads, Argilla's records, Gradio's log."""

import csv
import io
import json
from typing import Any

import pytest

from feedback.errors import Invalid
from feedback.formats.names import In
from feedback.store import Store
from tests.feedback.imports import lines, only, read, reason, stored, take

# -- Chainlit ----------------------------------------------------------------------------------

THREAD = {"id": "th", "createdAt": "2026-01-31T08:00:00Z", "userId": "u", "userIdentifier": "ana"}


def step(name: str, kind: str, output: str, minute: int, **more: Any) -> dict[str, Any]:
    at = f"2026-01-31T09:{minute:02}:00.000Z"
    plain = {"id": name, "threadId": "th", "type": kind, "output": output, "createdAt": at}
    return {**plain, "input": "", "parentId": None, **more}


STEPS = (
    step("s1", "user_message", "How much?", 1),
    step("s2", "assistant_message", "59 dollars.", 2),
    step("s3", "run", "", 3),
    step("s4", "user_message", "And blue?", 4),
    step("s5", "assistant_message", "Blue too.", 5, parentId="s3"),
)
VOTE = {"id": "f1", "forId": "s5", "threadId": "th", "value": 1, "comment": "Thanks"}


@pytest.mark.parametrize(
    "texts",
    [
        (lines(VOTE, *STEPS, THREAD),),
        (lines(*reversed(STEPS)), lines(VOTE), lines(THREAD)),
        (json.dumps({"feedbacks": [VOTE], "steps": STEPS, "threads": [THREAD]}, indent=1),),
        (json.dumps([{**THREAD, "steps": [*STEPS[:-1], {**STEPS[-1], "feedback": VOTE}]}]),),
        (lines({"id": "f1", "stepId": "s5", "value": 1, "comment": "Thanks"}, *STEPS, THREAD),),
    ],
)
def test_chainlits_votes_come_with_the_thread_before_the_answer(texts: tuple[str, ...]) -> None:
    item = only("chainlit", *texts)
    [chat], [vote] = item.chats, item.votes
    assert [(turn["role"], turn["content"]) for turn in chat.messages] == [
        ("user", "How much?"),
        ("assistant", "59 dollars."),
        ("user", "And blue?"),
    ]
    assert (chat.answer, chat.user, chat.conversation_id) == ("Blue too.", "ana", "th")
    assert vote.said == {"rating": "up", "comment": "Thanks"}
    assert (vote.user, vote.created_at) == ("ana", chat.created_at)


def test_a_row_of_feedback_and_step_joined_stands_for_itself() -> None:
    row = {**VOTE, "value": 0, "type": "llm", "input": "How much?", "output": "59 dollars."}
    item = only("chainlit", lines(row))
    assert item.chats[0].messages == ({"role": "user", "content": "How much?"},)
    assert item.votes[0].said["rating"] == "down"


def test_a_vote_on_the_run_around_an_answer_is_about_the_answer() -> None:
    item = only("chainlit", lines({**VOTE, "forId": "s3"}, *STEPS))
    assert item.chats[0].answer == "Blue too."


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"value": 5}, "the value is neither 1 nor 0"),
        ({"value": None}, "the value is neither 1 nor 0"),
        ({"forId": "s1"}, "about a question, not about an answer"),
        ({"forId": None}, "neither feedback nor a step nor a thread"),
    ],
)
def test_votes_of_chainlit_that_say_nothing_are_skipped(more: dict[str, Any], why: str) -> None:
    assert reason("chainlit", lines(*STEPS, {**VOTE, **more})) == why


# -- Argilla -----------------------------------------------------------------------------------

RECORD: dict[str, Any] = {
    "_server_id": "rec",
    "prompt": "How much?",
    "response": "59 dollars.",
    "inserted_at": "2026-01-31T09:00:00",
}


def flat(**questions: tuple[list[Any], list[str], list[str]]) -> dict[str, Any]:
    row = dict(RECORD)
    for name, (values, users, states) in questions.items():
        row[f"{name}.responses"] = values
        row[f"{name}.responses.users"] = users
        row[f"{name}.responses.status"] = states
        row[f"{name}.suggestion"] = "a model's"
    return row


def test_argilla_makes_a_vote_of_every_submitted_response() -> None:
    row = flat(
        quality=([5, 1], ["ana", "ben"], ["submitted", "draft"]),
        corrected_text=(["60 dollars."], ["ana"], ["submitted"]),
        remark=(["Quite nice of you"], ["ben"], ["submitted"]),
        helpful=(["no"], ["cem"], ["submitted"]),
    )
    item = only("argilla", lines(row))
    [chat] = item.chats
    assert (chat.answer, list(chat.messages)) == (
        "59 dollars.",
        [{"role": "user", "content": "How much?"}],
    )
    assert [(vote.user, vote.said) for vote in item.votes] == [
        ("ana", {"rating": 5.0, "scale": 5}),
        ("ana", {"correction": "60 dollars."}),
        ("ben", {"comment": "Quite nice of you"}),
        ("cem", {"rating": "down"}),
    ]


@pytest.mark.parametrize(
    "value",
    [
        "response_2",
        [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2}],
    ],
)
def test_argillas_choices_and_rankings_are_preferences(value: Any) -> None:
    row = flat(preference=([value], ["ana"], ["submitted"]))
    row |= {"response_1": "49 dollars.", "response_2": "59 dollars."}
    del row["response"]
    item = only("argilla", lines(row))
    answers = {chat.source_id: chat.answer for chat in item.chats}
    [vote] = item.votes
    assert answers[vote.about] == "59 dollars."
    assert answers[vote.preferred_over or ""] == "49 dollars."


def test_argilla_nested_and_with_a_chat_field() -> None:
    chat = [*({"role": "user", "content": "How much?"},), {"role": "assistant", "content": "59."}]
    given = {"rating": [{"value": 2, "user_id": "ana"}], "x": [{"status": "draft", "value": 1}]}
    row = {"id": 7, "fields": {"chat": chat}, "responses": given}
    item = only("argilla", lines(row), scale=10)
    assert item.chats[0].answer == "59."
    assert item.votes[0].said == {"rating": 2.0, "scale": 10}


def test_argillas_records_that_nobody_judged_are_skipped() -> None:
    assert "no annotator" in reason("argilla", lines(flat(q=([1], ["a"], ["discarded"]))))
    row = flat(q=([1], ["a"], ["submitted"]))
    assert "no field holds a prompt" in reason("argilla", lines({**row, "prompt": None}))


# -- Gradio ------------------------------------------------------------------------------------

HEADER = ["conversation", "index", "value", "flag", "timestamp"]
CHAT = json.dumps(
    [{"role": "user", "content": 'How "much"?\nNow.'}, {"role": "assistant", "content": "59."}]
)
PAIRS = json.dumps([["How much?", "59."], ["And?", "60."]])


def log(*rows: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([HEADER, *rows])
    return out.getvalue()


@pytest.mark.parametrize(
    ("row", "answer", "said"),
    [
        ([CHAT, "1", "Like", "2026-01-31 09:00:00.0"], "59.", {"rating": "up"}),
        ([CHAT, "1", "59.", "Dislike", "2026-01-31 09:00:00"], "59.", {"rating": "down"}),
        ([PAIRS, "[1, 1]", "Like", "2026-01-31T09:00:00Z"], "60.", {"rating": "up"}),
        ([CHAT, "1", "Spam", "2026-01-31 09:00:00"], "59.", {"reasons": ["Spam"]}),
    ],
)
def test_gradios_log_is_read_by_position(row: list[str], answer: str, said: dict[str, Any]) -> None:
    item = only("gradio", log(row))
    assert (item.chats[0].answer, item.votes[0].said) == (answer, said)
    assert item.votes[0].created_at == 1_769_850_000


def test_gradios_bad_rows_are_skipped_with_their_line() -> None:
    good = [CHAT, "1", "Like", "2026-01-31 09:00:00"]
    items, skipped = read(
        "gradio", log(good, ["no", "1", "Like", ""], [CHAT, "9", "Like", ""], ["a"], good)
    )
    assert len(items) == 2
    assert [row.reason for row in skipped] == [
        "not JSON",
        "it does not say which answer it is about",
        "a row should have four cells",
    ]
    assert [row.place.line for row in skipped] == [3, 4, 5]
    with pytest.raises(Invalid, match="does not look like gradio"):
        read("gradio", "id,rating\n1,2\n")
    with pytest.raises(Invalid, match="not UTF-8"):
        list(read("gradio", log().encode() + b"\xff,1,2,3\n"))


# -- all of them -------------------------------------------------------------------------------

SMALL: dict[In, str] = {
    "chainlit": lines(VOTE, *STEPS),
    "argilla": lines(flat(quality=([5], ["ana"], ["submitted"]))),
    "gradio": log([CHAT, "1", "Like", "2026-01-31 09:00:00"]),
}


@pytest.mark.parametrize("name", SMALL)
def test_imports_of_tables_are_idempotent(store: Store, name: In) -> None:
    for imported in (1, 0):
        tally, skipped = take(store, name, SMALL[name])
        assert not skipped
        assert (tally.read, tally.imported, tally.exchanges) == (1, imported, imported)
    [(feedback, _, exchange)] = stored(store)
    assert (feedback.rating, exchange.origin) == (1.0, "import")


@pytest.mark.parametrize("value", [None, 7, [], {}, "x", [[[]]], {"a": {"b": 1}}, True])
def test_any_field_may_hold_anything_without_breaking_an_import(value: Any) -> None:
    record = flat(quality=([5], ["ana"], ["submitted"]))
    for name, rows in (("chainlit", (VOTE, STEPS[-1], *STEPS[:-1])), ("argilla", (record,))):
        for at in range(min(2, len(rows))):
            for field in rows[at]:
                bent = [*rows[:at], {**rows[at], field: value}, *rows[at + 1 :]]
                items, skipped = read(name, lines(*bent))  # type: ignore[arg-type]
                assert len(items) + len(skipped) <= len(rows)
