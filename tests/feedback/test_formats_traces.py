"""Tracing tools: scores here, answers there, in any order; whose word it is, and what it means."""

import json
from typing import Any

import pytest

from feedback.errors import Invalid
from feedback.formats import mlflow
from feedback.formats.names import In
from feedback.store import Store
from tests.builders import recorded
from tests.feedback.imports import KEY, lines, only, read, reason, stored, take

ASKED = [{"role": "user", "content": "How much?"}]
REPLY = {"role": "assistant", "content": "59 dollars."}


# -- Langfuse ----------------------------------------------------------------------------------

OBSERVATION = {
    "id": "o1",
    "trace_id": "t1",
    "type": "GENERATION",
    "input": json.dumps(ASKED),
    "output": json.dumps(REPLY),
    "provided_model_name": "gpt",
    "end_time": "2026-01-31T09:00:00Z",
}
TRACE = {"id": "t1", "project_id": "p", "user_id": "ana", "session_id": "chat", "input": None}
SCORE = {
    "id": "s1",
    "trace_id": "t1",
    "observation_id": "o1",
    "name": "user-feedback",
    "value": 1.0,
    "source": "API",
    "data_type": "NUMERIC",
    "timestamp": "2026-01-31 10:00:00.000",
    "comment": "Right",
}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("apart", [False, True])
def test_langfuse_joins_scores_with_what_they_are_about(
    order: tuple[int, ...], apart: bool
) -> None:
    rows = [(SCORE, OBSERVATION, TRACE)[at] for at in order]
    texts = [lines(row) for row in rows] if apart else [lines(*rows)]
    item = only("langfuse", *texts)
    [chat], [vote] = item.chats, item.votes
    assert (list(chat.messages), chat.answer) == (ASKED, "59 dollars.")
    assert (chat.user, chat.conversation_id, chat.model) == ("ana", "chat", "gpt")
    assert chat.created_at == 1_769_850_000
    assert vote.said == {"rating": "up", "comment": "Right"}
    assert vote.created_at == 1_769_853_600
    assert vote.user == "ana"


def test_a_score_of_a_trace_is_about_its_last_answer() -> None:
    whole = {**SCORE, "observation_id": None}
    by_trace = only("langfuse", lines(whole, OBSERVATION, {**OBSERVATION, "id": "o2"}))
    assert by_trace.chats[0].source_id == "langfuse:o2"
    trace = {**TRACE, "input": {"messages": ASKED}, "output": "59 dollars."}
    assert only("langfuse", lines(whole, trace)).chats[0].source_id == "langfuse:t1"


def test_the_apis_pages_are_read_too() -> None:
    api = {
        "id": "s1",
        "traceId": "t1",
        "name": "output",
        "dataType": "CORRECTION",
        "value": "60 dollars.",
        "source": "ANNOTATION",
        "authorUserId": "rev",
    }
    pages = json.dumps({"data": [api], "meta": {"page": 1}}, indent=2)
    item = only(
        "langfuse", pages, json.dumps({"data": [TRACE | {"output": "59"}]}), lines(OBSERVATION)
    )
    [vote] = item.votes
    assert (vote.said, vote.user) == ({"correction": "60 dollars."}, "rev")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"data_type": "BOOLEAN", "value": 0}, {"rating": "down"}),
        ({"data_type": "CATEGORICAL", "string_value": "good", "value": 3}, {"rating": "up"}),
        ({"data_type": "TEXT", "string_value": "Hm", "value": None}, {"comment": "Hm"}),
        ({"name": "toxicity", "value": 0.1}, {"survey": {"toxicity": 0.1}}),
        ({"name": "thumbs_down", "data_type": "BOOLEAN", "value": 1}, {"rating": "down"}),
        ({"name": "incorrect", "data_type": "BOOLEAN", "value": 0}, {"rating": "up"}),
        ({"name": "dislike", "value": 1}, {"rating": "down"}),
    ],
)
def test_langfuses_types_of_scores(more: dict[str, Any], said: dict[str, Any]) -> None:
    item = only("langfuse", lines({**SCORE, "comment": None, **more}, OBSERVATION))
    assert item.votes[0].said == said


def test_what_a_machine_judged_is_no_persons_word() -> None:
    assert "evaluator" in reason("langfuse", lines({**SCORE, "source": "EVAL"}))
    run = {"id": "r1", "run_type": "chain", "inputs": {}, "outputs": {}}
    judged = {"id": "f1", "key": "k", "run_id": "r1", "score": 1}
    for kind in ("model", "auto_eval"):
        row = {**judged, "feedback_source": {"type": kind}}
        assert "evaluator" in reason("langsmith", lines(run, row))
    source = {"source_type": "LLM_JUDGE", "source_id": "gpt"}
    row = {"assessment_id": "a", "trace_id": "t", "feedback": {"value": True}, "source": source}
    assert "evaluator" in reason("mlflow", lines(row))


