"""`heed canary`, `heed adapters ab` and `heed adapters rank`, and the routes that say the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from feedback.store import Store
from serving import preferences
from serving.canary_watch import CanaryWatch
from serving.models import AuditEntry
from tests.builders import recorded, say
from tests.serving import canaries
from tests.serving.command_line import adapter, damage, document, done, fault, store_at
from tests.serving.conftest import Server
from tests.serving.conftest import fault as refused


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def test_without_a_canary_it_says_how_to_have_one(here: Store) -> None:
    assert "One version answers everybody" in done("canary")
    found = document("canary")
    assert (found["running"], found["streams"], found["last"]) == (False, [], None)
    assert document("adapters", "canary") == found


def test_the_evidence_is_shown_and_what_was_decided(here: Store) -> None:
    deployed = canaries.canary(here)
    people = canaries.of_each(deployed, 20)
    likes = {str(deployed.live_id): "up", str(deployed.canary_id): "down"}
    canaries.vote(here, people[:4], likes)
    found = document("canary")
    assert (found["running"], found["decision"], found["mode"]) == (True, "continue", "canary")
    votes = found["streams"][0]
    assert (votes["stream"], votes["new_mean"], votes["old_mean"]) == ("votes", 0.0, 1.0)
    assert votes["lower"] == votes["estimate"] == -1.0 < 0 < votes["upper"]
    shown = done("canary")
    assert f"The canary {deployed.canary_id} answers 50% of people" in shown
    assert "-100.0 points" in shown and "2 and 2" in shown
    assert "Too little is known yet" in shown
    canaries.vote(here, people[4:], likes)
    assert "is rolled back" not in done("canary")  # looking changes nothing
    CanaryWatch(here, canaries.settings_of(here)).look()
    assert f"The canary {deployed.canary_id} is rolled back" in done("canary")


def test_two_versions_are_compared_until_somebody_stops_it(here: Store) -> None:
    first, second = adapter(here).id, adapter(here).id
    made = document("adapters", "ab", first, second, "--share", "0.4")
    assert (made["live"], made["canary"], made["canary_share"], made["mode"]) == (
        first,
        second,
        0.4,
        "ab",
    )
    assert "answers, for comparison, 40% of people" in done("adapters", "list")
    shown = done("adapters", "ab")
    assert f"The A/B comparison {second} answers 40%" in shown
    assert "--stop" in shown
    assert document("adapters", "ab")["mode"] == "ab"
    assert document("adapters", "ab", "--stop")["live"] == "base"
    assert "No A/B comparison is running" in fault("adapters", "ab", "--stop")
    with here.session() as session:
        said = [line.action for line in session.exec(select(AuditEntry).order_by(AuditEntry.id))]
    assert said == ["adapter.ab", "adapter.ab.stop"]


def test_a_comparison_needs_two_sound_versions(here: Store) -> None:
    made = adapter(here)
    assert "Name two versions" in fault("adapters", "ab", made.id)
    assert "not both" in fault("adapters", "ab", made.id, "base", "--stop")
    damage(here, made)
    assert "differs from its digest" in fault("adapters", "ab", made.id, "base")


def prefer(store: Store, who: str, won: str, lost: str) -> None:
    """Somebody prefers one version's answer."""
    better = recorded(store, who=who, adapter_id=won)
    worse = recorded(store, who=who, adapter_id=lost)
    say(store, who, completion_id=better, preferred_over=worse, rating="up")


def test_preferences_rank_versions(store: Store) -> None:
    for number in range(9):
        won, lost = ("adp_b", "adp_a") if number % 3 else ("adp_a", "adp_b")
        prefer(store, f"person {number}", won, lost)
    prefer(store, "ana", "adp_a", "adp_a")  # of one version, says nothing
    again = recorded(store, who="ben", adapter_id="adp_a")
    other = recorded(store, who="ben", adapter_id="adp_b")
    say(store, "ben", completion_id=again, preferred_over=other, rating="up")
    say(store, "ben", completion_id=other, preferred_over=again, rating="up")
    with store.session() as session:
        told = preferences.preferences(session)
        found = preferences.ranking(session, "adp_a")
    assert len(told) == 10
    assert told[-1][:2] == ("adp_b", "adp_a")  # what they said last
    best, reference = found["data"]
    assert (best["id"], best["wins"], best["comparisons"]) == ("adp_b", 7, 10)
    assert found["reference"] == reference["id"] == "adp_a"
    assert best["preferred"] == pytest.approx(0.7, abs=0.01)
    assert best["lower"] < 0 < best["upper"]


def test_ranking_on_the_command_line(here: Store) -> None:
    assert "Nobody has preferred" in done("adapters", "rank")
    for number in range(3):
        prefer(here, f"person {number}", "adp_b", "adp_a")
    assert "3 of 3" in done("adapters", "rank")
    assert document("adapters", "rank", "--reference", "adp_b")["reference"] == "adp_b"


def test_the_routes_show_start_and_stop(server: Server) -> None:
    first, second = server.publish(), server.publish()
    before = server.http.get("/v1/adapters").json()["deployment"]["live"]
    assert server.http.get("/v1/adapters/canary").json()["running"] is False
    body = {"a": first, "b": second, "share": 0.5}
    made = server.http.post("/v1/adapters/ab", json=body)
    assert made.status_code == 200, made.text
    try:
        found = server.http.get("/v1/adapters/canary").json()
        assert (found["mode"], found["live"], found["canary"]) == ("ab", first, second)
        heard = {server.chat(user=f"u{at}").headers["x-heed-adapter"] for at in range(30)}
        assert heard == {first, second}
        same = server.http.post("/v1/adapters/ab", json={"a": first, "b": first})
        assert refused(same)["param"] == "b"
    finally:
        assert server.http.delete("/v1/adapters/ab").json()["live"] == before
    assert server.http.delete("/v1/adapters/ab").status_code == 409
    assert server.http.get("/v1/adapters/ranking").json()["object"] == "adapter.ranking"


def test_an_answer_is_logged_with_the_time_it_took(server: Server) -> None:
    seconds = server.exchange(server.asked()).seconds
    assert seconds is not None and 0 < seconds < 30
