"""What signals mean, and whose word counts less: by command and by route."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.store import Store
from tests import builders
from tests.clicks import clicks
from tests.serving.command_line import document, done, store_at
from tests.serving.conftest import Server


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def populate(store: Store, answers: int) -> None:
    made = clicks(1, answers=answers, people=40)
    exchanges = [
        builders.exchange(who=who, question=f"question {at}?", answer=f"Answer {at}.")
        for at, who in enumerate(made.people)
    ]
    names = [each.id for each in exchanges]
    tolds = [
        builders.told(who, completion_id=name, rating="up" if satisfied else "down")
        for name, who, satisfied in zip(names, made.people, made.satisfied, strict=True)
    ]
    for name, who, acts in zip(names, made.people, made.signals, strict=True):
        for signal, value in acts.items():
            size = {} if value is None else {"value": value}
            tolds.append(builders.told(who, completion_id=name, signal=signal, **size))
    builders.record(store, *exchanges)
    builders.tell(store, *tolds)


def test_signals_are_reported_with_their_calibration(store: Store) -> None:
    populate(store, 150)
    found = document("feedback", "signals")
    assert found["usable"] is True
    assert 0.6 < found["auc"] < 1 and 0 < found["brier"] < found["brier_base"]
    assert len(found["reliability"]) == 10
    told = done("feedback", "signals")
    assert "Signals teach, at a weight of 0.3" in told
    assert "predicted" in told and "copy" in told and "as they are weighed" in told


def test_signals_of_an_empty_store_say_not_enough_and_what_to_send(store: Store) -> None:
    told = done("feedback", "signals")
    assert "Not enough to learn from yet: 0 of 50" in told
    assert "POST /v1/feedback" in told


def test_trust_names_accounts_by_the_first_letters_of_their_hash(store: Store) -> None:
    assert "Nobody has voted yet" in done("feedback", "trust")
    builders.say(store, "ana", rating="up")
    found = document("feedback", "trust")
    assert [row["account"] for row in found["discounted"]] == [builders.person("ana")[:12]]
    told = done("feedback", "trust")
    assert builders.person("ana")[:12] in told and builders.person("ana") not in told
    assert "too young" in told


def test_a_reviewer_asks_for_both_reports(own: Server) -> None:
    own.told(completion_id=own.asked(), rating="up")
    _, headers = own.key("reviewer")
    signals = own.http.get("/v1/feedback/signals", headers=headers).json()
    assert (signals["object"], signals["usable"]) == ("feedback.signals", False)
    trust = own.http.get("/v1/feedback/trust", headers=headers).json()
    assert (trust["object"], trust["votes"]) == ("feedback.trust", 1)
