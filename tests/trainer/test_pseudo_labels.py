"""Which own answers of the model become demonstrations, and which never do."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from feedback.store import Store
from tests.builders import exchange, record, recorded, say, word
from trainer import pseudo_labels
from trainer.examples import Example, Message
from trainer.pseudo_labels import Logged

Rows = Sequence[tuple[Sequence[Message], str]]


def asked(name: str, **fields: Any) -> Logged:
    values: dict[str, Any] = {
        "messages": (Message(role="user", content=f"What is {name}?"),),
        "answer": f"It is {name}.",
        "adapter_id": "adp_now",
        "person_id": f"per_{name}",
    }
    return Logged(name, **{**values, **fields})


class Sure:
    """A model that is as sure of each answer as the test says; unsure of others."""

    def __init__(self, **confidence: float) -> None:
        self.confidence = confidence
        self.generated: list[str] = []

    def fits(self, rows: Rows, *, max_new_tokens: int = 1) -> list[bool]:
        return ["long" not in messages[-1]["content"] for messages, _ in rows]

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
    ) -> list[str]:
        assert adapter == "incumbent"
        self.generated += [each[-1]["content"] for each in conversations]
        return [f"Now: {each[-1]['content'].split()[-1]}" for each in conversations]

    def log_likelihood(self, rows: Rows, *, adapter: str | None) -> list[float]:
        assert adapter == "incumbent"
        names = [messages[-1]["content"].split()[-1].rstrip("?") for messages, _ in rows]
        return [math.log(self.confidence.get(name, 0.01)) for name in names]


def labelled(model: Sure, *logged: Logged, **options: Any) -> list[Example]:
    given: dict[str, Any] = {
        "reviewed": [],
        "judging": set(),
        "most": 10,
        "confidence": 0.9,
        "weight": 0.3,
        "max_new_tokens": 8,
    }
    return pseudo_labels.labelled(
        logged, policy=model, present="incumbent", present_id="adp_now", **{**given, **options}
    )


def targets(found: list[Example]) -> list[str]:
    return [each.target for each in found]


def test_confident_answers_become_demonstrations_the_surest_first() -> None:
    model = Sure(a=0.91, b=0.99, c=0.89)
    found = labelled(model, asked("a"), asked("b"), asked("c"), asked("long"))
    assert targets(found) == ["It is b.", "It is a."]
    assert {(e.kind, e.weight, e.source, e.made, e.role) for e in found} == {
        ("demonstration", 0.3, "general", "pseudo-label", "pseudo-label")
    }
    assert [each.cluster for each in found] == ["per_b", "per_a"]
    assert model.generated == []
    assert targets(labelled(model, asked("a"), asked("b"), most=1)) == ["It is b."]
    assert labelled(model, asked("a"), most=0) == []


def test_what_another_adapter_answered_is_answered_anew() -> None:
    model = Sure(a=0.95, b=0.95)
    found = labelled(model, asked("a", adapter_id="base"), asked("b"))
    assert targets(found) == ["Now: a?", "It is b."]
    assert model.generated == ["What is a?"]


def test_nothing_is_taught_that_a_correction_replaces_or_that_judges() -> None:
    model = Sure(a=1.0, b=1.0, c=1.0)
    corrected = word(question="What is a?", correction="It is z.")
    found = labelled(
        model,
        asked("a"),
        asked("b"),
        asked("c"),
        reviewed=[corrected],
        judging={"what is b"},
    )
    assert targets(found) == ["It is c."]
    assert labelled(model, asked("c"), may_be_said=lambda answer: "c" not in answer) == []


def names(store: Store, **options: Any) -> list[str]:
    with store.session() as session:
        return [each.id for each in pseudo_labels.unlabelled(session, **options)]


def test_only_questions_without_any_feedback_are_looked_at(store: Store) -> None:
    free = recorded(store, question="Is it free?", answer="Yes.", conversation_id="cnv_1")
    for kind in ({"rating": "down"}, {"rating": "up"}, {"correction": "No."}, {"signal": "retry"}):
        about = recorded(store, question=f"Is it {kind}?")
        recorded(store, question=f"Is it {kind}?", who="ben")  # the same prompt, by another
        say(store, completion_id=about, **kind)
    better, worse = recorded(store, question="Which?"), recorded(store, question="Which one?")
    say(store, completion_id=better, preferred_over=worse)
    recorded(store, question="Is it left?", conversation_id="cnv_2")
    say(store, conversation_id="cnv_2", signal="abandon")
    assert names(store) == [free]


def test_only_whole_single_answers_to_people_count_and_each_prompt_once(store: Store) -> None:
    recorded(store, question="Twice?")
    last = recorded(store, question="Twice?")
    cut = [{"text": "It is", "finish_reason": "length"}]
    two = [{"text": text, "finish_reason": "stop"} for text in ("Yes.", "No.")]
    record(
        store,
        exchange(question="Cut?", choices=cut),
        exchange(question="Two?", choices=two),
        exchange(question="Empty?", choices=[{"text": " ", "finish_reason": "stop"}]),
        exchange(question="Title?", origin="task"),
        exchange(question="Broken?", state="failed"),
        exchange(
            question="Picture?",
            messages=[{"role": "user", "content": [{"type": "text", "text": "Picture?"}]}],
        ),
    )
    assert names(store) == [last]
    first = recorded(store, question="Another?")
    assert names(store, limit=1) == [first]


@pytest.mark.parametrize("confidence", [0.5, 1.0])
def test_a_bar_that_all_or_none_pass(confidence: float) -> None:
    model = Sure(a=0.7, b=0.6)
    assert len(labelled(model, asked("a"), asked("b"), confidence=confidence)) == (
        2 if confidence == 0.5 else 0
    )
