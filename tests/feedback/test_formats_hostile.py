"""Whatever a file holds, an import ends with rows taken, rows skipped or one clear fault."""

import copy
import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.errors import Invalid
from feedback.formats import catalogue, exporting, heed, importing, restoring
from feedback.formats.names import In, Out
from feedback.formats.records import Skipped, Tally
from feedback.models import Receipt
from feedback.store import Store
from tests.builders import exchange
from tests.feedback import test_formats_openwebui, test_formats_tables, test_formats_traces
from tests.feedback.imports import KEY, source

MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
_SAID: dict[str, Any] = {
    "feedback_id": "fbk_1",
    "reason": "",
    "updated_at": 1.0,
    "status": "waiting",
}
LINES = [
    {"type": "exchange", **heed._columns(exchange(id="chatcmpl_1"))},
    {
        "type": "feedback",
        "id": "fbk_1",
        "project_id": "default",
        "event_id": "e",
        "body_hash": "h",
        "exchange_id": "chatcmpl_1",
        "conversation_id": None,
        "choice": 0,
        "key_id": None,
        "person_id": "per_1",
        "rating": 1.0,
        "correction": None,
        "preferred_over": None,
        "signal": None,
        "body": {"rating": "up"},
        "told_at": 1.0,
        "received_at": 1.0,
        "receipt": heed._beside(Receipt(**_SAID)),
        "reviews": [],
    },
]
ROWS: list[tuple[In, list[Any]]] = [
    ("openwebui", [test_formats_openwebui.rating(data={"sibling_model_ids": ["qwen"]})]),
    ("trl", [{"prompt": MESSAGES[:1], "completion": MESSAGES[1:], "label": True}]),
    ("trl", [{"prompt": "a", "chosen": "b", "rejected": "c"}]),
    ("trl", [{"prompt": "a", "completions": ["b"], "labels": [True]}]),
    ("openai", [{"messages": MESSAGES}]),
    (
        "openai",
        [
            {
                "input": {"messages": MESSAGES[:1]},
                "preferred_output": MESSAGES[1:],
                "non_preferred_output": [{"role": "assistant", "content": "c"}],
            }
        ],
    ),
    (
        "sharegpt",
        [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}],
    ),
    (
        "chainlit",
        [test_formats_tables.VOTE, *test_formats_tables.STEPS, test_formats_tables.THREAD],
    ),
    ("argilla", [test_formats_tables.flat(quality=([5], ["ana"], ["submitted"]))]),
    *((name, list(rows)) for name, rows in test_formats_traces.SMALL.items()),
    (
        "heed",
        [
            {"type": "heed", "version": 1},
            {"type": "person", "id": "per_1", "project_id": "default", "key_id": "k"}
            | {"first_seen_at": 1.0},
        ],
    ),
    ("heed", [{"type": "heed", "version": 1}, *LINES]),
]
NASTY: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, -1, 0, 7, 10**400, -(10**400), 1e308, 1e-320, 0.1, "", " ", "x", "\x00"),
        *("\ud800", "a\udfffb", "1e999", "9" * 400, "[", '{"role": 1}', "0001-01-01", "x" * 300),
        *([], {}, [[]], [{}], {"": None}, [None], {"role": "user"}, [{"role": []}], {"text": 1}),
        *({"messages": {"messages": 1}}, {"choices": [[[]]]}, [["a", "b"], ["c"]]),
    ]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value within a value."""
    found = [path] if path else []
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, each in inner:
        found += places(each, (*path, key))
    return found


@pytest.mark.parametrize(
    ("name", "rows"), ROWS, ids=lambda each: each if isinstance(each, str) else ""
)
@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_no_value_anywhere_breaks_an_import(
    store: Store, name: In, rows: list[Any], data: st.DataObject
) -> None:
    bent = copy.deepcopy(rows)
    for _ in range(data.draw(st.integers(1, 3))):
        ways = places(bent)
        if not ways:
            break
        *way, last = data.draw(st.sampled_from(ways))
        target = bent
        for key in way:
            target = target[key]
        target[last] = copy.deepcopy(data.draw(NASTY))
    text = "".join(json.dumps(row) + "\n" for row in bent)
    tally, skipped = Tally(), list[Skipped]()
    try:
        if name == "heed":
            restoring.load(store, [source(text)], tally, skipped.append)
        else:
            entries = catalogue.entries(name, [source(text)])
            voices = importing.Voices(KEY, name)
            importing.load(
                store, store.settings, voices, entries, tally=tally, report=skipped.append
            )
    except Invalid as fault:
        known = ("does not look like", "has version", "goes on after its end")
        assert any(each in fault.message for each in known)
    assert tally.read == tally.imported + tally.duplicates + tally.skipped
    with store.session() as session:
        for shape in get_args(Out):
            for line in exporting.texts(session, shape, unreviewed=True):
                assert line.endswith("\n")
    for row in skipped:
        assert row.reason
        row.reason.encode()
        row.detail.encode(errors="backslashreplace")
