"""The console's page: what it shows, to whom, and that nothing in it can run."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import pytest
from fastapi.testclient import TestClient

from feedback.settings import FeedbackSettings
from serving.app import create_app
from serving.engines.echo import EchoEngine
from serving.settings import Role, Settings
from tests.builders import ended_round, opened_round
from tests.serving.conftest import Server, fault
from tests.serving.test_health import balanced
from trainer.evidence import Evidence, Paired
from trainer.gate import judge
from trainer.settings import Plan

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@contextmanager
def serving(feedback: FeedbackSettings, *roles: Role, **trainer: Any) -> Iterator[Server]:
    """Serve in this process, with these roles."""
    settings = Settings.model_validate(
        {
            "feedback": feedback,
            "serving": {"engine": "echo", "swap_poll_seconds": 60},
            "trainer": {"base_model": "bare", **trainer},
        }
    )
    app = create_app(settings, engine=EchoEngine(), roles=roles)
    # Any: its class comes from another package than httpx, and does the same.
    client: Any = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50_000))
    with client as http:
        yield Server("http://localhost", app.state.heed, http)


@pytest.fixture
def console(settings: FeedbackSettings) -> Iterator[Server]:
    """A server with a console."""
    with serving(settings, "api", "console") as served:
        yield served


def shown(server: Server) -> str:
    """The page, whose frame is checked."""
    answer = server.http.get("/console/")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src" not in policy
    page = answer.text
    assert not re.findall(r"<(?:script|img|iframe|form|link)\b|\son\w+=|javascript:", no_text(page))
    balanced(page)
    return page


def no_text(page: str) -> str:
    """Its tags alone."""
    return "".join(re.findall(r"<[^>]*>", page))


def report(said: str = "How much?", *, gate: str = "on") -> dict[str, Any]:
    """What the gate finds where a protected suite is lost."""
    pairs = tuple(
        Paired(
            item_id=f"item_{number}",
            suite="prices",
            cluster=f"item_{number}",
            incumbent_right=True,
            candidate_right=False,
            prompt=f"{said} {number}",
            incumbent_answer="49 dollars",
            candidate_answer=said,
            expected="49 dollars",
        )
        for number in range(12)
    )
    plan = Plan.model_validate({"base_model": "bare", "gate": gate})
    return judge(Evidence(pairs=pairs), plan).to_json()


def test_an_empty_database_says_what_to_do_next(console: Server) -> None:
    page = shown(console)
    for said in (
        "The base model answers everybody",
        "Nobody has said anything yet",
        "POST /v1/feedback",
        "There has been no round",
        "heed round run",
        "There is none yet",
        "Ready now: 0.",
        "This process starts no rounds",
    ):
        assert said in page
    assert page.count("<time") == 5
    assert 'http-equiv="refresh"' not in page
    anchors = re.findall(r'href="/docs#([^"]+)"', page)
    docs = console.http.get("/docs").text
    assert anchors and all(f'id="{anchor}"' in docs for anchor in anchors)


def test_feedback_is_counted_and_what_waits_is_shown_with_how_to_decide(console: Server) -> None:
    console.told(completion_id=console.asked(), rating="up")
    names = [
        console.told(completion_id=console.asked("how much"), correction=f"It is {number}.")
        for number in range(7)
    ]
    page = shown(console)
    assert "7 wait for a reviewer" in page
    assert "The oldest 5:" in page
    assert [name in page for name in names] == [True] * 5 + [False] * 2
    assert "It is 0." in page
    assert '<a href="/docs#post-v1-reviews">' in page
    assert re.search(r"<td>review</td><td>7</td>", page)
    assert re.search(r"<td>held out</td><td>0</td>", page)
    console.http.post("/v1/reviews", json={"feedback_id": names, "decision": "refuse"})
    assert "Nothing waits for a reviewer." in shown(console)


def test_what_people_and_models_wrote_is_shown_and_never_run(console: Server) -> None:
    asked = console.asked(SCRIPT)
    console.told(completion_id=asked, correction=SCRIPT, comment=SCRIPT)
    name = console.publish()
    console.promote(name, reason=SCRIPT)
    ended_round(
        console.store, state="failed", trigger=SCRIPT, message=SCRIPT, counts={"used": SCRIPT}
    )
    ended_round(console.store, state="refused", report=report(SCRIPT))
    page = shown(console)
    assert page.count(escape(SCRIPT)) >= 8
    assert "<script" not in page and "<img" not in page


def test_half_a_character_does_not_break_the_page(console: Server) -> None:
    ended_round(console.store, state="refused", report=report("half \ud83d"))
    assert "half ?" in shown(console)


def test_rounds_show_how_they_ended_and_why(console: Server) -> None:
    counts = {"feedback": 40, "used": 30, "held_out": 10}
    refused = ended_round(
        console.store,
        state="refused",
        counts=counts,
        report=report(),
        started_at=time.time() - 12,
        ended_at=time.time(),
    )
    failed = ended_round(console.store, state="failed", message="The disk is full.")
    reported = ended_round(console.store, report=report(gate="report-only"))
    page = shown(console)
    for row in (refused, failed, reported):
        assert f'<a href="/v1/rounds/{row.id}">' in page
    assert "40 pieces of feedback gathered, 30 used, 10 held out" in page
    assert "took 12 s" in page
    assert "The disk is full." in page
    assert "<summary>The gate says: refuse</summary><p>The gate refuses the candidate." in page
    assert "<summary>The gate says: refuse (it only reports)</summary>" in page
    assert "What the candidate lost: 12, of which 10 are shown" in page
    assert "non-inferiority" in page and "<td>12</td>" in page


def test_the_last_twenty_rounds_are_shown(console: Server) -> None:
    names = [ended_round(console.store, id=f"rnd_{number:02}").id for number in range(23)]
    assert re.findall(r"/v1/rounds/(rnd_\d+)", shown(console)) == names[:2:-1]


def test_the_page_comes_again_only_while_a_round_is_open(console: Server) -> None:
    row = opened_round(console.store, stage="train", progress=0.42, message="Step 21/50")
    page = shown(console)
    assert '<meta http-equiv="refresh" content="5">' in page
    assert "train, 42% <progress" in page and "Step 21/50" in page
    console.http.post(f"/v1/rounds/{row.id}/cancel")
    assert 'http-equiv="refresh"' not in shown(console)


def test_what_is_live_is_shown_with_its_canary_and_every_adapter(console: Server) -> None:
    first = console.publish()
    second = console.publish(parent=first)
    console.promote(first, reason="it is better")
    console.promote(second, canary_share=0.25)
    page = shown(console)
    assert f"<dt>Adapter</dt><dd><code>{first}</code></dd>" in page
    assert f"<code>{second}</code> answers 25% of people" in page
    assert "(deployment 2)" in page
    for name, state in ((first, "live"), (second, "canary")):
        row = page[page.index(f'<a href="/v1/adapters/{name}">') :]
        assert f'<td><b class="{state}">{state}</b></td>' in row[: row.index("</tr>")]
    digest = console.http.get(f"/v1/adapters/{first}").json()["digest"]
    assert f"<code>{digest[:12]}</code>" in page and digest not in page


def test_a_damaged_adapter_is_told(console: Server) -> None:
    console.parts.swap.error = SCRIPT
    assert f"It could not change over: {escape(SCRIPT)}" in shown(console)


def test_the_next_rounds_are_in_the_schedules_time_zone(settings: FeedbackSettings) -> None:
    with serving(settings, "console", schedule="30 4 * * *", timezone="Asia/Tokyo") as served:
        page = shown(served)
    assert len(re.findall(r"<li><time [^>]*>\w{3} [\d-]{10} 04:30 JST</time></li>", page)) == 5


def test_a_schedule_that_cannot_be_read_is_named(settings: FeedbackSettings) -> None:
    with serving(settings, "console", schedule="often") as served:
        assert "is no schedule" in shown(served)


def test_who_is_no_reviewer_does_not_see_it(console: Server) -> None:
    expected = {"client": 403, "reviewer": 200, "admin": 200}
    keys = {role: console.key(role)[1] for role in ("client", "reviewer", "admin")}
    for headers in ({}, {"Authorization": "Bearer heed_made_up"}):
        assert console.http.get("/console/", headers=headers).status_code == 401
    for role, status in expected.items():
        answer = console.http.get("/console/", headers=keys[role])
        assert answer.status_code == status
        if status == 403:
            assert "`reviewer`" in fault(answer)["message"]


def test_a_foreign_page_does_not_see_it_either(console: Server) -> None:
    answer = console.http.get("/console/", headers={"Host": "evil.example"})
    assert answer.status_code == 401
    fault(answer)


def test_the_address_without_its_slash_leads_there(console: Server) -> None:
    answer = console.http.get("/console", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"].endswith("/console/")


def test_there_is_no_console_without_its_role(settings: FeedbackSettings) -> None:
    with serving(settings, "api", "scheduler") as served:
        for path in ("/console", "/console/"):
            assert served.http.get(path, follow_redirects=False).status_code == 404
