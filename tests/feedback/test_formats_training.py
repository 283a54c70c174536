"""Training files, in and out: TRL's dataset types, OpenAI's files, ShareGPT's conversations."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback import forget
from feedback.errors import Invalid
from feedback.formats import exporting
from feedback.formats.names import In, Out
from feedback.models import Receipt
from feedback.store import Store
from tests.builders import ANSWER, QUESTION, decide, exchange, record, recorded, say, tell, told
from tests.feedback.imports import lines, only, read, reason, stored, take

ASKED = [{"role": "user", "content": QUESTION}]
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30
).filter(lambda text: text.strip() != "")
TURNS = st.lists(TEXT, min_size=1, max_size=5).filter(lambda texts: len(texts) % 2 == 1)


def reply(text: str = ANSWER) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def conversation(texts: list[str]) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]


def exported(store: Store, name: Out, kind: str | None = None, **more: Any) -> list[Any]:
    with store.session() as session:
        texts = list(exporting.texts(session, name, kind=kind, **more))
    assert all(text.endswith("\n") and text.count("\n") == 1 for text in texts)
    return [json.loads(text) for text in texts]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": QUESTION, "completion": ANSWER}, {"correction": ANSWER}),
        ({"prompt": ASKED, "completion": [reply()]}, {"correction": ANSWER}),
        ({"messages": [*ASKED, reply()]}, {"correction": ANSWER}),
        ({"prompt": QUESTION, "completion": ANSWER, "label": True}, {"rating": "up"}),
        ({"prompt": ASKED, "completion": [reply()], "label": False}, {"rating": "down"}),
        ({"prompt": ASKED, "chosen": [reply()], "rejected": [reply("No.")]}, {}),
        ({"prompt": QUESTION, "chosen": ANSWER, "rejected": "No."}, {}),
        ({"chosen": [*ASKED, reply()], "rejected": [*ASKED, reply("No.")]}, {}),
        (
            {"prompt": ASKED, "chosen": [*ASKED, reply()], "rejected": [*ASKED, reply("No.")]},
            {},
        ),
    ],
)
def test_every_type_of_trl_says_something_of_one_answer(
    row: dict[str, Any], said: dict[str, Any]
) -> None:
    item = only("trl", lines(row))
    about = {chat.source_id: chat for chat in item.chats}
    [vote] = item.votes
    assert list(about[vote.about].messages) == ASKED
    assert about[vote.about].answer == ANSWER
    assert vote.said == said
    if not said:
        assert about[vote.preferred_over or ""].answer == "No."


def test_texts_without_a_prompt_part_where_they_differ() -> None:
    item = only("trl", lines({"chosen": "The sky is blue.", "rejected": "The sky is green."}))
    better, worse = item.chats
    assert better.messages == ({"role": "user", "content": "The sky is"},)
    assert (better.answer, worse.answer) == (" blue.", " green.")


def test_steps_are_one_answer_with_a_verdict_for_each() -> None:
    row = {"prompt": "2+2*2?", "completions": ["2*2=4", "2+4=7"], "labels": [True, False]}
    item = only("trl", lines(row))
    assert item.chats[0].steps == ("2*2=4", "2+4=7")
    assert item.votes[0].said == {"rating": "down", "survey": {"step 1": 1.0, "step 2": 0.0}}


@pytest.mark.parametrize(
    ("name", "row", "why"),
    [
        ("trl", {"prompt": QUESTION}, "a prompt alone"),
        ("trl", {"text": "The shop is open."}, "a text without turns"),
        ("trl", {"messages": ASKED}, "the conversation does not end with an answer"),
        ("trl", {"messages": [reply()]}, "nobody asked anything before the answer"),
        ("trl", {"prompt": QUESTION, "completion": " "}, "the answer is empty"),
        ("trl", {"prompt": " ", "completion": "x"}, "the prompt is empty"),
        ("trl", {"prompt": QUESTION, "completion": "x", "label": "yes"}, "`label` should be"),
        ("trl", {"prompt": QUESTION, "chosen": "x", "rejected": "x"}, "are the same"),
        ("trl", {"prompt": "x", "completions": ["a"], "labels": []}, "lists of one length"),
        ("openai", {"messages": ASKED}, "the conversation holds no answer to learn"),
        ("openai", {"messages": [{"role": "robot", "content": "x"}]}, "role is not understood"),
        (
            "openai",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, reply()]},
            "something else than text",
        ),
        ("sharegpt", {"conversations": "no"}, "should be a list"),
        (
            "openai",
            {"input": {"messages": ASKED}, "preferred_output": [reply()]},
            "the conversation is no list of messages",
        ),
    ],
)
def test_rows_that_say_nothing_of_an_answer_are_skipped_with_the_reason(
    name: In, row: dict[str, Any], why: str
) -> None:
    assert why in reason(name, lines(row))


def test_every_answer_of_a_conversation_is_learned_but_those_without_weight() -> None:
    messages = conversation(["a", "b", "c", "d"])
    item = only("openai", lines({"messages": messages}))
    assert [(len(chat.messages), chat.answer) for chat in item.chats] == [(1, "b"), (3, "d")]
    assert len({chat.conversation_id for chat in item.chats}) == 1
    messages[1]["weight"] = 0  # type: ignore[assignment]
    item = only("openai", lines({"messages": messages}))
    assert [chat.answer for chat in item.chats] == ["d"]


def test_roles_of_sharegpt_are_understood_and_the_content_is_the_id() -> None:
    row = {
        "id": "identity_0",
        "system": "Be brief.",
        "conversations": [
            {"from": "human", "value": QUESTION},
            {"from": "gpt", "value": ANSWER},
        ],
    }
    [chat] = only("sharegpt", lines(row)).chats
    assert [turn["role"] for turn in chat.messages] == ["system", "user"]
    [other] = only("sharegpt", lines({**row, "id": "identity_1"})).chats
    assert other == chat
    same = {"messages": [{"role": "system", "content": "Be brief."}, *ASKED, reply()]}
    assert only("openai", lines(same)).chats[0].source_id == chat.source_id


def test_an_openai_preference_is_a_preference() -> None:
    row = {
        "input": {"messages": ASKED, "tools": [], "parallel_tool_calls": True},
        "preferred_output": [reply()],
        "non_preferred_output": [reply("No.")],
    }
    item = only("openai", lines(row))
    assert [chat.answer for chat in item.chats] == [ANSWER, "No."]
    assert item.votes[0].preferred_over == item.chats[1].source_id


def said_everything(store: Store) -> dict[str, str]:
    """A thumb each way, a reviewed correction, one in review, a preference, and some that are out."""
    other = recorded(store, answer="It costs 50.")
    ids = {
        "up": say(store, "ana"),
        "down": say(store, "ben", rating="down"),
        "edited": say(store, "cem", correction="59"),
        "unreviewed": say(store, "dan", correction="It costs 61."),
        "refused": say(store, "eve"),
    }
    better = recorded(store)
    ids["preferred"] = tell(store, told(completion_id=better, preferred_over=other))[0]
    replaced = recorded(store)
    tell(store, told("fay", completion_id=replaced, created_at=1.0))
    tell(store, told("fay", completion_id=replaced, created_at=2.0, rating="down"))
    decide(store, ids["edited"], "edit", correction="It costs 60.")
    decide(store, ids["refused"], "refuse")
    return ids


def test_an_export_holds_what_counts_and_leaves_out_what_does_not(store: Store) -> None:
    said_everything(store)
    labels = [(row["completion"][0]["content"], row["label"]) for row in exported(store, "trl")]
    assert sorted(labels) == sorted(
        [
            (ANSWER, True),  # the thumb
            (ANSWER, False),
            (ANSWER, False),  # the vote that replaced a thumb up
            ("It costs 60.", True),  # the reviewer's words, not the person's
            (ANSWER, False),
            (ANSWER, True),  # preferred …
            ("It costs 50.", False),  # … over this
        ]
    )
    chosen = [
        (row["chosen"][0]["content"], row["rejected"][0]["content"])
        for row in exported(store, "trl", "preference")
    ]
    assert sorted(chosen) == [("It costs 60.", ANSWER), (ANSWER, "It costs 50.")]
    shown = [row["messages"][-1]["content"] for row in exported(store, "trl", "language-modeling")]
    assert sorted(shown) == sorted(["It costs 60.", ANSWER, ANSWER])
    with_review = exported(store, "trl", "language-modeling", unreviewed=True)
    assert len(with_review) == len(shown) + 1
    assert [row["prompt"] for row in exported(store, "trl", "prompt-only")].count(ASKED) >= 1


@pytest.mark.parametrize("name", ["openai", "sharegpt", "trl"])
def test_what_was_imported_is_exported_and_imported_again_as_the_same(
    store: Store, name: In
) -> None:
    messages = conversation(["a", "b", "c", "d"])
    rows: dict[str, Any] = {
        "openai": {"messages": messages},
        "sharegpt": {
            "conversations": [
                {"from": {"user": "human"}.get(turn["role"], "gpt"), "value": turn["content"]}
                for turn in messages
            ]
        },
        "trl": {"messages": messages},
    }
    take(store, name, lines(rows[name]))
    kind = {"openai": "chat", "trl": "language-modeling"}.get(name)
    found = exported(store, name, kind, unreviewed=True)  # type: ignore[arg-type]
    assert len(found) == len(stored(store))
    again, _ = take(store, name, lines(*found))
    assert (again.imported, again.duplicates) == (0, len(found))


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(asked=TURNS, chosen=TEXT, rejected=TEXT, label=st.booleans())
def test_any_row_of_ours_is_read_back_as_it_was(
    asked: list[str], chosen: str, rejected: str, label: bool
) -> None:
    from feedback.formats import openai, sharegpt, trl
    from feedback.formats.accepted import Word

    messages = conversation(asked)
    word = Word("f", messages, chosen, rating=float(label), worse=None)
    pair = Word("f", messages, chosen, worse=rejected)
    shown = Word("f", messages, rejected, correction=chosen)
    for name, row in (
        *(("trl", row) for row in trl.write(word, "unpaired-preference")),
        *(("trl", row) for row in trl.write(pair, "preference")),
        *(("trl", row) for row in trl.write(shown, "prompt-completion")),
        *(("trl", row) for row in trl.write(shown, "language-modeling")),
        *(("openai", row) for row in openai.write(shown, "chat")),
        *(("openai", row) for row in openai.write(pair, "preference")),
        *(("sharegpt", row) for row in sharegpt.write(shown)),
    ):
        items, skipped = read(name, json.dumps(row) + "\n")  # type: ignore[arg-type]
        assert not skipped
        [item] = items
        last = item.chats[-1] if name == "sharegpt" else item.chats[0]
        assert (list(last.messages), last.answer) == (messages, chosen)
        if "chosen" in row or "preferred_output" in row:
            assert item.chats[1].answer == rejected
        if "label" in row:
            assert item.votes[0].said == {"rating": "up" if row["label"] else "down"}


def test_trl_itself_understands_what_we_write(store: Store) -> None:
    from datasets import Dataset
    from trl.data_utils import is_conversational, maybe_extract_prompt, unpair_preference_dataset

    said_everything(store)
    pairs = exported(store, "trl", "preference")
    unpaired = unpair_preference_dataset(Dataset.from_list(pairs))
    assert set(unpaired.column_names) == {"prompt", "completion", "label"}
    assert len(unpaired) == 2 * len(pairs)
    for kind in ("unpaired-preference", "preference", "prompt-completion", "language-modeling"):
        rows = exported(store, "trl", kind)
        assert all(is_conversational(row) for row in rows)
        assert len(Dataset.from_list(rows)) == len(rows) > 0
    implicit = [
        {"chosen": row["prompt"] + row["chosen"], "rejected": row["prompt"] + row["rejected"]}
        for row in pairs
    ]
    for theirs, ours in zip(implicit, pairs, strict=True):
        assert maybe_extract_prompt(theirs) == ours


def test_a_chat_clients_own_prompts_are_in_no_export(store: Store) -> None:
    task = exchange(origin="task")
    record(store, task)
    say(store, completion_id=task.id)
    assert exported(store, "trl") == []


def test_steps_survive_import_and_export(store: Store) -> None:
    row = {"prompt": "2+2?", "completions": ["a", "b"], "labels": [True, False]}
    take(store, "trl", lines(row))
    assert exported(store, "trl", "stepwise-supervision") == [row]


def test_a_type_that_a_format_does_not_have_is_refused(store: Store) -> None:
    with pytest.raises(Invalid, match="choose chat, preference"):
        exported(store, "openai", "unpaired-preference")
    with pytest.raises(Invalid, match="drop it"):
        exported(store, "sharegpt", "chat")


def test_pages_join_without_a_gap(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from feedback.formats import accepted

    monkeypatch.setattr(accepted, "PAGE", 3)
    for number in range(8):
        say(store, f"person {number}")
    assert len(exported(store, "trl")) == 8


def test_a_vote_that_was_cast_again_is_in_no_export_though_it_came_with_another(
    store: Store,
) -> None:
    both = recorded(store, who="mia")
    first = say(store, "mia", completion_id=both, correction="It costs 60.", rating="up")
    decide(store, first, "accept")
    say(store, "mia", completion_id=both, rating="down")
    labels = [(row["completion"][0]["content"], row["label"]) for row in exported(store, "trl")]
    # The correction is in force, and says of the answer what the later thumb says.
    assert sorted(labels) == sorted([("It costs 60.", True), (ANSWER, False), (ANSWER, False)])
    again = say(store, "mia", completion_id=both, correction="It costs 70.")
    decide(store, again, "accept")
    pairs = [row["chosen"][0]["content"] for row in exported(store, "trl", "preference")]
    assert pairs == ["It costs 70."]


def test_what_is_kept_no_longer_is_in_no_export(store: Store) -> None:
    gone = recorded(store, question="Gone?", who="ana", created_at=1.0)
    said = say(store, "ana", completion_id=gone)
    compared = say(store, "ben", completion_id=recorded(store), preferred_over=gone)
    for name in (said, compared):
        decide(store, name)
    with store.session(write=True) as session:
        session.get_one(Receipt, said).status = "used"
        forget.empty_feedback(session, [said])
        forget.empty_exchanges(session, [gone])
        session.commit()
    assert exported(store, "trl", "prompt-only") == [{"prompt": ASKED}]
    assert exported(store, "trl", "preference") == []
    labels = [(row["completion"][0]["content"], row["label"]) for row in exported(store, "trl")]
    assert labels == [(ANSWER, True)]
