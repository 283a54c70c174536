"""Insights in a real browser: every part, wide and narrow, light and dark.

`HEED_TEST_SCREENSHOTS` names a folder for pictures of the pages.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from feedback.settings import FeedbackSettings
from serving.engines.echo import EchoEngine
from serving.models import AuditEntry
from tests.journeys.browser import opened
from tests.journeys.insights_material import HOSTILE, filled
from tests.journeys.test_console_chat import SCREENSHOTS, entered
from tests.serving.conftest import Server, running
from trainer import ledger

PARTS = {
    "satisfaction": ("adp_second", "Nobody has voted in the last 30 days"),
    "complaints": ("lamp", "No complaints in the last 30 days"),
    "corrections": ("Corrections, per day", "Nobody has corrected an answer"),
    "forgetting": ("old-0", "No round has been judged yet"),
    "signals": ("Predicted and true", "No signals yet"),
    "trust": ("How much is probably wrong", "Nobody has voted yet"),
    "receipts": ("Look one up", "Look one up"),
}
"""Per part: what is seen where there is something, and where there is nothing."""
FIRST = 30_000
"""Milliseconds: the first time a part may have to load what it computes with."""
WIDER = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """Ids that the tests look for."""
    return {}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser, told: dict[str, str]
) -> Iterator[Server]:
    """Heed with a console and three weeks of feedback."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("insights"))
    with pytest.MonkeyPatch.context() as patch:
        told |= filled(folder, patch)
    with running(folder, EchoEngine(), roles=("api", "console")) as server:
        server.account("reviewer", "rita")
        server.account("operator", "olga")
        yield server


def picture(page: Page, name: str) -> None:
    """Keep a picture of the whole page, where somebody wants it."""
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(SCREENSHOTS) / f"insights-{name}.png", full_page=True)


def visit(server: Server, page: Page, part: str, more: str = "") -> None:
    page.goto(f"{server.url}/console/insights?part={part}{more}")


@pytest.mark.parametrize(("scheme", "size"), [("light", (1280, 800)), ("dark", (390, 844))])
def test_every_part_is_seen_and_nothing_that_people_wrote_runs(
    served: Server, browser: Browser, told: dict[str, str], scheme: str, size: tuple[int, int]
) -> None:
    viewport = dict(zip(("width", "height"), size, strict=True))
    with opened(browser, viewport=viewport, color_scheme=scheme) as tab:
        page = entered(served, tab, "rita", "/insights")
        for part, (seen, _) in PARTS.items():
            visit(served, page, part, "&by=adapter" if part == "satisfaction" else "")
            expect(page.locator("main").get_by_text(seen).first).to_be_visible(timeout=FIRST)
            expect(page.locator(".heed-skeleton:visible")).to_have_count(0)
            picture(page, f"{part}-{scheme}")
            assert page.evaluate(WIDER) <= 0, f"{part} is wider than the window"
        for by, name in (("language", "de"), ("topic", "kostet")):
            visit(served, page, "satisfaction", f"&days=90&by={by}")
            expect(page.locator("main td").get_by_text(name).first).to_be_visible(timeout=FIRST)
            picture(page, f"by-{by}-{scheme}")
        visit(served, page, "receipts", f"&id={told['receipt']}")
        expect(page.get_by_text(HOSTILE[-1]).first).to_be_visible()
        picture(page, f"receipt-{scheme}")
        assert page.evaluate("window.ran") is None
        assert page.locator("main script, main iframe, main [onmouseover], main img").count() == 0


def test_a_complaint_leads_to_what_became_of_it(served: Server, browser: Browser) -> None:
    with opened(browser) as tab:
        page = entered(served, tab, "rita", "/insights?part=complaints")
        expect(page.locator("article h3").first).to_be_visible(timeout=FIRST)
        page.get_by_role("link", name="What became of fbk_").first.click()
        expect(page.get_by_text("Because", exact=True)).to_be_visible()
        box = page.get_by_label("Id of the feedback")
        box.fill("fbk_none")
        box.press("Enter")
        expect(page.get_by_text("No feedback 'fbk_none' is on record")).to_be_visible()
        assert page.evaluate("window.ran") is None


def test_an_operator_has_a_round_rehearse_what_it_forgot_and_a_reviewer_cannot(
    served: Server, browser: Browser, told: dict[str, str]
) -> None:
    with opened(browser) as tab:
        page = entered(served, tab, "rita", "/insights?part=forgetting")
        expect(page.get_by_text("old-0").first).to_be_visible(timeout=FIRST)
        expect(page.get_by_text("nothing was forgotten")).to_be_visible()
        expect(page.get_by_text(HOSTILE[0])).to_be_visible()
        expect(page.get_by_role("button", name="Rehearse what it forgot")).to_have_count(0)
    with opened(browser) as tab:
        page = entered(served, tab, "olga", "/insights?part=forgetting")
        page.get_by_role("button", name="Rehearse what it forgot").click()
        page.get_by_role("button", name="Rehearse it").click()
        expect(page.get_by_text("in the next round", exact=True).nth(1)).to_be_visible()
        expect(page.get_by_role("button", name="Rehearse what it forgot")).to_have_count(0)
        picture(page, "rehearsed")
    with served.store.session() as session:
        wanted = {row.item_id for row in ledger.wanted(session)}
        assert {"lost", "old-0", "old-1"} <= wanted
        written = session.exec(select(AuditEntry).where(AuditEntry.action == "ledger.replay")).one()
    assert written.subject == told["round"]
