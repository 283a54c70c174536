"""MLflow's assessments with the traces they are about. Reads only.

Takes assessments alone, traces with their assessments within (`info.assessments`), and traces beside.
An expectation of what the answer should have been is a correction; what a judge or code said is no
person's word.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from feedback.formats import conversation, score
from feedback.formats.join import VOTE, Bench, first, ident, joined, when
from feedback.formats.json_rows import Row
from feedback.formats.records import Chat, Entry, Said, Unusable, Vote
from feedback.formats.source import Source

NAME = "mlflow"
ARRAYS = frozenset({"traces", "assessments"})
TRACE = "trace"
PREVIEWS = "the trace holds only previews of its question and answer: export it with its spans"
_EXPECTED = frozenset({"expected_response", "expected_output", "expected_answer", "ground_truth"})


def entries(sources: Iterable[Source], *, scale: int | None = None) -> Iterator[Entry]:
    """Read assessments and traces, in any order.

    Args:
        sources: exports of either.
        scale: the largest number of a numeric rating, counted from 1.
    """
    return joined(NAME, sources, sort, lambda row, bench: read(row, bench, scale), ARRAYS)


def sort(row: Row) -> Iterator[tuple[Row, str, str | None, str | None]]:
    """Tell assessments and traces apart; a trace may hold its assessments."""
    value = row.value
    if not isinstance(value, dict):
        raise Unusable("not an object", type(value).__name__)
    if first(value, "assessment_id", "assessment_name", "feedback", "expectation") is not None:
        yield row, VOTE, ident(value, "assessment_id"), ident(value, "trace_id")
        return
    found = value.get("info")
    info: dict[str, Any] = found if isinstance(found, dict) else value
    name = ident(info, "trace_id", "request_id")
    if name is None:
        raise Unusable("neither an assessment nor a trace")
    yield row, TRACE, name, None
    held = first(info, "assessments") or first(value, "assessments")
    for assessment in held if isinstance(held, list) else []:
        if isinstance(assessment, dict):
            whole = Row(row.place, {"trace_id": name, **assessment})
            yield whole, VOTE, ident(assessment, "assessment_id"), name


def read(row: Any, bench: Bench, scale: int | None) -> Said:
    """Read one assessment.

    Raises:
        Unusable: no person said it, it was replaced by a later one, or it says nothing.
    """
    source = row.get("source")
    if isinstance(source, dict) and str(source.get("source_type", "HUMAN")).upper() != "HUMAN":
        raise Unusable("said by an evaluator, not by a person")
    if row.get("valid") is False:
        raise Unusable("replaced by a later assessment")
    about = ident(row, "trace_id")
    if about is None:
        raise Unusable("it does not say what it is about")
    words = _words(row, scale)
    chat = _chat(about, bench)
    voice = ident(source, "source_id") if isinstance(source, dict) else None
    name = ident(row, "assessment_id") or f"{about}:{ident(row, 'assessment_name', 'name')}"
    at = when(row, "last_update_time", "last_update_time_ms", "create_time", "create_time_ms")
    return (chat,), (Vote(f"{NAME}:{name}", chat.source_id, words, voice or chat.user, at),)


def _words(row: dict[str, Any], scale: int | None) -> dict[str, Any]:
    name = ident(row, "assessment_name", "name") or ""
    said, expected = row.get("feedback"), row.get("expectation")
    value = (
        said if isinstance(said, dict) else expected if isinstance(expected, dict) else {}
    ).get("value")
    if value is None:
        raise Unusable("an assessment without a value")
    words: dict[str, Any]
    if isinstance(expected, dict) and not isinstance(said, dict):
        if name in _EXPECTED and isinstance(value, str) and value.strip():
            words = {"correction": value}
        else:
            words = score.survey(name, value)
    else:
        words = score.said(name, value, scale=scale)
    rationale = row.get("rationale")
    if isinstance(rationale, str) and rationale.strip():
        words["comment"] = rationale
    return words


def _chat(about: str, bench: Bench) -> Chat:
    """What was judged: the trace's request and response, or what its first span took and gave.

    `request_preview` and `response_preview` are never taken for them. MLflow cuts them, keeps only the
    last message of a conversation there, and lets programs write what they like; none says whether it
    is whole.
    """
    trace = bench.one(TRACE, about)
    if trace is None:
        return Chat(f"{NAME}:{about}", completion_ids=(about,))
    found_info, found_data = trace.get("info"), trace.get("data")
    info: dict[str, Any] = found_info if isinstance(found_info, dict) else trace
    data: dict[str, Any] = found_data if isinstance(found_data, dict) else trace
    known_as = tuple(each for each in (about, ident(info, "client_request_id")) if each)
    root = _root(data)
    asked = first(data, "request") or first(info, "request") or first(root, "mlflow.spanInputs")
    given = first(data, "response") or first(info, "response") or first(root, "mlflow.spanOutputs")
    if asked is None or given is None:
        preview = first(info, "request_preview", "response_preview")
        why = None if preview is None else PREVIEWS
        return Chat(f"{NAME}:{about}", completion_ids=known_as, lacking=why)
    answer = conversation.answer(_quoted(given))
    if not answer.strip():
        raise Unusable("the answer is empty")
    metadata = info.get("trace_metadata")
    known = metadata if isinstance(metadata, dict) else {}
    return Chat(
        f"{NAME}:{about}",
        tuple(conversation.asked(conversation.prompt(_quoted(asked)))),
        answer,
        completion_ids=known_as,
        user=ident(known, "mlflow.trace.user"),
        conversation_id=ident(known, "mlflow.trace.session"),
        created_at=when(info, "request_time", "timestamp_ms", "request_time_ms"),
    )


def _root(data: dict[str, Any]) -> dict[str, Any]:
    """The attributes of the span that has no parent: what the whole program took and gave."""
    spans = data.get("spans")
    for span in spans if isinstance(spans, list) else []:
        if isinstance(span, dict) and first(span, "parent_span_id", "parent_id") is None:
            attributes = span.get("attributes")
            return attributes if isinstance(attributes, dict) else {}
    return {}


def _quoted(value: Any) -> Any:
    """MLflow writes what a function took and gave as JSON, texts too."""
    import json

    if isinstance(value, str) and value[:1] in ('"', "{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
