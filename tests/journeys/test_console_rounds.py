"""Rounds and adapters in a real browser: a verdict read, a round watched, a version promoted and back.

`HEED_TEST_SCREENSHOTS` names a folder for pictures of the pages.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from feedback.settings import FeedbackSettings
from serving import accounts
from serving.engines.echo import EchoEngine
from serving.routing import Route
from tests.builders import opened_round
from tests.journeys.browser import PATIENCE_MILLISECONDS, Tab, opened
from tests.journeys.test_console_chat import SCREENSHOTS, entered
from tests.serving import attendance
from tests.serving.canaries import of_each, vote
from tests.serving.conftest import Server, running, wait_until
from tests.trainer.test_ledger import a_round, pair
from trainer import curve, registry
from trainer.curve import Progress
from trainer.metrics import labelled
from trainer.models import Round, RoundEvent

HOSTILE = "<img src=x onerror='window.ran = 1'>"
FIRST = [
    *(pair(f"kept-{n}", True, True) for n in range(200)),
    *(pair(f"past-{n}", True, True, kind="past", suite="past material") for n in range(200)),
    *(pair(f"new-{n}", False, n > 1, kind="new", suite="new corrections") for n in range(20)),
]
SECOND = [
    *(pair(f"kept-{n}", True, n > 30) for n in range(200)),
    pair(HOSTILE, True, False),
    *(pair(f"new-{n}", False, n > 8, kind="new", suite="later corrections") for n in range(20)),
]
COUNTS = {"feedback": 40, "used": 31, "held_out": 6, "contradicted": 2, "personal": 1}
MEASURES = {
    "suites": {
        "intents": {
            "items": 8,
            "incumbent": {"accuracy": 0.5, "labels": asdict(labelled(["a", "b"], ["a", "a"]))},
            "candidate": {"accuracy": 1.0, "labels": asdict(labelled(["a", "b"], ["a", "b"]))},
        }
    },
    "held_out": {"incumbent": {"nll": 2.5}, "candidate": {"nll": 1.5, "items": 20.0}},
    "verdicts": {"margin": 1.25, "liked": 30, "disliked": 12},
    "kl_nats": None,
    "slices": [
        {
            "name": f"tag shop={HOSTILE}",
            "items": 40,
            "before": 0.9,
            "value": 0.5,
            "elsewhere": 0.8,
            "lower": -0.45,
            "upper": -0.15,
            "worse": True,
        }
    ],
}
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class Echo(EchoEngine):
    """Repeats people, and can serve what `builders` publish."""

    @property
    def base_hash(self) -> str:
        return "b" * 64


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with two judged rounds, the second refused, and what the first made live."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("console"))
    with running(folder, Echo(), roles=("api", "console")) as server:
        for role in ("viewer", "reviewer", "operator"):
            server.account(role, role)
        yield server


@pytest.fixture(scope="module")
def history(served: Server) -> tuple[str, str, str, str]:
    """The ids of both rounds and of what they made."""
    good, first, _ = a_round(served.store, FIRST, gate="on")
    bad, second, _ = a_round(served.store, SECOND, incumbent=first, gate="on")
    with served.store.session(write=True) as session:
        for round_id in (good, bad):
            row = session.get_one(Round, round_id)
            row.counts = {**COUNTS, "examples": {"new demonstration": 31}, "notes": ["A remark."]}
            row.plan = {**row.plan, "epochs": 7.5}
            row.report = {**(row.report or {}), "measures": MEASURES}
            row.started_at = row.created_at
            session.add(row)
        session.commit()
    lines = curve.CurveFile(curve.place(served.store.settings.data_dir, bad))
    for step in range(1, 60):
        dev = 1.1 + 2 / step if step % 20 == 0 else None
        lines.add(Progress(step, 60, 0.8 + 3 / step, 1e-3, step * 100, step * 1.0, dev_loss=dev))
    wait_until(lambda: served.parts.router.route.live == first)
    return good, bad, first, second


def picture(page: Page, name: str) -> None:
    """Keep a picture of the whole page, where somebody wants it."""
    if SCREENSHOTS:
        page.screenshot(
            path=Path(SCREENSHOTS) / f"{name}.png", full_page=True, animations="disabled"
        )


@contextmanager
def visit(
    browser: Browser, server: Server, who: str, path: str, **context: object
) -> Iterator[tuple[Tab, Page]]:
    """A page as somebody sees it; nothing of it comes from elsewhere, or complains."""
    with opened(browser, **{"viewport": WIDE, **context}) as tab:  # type: ignore[arg-type]
        page = entered(server, tab, who, path)
        expect(page.locator("h1").first).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        yield tab, page
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.evaluate("window.ran") is None


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)])
def test_a_refused_rounds_verdict_is_read(
    served: Server,
    browser: Browser,
    history: tuple[str, str, str, str],
    scheme: str,
    size: dict[str, int],
) -> None:
    good, bad, _, _ = history
    look = {"viewport": size, "color_scheme": scheme}
    with visit(browser, served, "reviewer", "/rounds", **look) as (_, page):
        expect(page.get_by_text("until the next round")).to_be_visible()
        expect(page.get_by_role("button", name="Start a round now")).to_be_disabled()
        expect(page.get_by_text("For the role operator; yours is reviewer.")).to_be_visible()
        table = page.get_by_role("region", name="Rounds")
        for name, said in ((good, "promoted"), (bad, "refused")):
            row = table.get_by_role("row").filter(has=page.get_by_role("link", name=name))
            expect(row.locator(".heed-badge")).to_have_text(said)
        picture(page, f"rounds-{scheme}")
        page.get_by_role("link", name=bad).click()
        expect(
            page.get_by_text("Refused, since there is evidence of harm: Protected suite 'world'.")
        ).to_be_visible()
        rule = page.get_by_role("listitem").filter(has_text="Protected suite 'world'")
        drawn = rule.get_by_role("img")
        expect(drawn).to_have_count(1)
        assert "points, 95% from −" in str(drawn.get_attribute("aria-label"))
        expect(rule.get_by_text("−2 allowed")).to_be_visible()
        expect(rule.get_by_text("201 items", exact=False).first).to_be_visible()
        lost = page.locator("details.heed-lost")
        expect(lost).to_have_count(32)
        expect(page.get_by_text("And 22 more")).to_be_visible()
        expect(page.get_by_text("A remark.")).to_be_visible()
        funnel = page.locator(".heed-funnel li")
        expect(funnel).to_have_count(5)
        expect(funnel.nth(1)).to_contain_text("Trusted40")
        expect(funnel.nth(4)).to_contain_text("2 contradicted by a reviewed correction")
        for name, cells in (
            ("Before and after", ("intents", "8", "50.0%", "100.0%")),
            ("By likelihood", ("Held-out corrections: negative", "20", "2.5", "1.5")),
            ("By likelihood", ("verdict (KTO) margin", "30 liked, 12 not", "", "1.25")),
            ("Slices", (HOSTILE, "40", "90%", "50%", "80%", "worse by 15% to 45%")),
            ("Labels", ("intents", "b", "1", "0 → 1", "0 → 1", "0 → 1")),
        ):
            rows = page.get_by_role("region", name=name, exact=True).get_by_role("row")
            told = rows.filter(has_text=cells[0]).get_by_role("cell")
            assert any(
                all(cell in said for cell, said in zip(cells, each, strict=True))
                for each in zip(*[iter(told.all_inner_texts())] * len(cells), strict=True)
            ), name
        expect(page.locator("svg.heed-curve polyline")).to_have_count(2)
        recipe = page.get_by_role("region", name="Settings that differ from the defaults")
        expect(recipe).to_contain_text("epochs")
        expect(recipe).to_contain_text("7.5")
        picture(page, f"round-{scheme}")


def test_a_round_is_watched_and_cancelled(
    served: Server, browser: Browser, history: tuple[str, str, str, str]
) -> None:
    row = opened_round(served.store, started_at=time.time() - 60)
    attendance.held(served.store, row)
    path = curve.place(served.store.settings.data_dir, row.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = [asdict(Progress(n, 10, 3.0 - n / 5, 1e-3, 10, 1.0)) for n in range(1, 7)]
    path.write_text("".join(f"{json.dumps(each)}\n" for each in steps))

    def goes_on(progress: float, message: str, **columns: object) -> None:
        with served.store.session(write=True) as session:
            found = session.get_one(Round, row.id)
            found.stage, found.progress, found.message = "train", progress, message
            for name, value in columns.items():
                setattr(found, name, value)
            session.add(found)
            session.add(
                RoundEvent(
                    round_id=row.id, stage="train", progress=progress, message=message, at=0.0
                )
            )
            session.commit()

    goes_on(0.25, "Step 3 of 10")
    with visit(browser, served, "operator", f"/rounds/{row.id}") as (_, page):
        bar = page.get_by_role("progressbar")
        expect(bar).to_have_attribute("aria-valuenow", "25")
        expect(page.get_by_text(re.compile(r"about \d+ minutes left"))).to_be_visible()
        expect(page.locator("li[aria-current=step]")).to_have_text("Train")
        expect(page.locator("svg.heed-curve")).to_be_visible()
        picture(page, "round-live")
        goes_on(0.5, "Step 6 of 10")
        expect(bar).to_have_attribute("aria-valuenow", "50")
        expect(page.get_by_text("Step 6 of 10")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel the round").click()
        expect(page.get_by_text("Stops as soon as it can.")).to_be_visible()
        with served.store.session() as session:
            assert session.get_one(Round, row.id).cancel_requested
        goes_on(0.5, "Cancelled by hand.", state="cancelled", open_slot=None, ended_at=time.time())
        expect(page.get_by_text("Cancelled by hand.")).to_be_visible()
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_version_is_tried_on_some_people_promoted_and_rolled_back(
    served: Server, browser: Browser, history: tuple[str, str, str, str]
) -> None:
    _, _, first, rejected = history
    made = served.publish(parent=first)

    def route() -> Route:
        return served.parts.router.route

    with visit(browser, served, "operator", f"/adapters/{made}") as (_, page):
        expect(page.get_by_text("A LoRA adapter that Heed trained")).to_be_visible()
        with page.expect_download() as saved:
            page.get_by_role("link", name="Download as a PEFT folder").click()
        assert saved.value.suggested_filename == f"{made}.zip"
        picture(page, "adapter-light")
        page.get_by_role("button", name="Try on 5% of people").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(
            f"A fixed 5% of people are answered by it, the others by {first}"
        )
        picture(page, "adapter-promote")
        dialog.get_by_role("button", name="Promote").click()
        expect(page.locator(".heed-badge", has_text="canary")).to_be_visible()
        assert (route().live, route().canary, route().canary_share) == (first, made, 0.05)
        with served.store.session() as session:
            deployed = registry.live(session)
        assert deployed is not None
        vote(served.store, of_each(deployed, 12), {first: "down", made: "up"})
        page.goto(f"{served.url}/console/adapters")
        votes = page.get_by_role("listitem").filter(has_text="first votes")
        expect(votes).to_contain_text("12 pairs")
        expect(votes).to_contain_text("e-value 1 of")
        evidence = str(votes.get_by_role("img").get_attribute("aria-label"))
        assert evidence.startswith("votes: +100.0 points, surely from +")
        tree = page.locator("svg.heed-tree")
        expect(tree.locator("a.live")).to_have_attribute("aria-label", f"{first}, live")
        expect(tree.locator("a.canary")).to_have_attribute("aria-label", f"{made}, canary")
        expect(tree.locator("a.rejected")).to_have_attribute("aria-label", f"{rejected}, rejected")
        picture(page, "adapters-light")
        page.goto(f"{served.url}/console/adapters/{made}")
        page.get_by_role("button", name="Promote").click()
        expect(page.get_by_role("dialog")).to_contain_text(f"in place of {first}")
        page.get_by_role("dialog").get_by_role("button", name="Promote").click()
        expect(page.locator(".heed-badge", has_text="live")).to_be_visible()
        assert (route().live, route().canary) == (made, None)
        page.goto(f"{served.url}/console/adapters")
        page.get_by_role("button", name="Roll back").click()
        expect(page.get_by_role("dialog")).to_contain_text(f"{first} answers everybody")
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert route().live == made
        page.get_by_role("button", name="Roll back").click()
        page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
        expect(page.locator("svg.heed-tree a.live")).to_have_attribute(
            "aria-label", f"{first}, live"
        )
        assert route().live == first
    with served.store.session() as session:
        deployed = registry.live(session)
        assert deployed is not None and deployed.reason.endswith("console by operator")


def test_two_versions_are_compared_on_what_judged_both(
    served: Server, browser: Browser, history: tuple[str, str, str, str]
) -> None:
    _, _, first, second = history
    look = {"viewport": NARROW, "color_scheme": "dark"}
    with visit(browser, served, "reviewer", "/adapters", **look) as (_, page):
        expect(page.get_by_role("button", name="Roll back")).to_be_disabled()
        for label, name in (("First", first), ("Second", second)):
            page.get_by_role("combobox", name=label).click()
            page.get_by_role("option", name=name).click()
        page.get_by_role("button", name="Compare").click()
        world = page.get_by_role("listitem").filter(has_text="world")
        expect(world).to_contain_text("201 items")
        expect(world.get_by_role("img")).to_have_count(1)
        picture(page, "adapters-dark")
        world.scroll_into_view_if_needed()
        picture(page, "adapters-compared-dark")


def test_who_may_not_changes_nothing_even_with_a_page_that_could(
    served: Server, browser: Browser, history: tuple[str, str, str, str]
) -> None:
    live = served.parts.router.route
    made = served.publish(parent=live.live)
    with opened(browser, silent=False) as tab:
        page = entered(served, tab, "viewer", "/adapters")
        expect(page.get_by_text("Adapters is for the role reviewer")).to_be_visible()
    with visit(browser, served, "reviewer", f"/adapters/{made}") as (_, page):
        button = page.get_by_role("button", name="Promote")
        expect(button).to_be_disabled()
        # As somebody would who takes the lock off in their own browser.
        button.evaluate("each => { each.disabled = false; each.removeAttribute('disabled') }")
        button.dispatch_event("click")
        expect(page.get_by_role("dialog")).to_have_count(0)
    with visit(browser, served, "operator", f"/adapters/{made}") as (_, page):
        page.get_by_role("button", name="Promote").click()
        expect(
            page.get_by_role("dialog")
        ).to_be_visible()  # or the role may be gone before it opens
        with served.store.session(write=True) as session:
            accounts.set_role(session, accounts.named(session, "operator"), "reviewer")
            session.commit()
        served.parts.sessions.forget()
        page.get_by_role("dialog").get_by_role("button", name="Promote").click()
        expect(page.get_by_text("This needs the role `operator`")).to_be_visible()
    assert served.parts.router.route == live
