"""A judge model: what it is sent, what it says, and what happens while it is away."""

import json

import httpx
import pytest

from tests import builders
from trainer.evaluate import score
from trainer.evidence import Evidence, pair
from trainer.gate import judge
from trainer.judge_model import FAILURES_IN_A_ROW, KEY, UNSET, JudgeModel
from trainer.suites import Item

URL = "http://127.0.0.1:9/v1"


def item(name: str = "i", demand: str = "greets the person") -> Item:
    return Item(name, "tone", ({"role": "user", "content": "Hi"},), demand, "judge")


def answering(*said: str | int) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        reply = said[min(len(seen), len(said) - 1)]
        seen.append(request)
        if isinstance(reply, int):
            return httpx.Response(reply)
        return httpx.Response(200, json={"choices": [{"message": {"content": reply}}]})

    return httpx.MockTransport(handle), seen


@pytest.mark.parametrize(
    ("said", "verdict"), [("yes", True), ("No.", False), ("**Yes**", True), ("maybe", None)]
)
def test_one_word_is_read(said: str, verdict: bool | None) -> None:
    transport, _ = answering(said)
    model = JudgeModel(URL, "judge", transport=transport)
    assert model.verdicts([(item(), "Hello!")]) == [verdict]
    assert bool(model.fault) is (verdict is None)


def test_the_judge_is_sent_the_demand_and_the_answer_with_its_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, "secret")
    transport, seen = answering("yes")
    JudgeModel(URL + "/", "judge", transport=transport).verdicts([(item(), "Hello!")])
    (request,) = seen
    assert str(request.url) == f"{URL}/chat/completions"
    assert request.headers["Authorization"] == "Bearer secret"
    body = json.loads(request.content)
    assert body["model"] == "judge" and body["temperature"] == 0
    assert "greets the person" in body["messages"][1]["content"]
    assert "Hello!" in body["messages"][1]["content"]


def test_a_judge_that_is_away_is_not_waited_for_and_nothing_counts_as_checked() -> None:
    transport, seen = answering(503)
    model = JudgeModel(URL, "judge", transport=transport)
    asked = [(item(str(n)), "Hello!") for n in range(40)]
    assert model.verdicts(asked) == [None] * 40
    assert len(seen) < 40 and len(seen) >= FAILURES_IN_A_ROW
    assert "answered 503" in model.fault
    unset = JudgeModel(None, None)
    assert unset.verdicts(asked[:1]) == [None] and unset.fault == UNSET


def test_what_no_judge_has_checked_stays_out_of_the_evidence_and_is_named() -> None:
    items = [item("judged"), Item("plain", "tone", item().messages, "hello", "contains")]
    before = score(lambda asked: ["Hello"] * len(asked), items)
    assert [each.checked for each in before.results] == [False, True]
    assert before.accuracy() == {"tone": 1.0}
    pairs = pair(items, before, before, "protected")
    assert [each.item_id for each in pairs] == ["plain"]
    evidence = Evidence(
        pairs=tuple(pairs), unchecked={("protected", "tone"): 1}, unchecked_reason=UNSET
    )
    report = judge(evidence, builders.plan())
    (rule,) = [rule for rule in report.rules if UNSET in rule.sentence]
    assert rule.outcome == "not checked" and "1 item of 'tone'" in rule.sentence
    transport, _ = answering("no")
    told = JudgeModel(URL, "judge", transport=transport)
    after = score(lambda asked: ["Hello"] * len(asked), items, judge=told.verdicts)
    assert [(each.checked, each.right) for each in after.results] == [(True, False), (True, True)]