# -- LangSmith ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"messages": ASKED}, {"messages": [*ASKED, REPLY]}),
        ({"messages": [[{"type": "human", "content": "How much?"}]]}, {"output": "59 dollars."}),
        ({"question": "How much?"}, {"answer": "59 dollars."}),
        ({"input": "How much?"}, {"choices": [{"message": REPLY}]}),
    ],
)
def test_langsmith_joins_feedback_with_its_run(inputs: Any, outputs: Any) -> None:
    run = {
        "id": "r1",
        "run_type": "chain",
        "inputs": inputs,
        "outputs": outputs,
        "end_time": "2026-01-31T09:00:00",
        "extra": {"metadata": {"user_id": "ana", "thread_id": "th"}},
    }
    said = {
        "id": "f1",
        "key": "user_score",
        "run_id": "r1",
        "score": 1,
        "comment": "Good",
        "correction": {"output": "60 dollars."},
        "feedback_source": {"type": "app", "user_id": "u1"},
        "created_at": "2026-01-31T10:00:00+00:00",
    }
    item = only("langsmith", lines(said, run))
    [chat], [vote] = item.chats, item.votes
    assert (list(chat.messages), chat.answer) == (ASKED, "59 dollars.")
    assert (chat.user, chat.conversation_id) == ("ana", "th")
    assert vote.said == {"rating": "up", "comment": "Good", "correction": "60 dollars."}
    assert (vote.user, vote.created_at) == ("u1", 1_769_853_600)


# -- MLflow ------------------------------------------------------------------------------------


def test_mlflow_reads_assessments_within_traces_and_beside_them() -> None:
    human = {"source_type": "HUMAN", "source_id": "ana"}
    liked = {
        "assessment_id": "a1",
        "assessment_name": "user_feedback",
        "source": human,
        "feedback": {"value": True},
        "rationale": "Right",
        "create_time": "2026-01-31T10:00:00Z",
    }
    expected = {
        "assessment_id": "a2",
        "trace_id": "tr1",
        "name": "expected_response",
        "source": human,
        "expectation": {"value": "60 dollars."},
    }
    trace = {
        "info": {"trace_id": "tr1", "request_time": "2026-01-31T09:00:00Z", "assessments": [liked]},
        "data": {"request": json.dumps({"messages": ASKED}), "response": json.dumps("59 dollars.")},
    }
    items, skipped = read("mlflow", lines(trace, expected))
    assert not skipped
    said = [item.votes[0].said for item in items]
    assert said == [{"rating": "up", "comment": "Right"}, {"correction": "60 dollars."}]
    for item in items:
        assert (list(item.chats[0].messages), item.chats[0].answer) == (ASKED, "59 dollars.")
    assert items[0].votes[0].user == "ana"
    assert items[0].chats[0].created_at == 1_769_850_000


LIKED: dict[str, Any] = {
    "assessment_id": "a1",
    "trace_id": "tr1",
    "name": "thumbs_up",
    "source": {"source_type": "HUMAN", "source_id": "ana"},
    "feedback": {"value": True},
}
CUT = {"request_preview": "How mu...", "response_preview": "59 dol..."}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("parent", ["parent_span_id", "parent_id"])
def test_mlflows_previews_are_left_for_what_the_first_span_took_and_gave(
    flat: bool, parent: str
) -> None:
    given = {"mlflow.spanInputs": json.dumps({"messages": ASKED})}
    given["mlflow.spanOutputs"] = json.dumps({"choices": [{"message": REPLY}]})
    inner = {parent: "s1", "attributes": {"mlflow.spanInputs": '"x"', "mlflow.spanOutputs": '"y"'}}
    spans = [inner, {parent: None, "attributes": given}]
    info = {"trace_id": "tr1", **CUT}
    trace = {**info, "spans": spans} if flat else {"info": info, "data": {"spans": spans}}
    [chat] = only("mlflow", lines(LIKED, trace)).chats
    assert (list(chat.messages), chat.answer) == (ASKED, "59 dollars.")


@pytest.mark.parametrize(
    "previews", [CUT, {"request_preview": json.dumps(ASKED), "response_preview": '"59 dollars."'}]
)
def test_mlflows_previews_alone_are_no_exchange_but_name_one(
    store: Store, previews: dict[str, str]
) -> None:
    info = {"trace_id": "tr1", **previews}
    trace = {"info": info, "data": {"spans": []}}
    tally, skipped = take(store, "mlflow", lines(trace, LIKED))
    assert (tally.imported, tally.exchanges) == (0, 0)
    assert [row.reason for row in skipped] == [mlflow.PREVIEWS]
    info["client_request_id"] = recorded(store)
    tally, _ = take(store, "mlflow", lines(trace, LIKED))
    assert (tally.imported, tally.exchanges, tally.feedback) == (1, 0, 1)


@pytest.mark.parametrize("within", [False, True])
def test_an_assessment_that_was_overridden_does_not_count_and_the_later_one_does(
    store: Store, within: bool
) -> None:
    first = {**LIKED, "valid": False}
    later = {**LIKED, "assessment_id": "a2", "feedback": {"value": False}}
    later |= {"overrides": "a1", "valid": True}
    info: dict[str, Any] = {"trace_id": "tr1", "request": "How much?", "response": "59 dollars."}
    rows = [{"info": {**info, "assessments": [later, first]}}] if within else [info, later, first]
    tally, _ = take(store, "mlflow", lines(*rows))
    assert (tally.imported, tally.reasons) == (1, {"replaced by a later assessment": 1})
    [(feedback, _, _)] = stored(store)
    assert feedback.rating == 0.0


# -- TensorZero --------------------------------------------------------------------------------

INFERENCE = {
    "id": "01944000-0000-7000-8000-000000000000",
    "variant_name": "gpt",
    "episode_id": "e1",
    "input": json.dumps(
        {"system": "Be brief.", "messages": [{"role": "user", "content": "How much?"}]}
    ),
    "output": json.dumps([{"type": "text", "text": "59 dollars."}]),
    "tags": {"user_id": "ana"},
}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"target_id": INFERENCE["id"], "metric_name": "thumbs", "value": False},
            {"rating": "down"},
        ),
        (
            {"target_id": "e1", "metric_name": "user_rating", "value": 0.0},
            {"rating": "down"},
        ),
        (
            {"target_id": INFERENCE["id"], "target_type": "inference", "value": "Too dear"},
            {"comment": "Too dear"},
        ),
        (
            {
                "inference_id": INFERENCE["id"],
                "value": json.dumps([{"type": "text", "text": "60 dollars."}]),
            },
            {"correction": "60 dollars."},
        ),
    ],
)
def test_tensorzero_reads_every_kind_of_feedback(row: dict[str, Any], said: dict[str, Any]) -> None:
    item = only(
        "tensorzero", lines({"id": "01944000-0000-7000-8000-000000000001", **row}, INFERENCE)
    )
    [chat], [vote] = item.chats, item.votes
    assert vote.said == said
    assert [turn["content"] for turn in chat.messages] == ["Be brief.", "How much?"]
    assert (chat.answer, chat.user, vote.user) == ("59 dollars.", "ana", "ana")
    assert vote.created_at == chat.created_at == 0x019440000000 / 1000


# -- all of them -------------------------------------------------------------------------------

SMALL: dict[In, tuple[Any, ...]] = {
    "langfuse": (SCORE, OBSERVATION),
    "langsmith": (
        {"id": "f1", "key": "user_score", "run_id": "r1", "score": 1},
        {"id": "r1", "run_type": "llm", "inputs": {"messages": ASKED}, "outputs": REPLY},
    ),
    "mlflow": (
        {"assessment_id": "a", "trace_id": "t", "name": "rating", "feedback": {"value": True}},
        {"trace_id": "t", "request": "How much?", "response": "59 dollars."},
    ),
    "tensorzero": (
        {"id": "f", "target_id": INFERENCE["id"], "metric_name": "rating", "value": True},
        INFERENCE,
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_imports_of_traces_are_idempotent_and_take_only_what_was_judged(
    store: Store, name: In
) -> None:
    said, about = SMALL[name]
    unjudged = {**about, "id": "other", "trace_id": "other"}
    for imported in (1, 0):
        tally, skipped = take(store, name, lines(about, unjudged, said))
        assert not skipped
        assert (tally.read, tally.imported, tally.exchanges) == (1, imported, imported)
    [(feedback, _, exchange)] = stored(store)
    assert (feedback.rating, exchange.choices[0]["text"]) == (1.0, "59 dollars.")
    if name == "langfuse":
        assert feedback.person_id == KEY.person_id("import:langfuse")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("text", ["[1, 2]", '"text"\n', "null\n"])
def test_what_is_no_trace_is_told_apart(name: In, text: str) -> None:
    with pytest.raises(Invalid, match="no JSON objects"):
        read(name, text)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("value", [None, 7, [], {}, "x", [[[]]], {"a": {"b": 1}}, True])
def test_any_field_may_hold_anything_without_breaking_an_import(name: In, value: Any) -> None:
    said, about = SMALL[name]
    for which in (said, about):
        for field in which:
            bent = {**which, field: value}
            rows = (bent, about) if which is said else (said, bent)
            try:
                items, skipped = read(name, lines(*rows))
            except Invalid as error:
                assert "does not look like" in error.message
                continue
            assert len(items) + len(skipped) <= 3
