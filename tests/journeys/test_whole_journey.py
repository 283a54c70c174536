"""The whole way in one real browser: a wrong answer, what people say, a round, a better answer, and back.

`heed up` on the starter model, as `heed demo` starts it, with a shop that keeps little: one fact changes,
and the gate judges with wider margins by fewer items. `HEED_TEST_SCREENSHOTS` names a folder for a
picture of every station.
"""

import json
import random
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving.auth import AccountRole
from serving.demo import shop as shops
from serving.demo.server import Server, started
from tests.journeys.browser import opened
from tests.journeys.console_world import hire
from tests.journeys.test_console_chat import SCREENSHOTS, ask
from tests.journeys.test_console_forged import ready
from tests.serving.conftest import CHEAP_MIB, PASSWORD, wait_until
from trainer.starter.world import World, shop

KEY = "aurora lamp/price"
OTHERS = 25
PROTECTED, GENERAL = 120, 300
SETTINGS = {
    "HEED_TRAINER__MARGIN_POINTS": "5",
    "HEED_TRAINER__HELD_OUT_SHARE": "0.3",
    "HEED_TRAINER__REPLAY_MINIMUM": "100",
    "HEED_TRAINER__MINIMUM_STEPS": "40",
    # Alike corrections are decided one by one, however long the machine takes to find them.
    "HEED_FEEDBACK__REVIEW_ORDER_SECONDS": "3600",
    "HEED_SERVING__PASSWORD_MEMORY_MIB": str(CHEAP_MIB),
}
PEOPLE: tuple[tuple[str, AccountRole], ...] = (
    ("Vera", "viewer"),
    ("Rita", "reviewer"),
    ("Omar", "operator"),
)
WRONG = "You should not sell lamps at all, sell more cats."
SLOPPY = " i guess, not 49!!"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
PAGE_MILLISECONDS = 60_000
ROUND_MILLISECONDS = 240_000
"""A machine that does much else may take ten times as long as a quiet one."""
_WATCH = """() => {
  globalThis.seen = { bar: [], stage: [], left: [], curve: [] };
  const note = (name, value) => {
    const all = globalThis.seen[name];
    if (value && all[all.length - 1] !== value) all.push(value);
  };
  setInterval(() => {
    note("bar", document.querySelector(".heed-live [role=progressbar]")?.ariaValueNow);
    note("stage", document.querySelector(".heed-live [aria-current=step]")?.textContent);
    note("left", document.querySelector(".heed-live")?.textContent.match(/about \\d+ \\w+ left/)?.[0]);
    note("curve", document.querySelector(".heed-live polyline.loss")?.getAttribute("points"));
  }, 100);
}"""
_COUNT_CLICKS = """
globalThis.clicks = 0;
addEventListener("pointerdown", () => globalThis.clicks++, true);
"""


@pytest.fixture(scope="module")
def world() -> World:
    """What is true since this morning."""
    return shop().changed({KEY: shop().alternatives(KEY)[0]})


@pytest.fixture(scope="module")
def heed(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Server]:
    """Heed as it is after its first start: nothing learned, no key, no account."""
    folder = tmp_path_factory.mktemp("heed")
    shops.write_suite(folder, world)
    shops.write_general(folder)
    _fewer(folder / "suites" / "protected.jsonl", PROTECTED, suite="shop")
    _fewer(folder / "suites" / "general.jsonl", GENERAL)
    with started(folder, None, **SETTINGS) as server:
        server.wait_until_ready()
        yield server


def _fewer(path: Path, number: int, **fields: str) -> None:
    """Keep some of a file's lines, drawn by chance: each takes both models a while to answer."""
    kept = random.Random(1).sample(path.read_text().splitlines(), number)
    path.write_text("".join(f"{json.dumps({**json.loads(line), **fields})}\n" for line in kept))


@contextmanager
def desk(browser: Browser, server: Server, name: str, path: str, **look: Any) -> Iterator[Page]:
    """Somebody's browser, signed in with the keyboard, at a page of the console."""
    with opened(browser, **{"viewport": DESK, **look}) as tab:
        tab.page.set_default_timeout(PAGE_MILLISECONDS)
        tab.page.add_init_script(_COUNT_CLICKS)
        tab.page.goto(f"{server.url}/console{path}")
        tab.page.get_by_label("Name").fill(name)
        tab.page.get_by_label("Password").fill(PASSWORD)
        tab.page.get_by_label("Password").press("Enter")
        ready(tab.page)
        yield tab.page


def station(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep a picture of what is seen, where somebody wants it; nothing of it may be cut off."""
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")  # once laid out
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(
            path=Path(SCREENSHOTS) / f"journey-{name}.png", full_page=whole, animations="disabled"
        )


def test_a_wrong_answer_becomes_a_right_one_and_wrong_again(
    heed: Server, browser: Browser, world: World
) -> None:
    asked = world.phrasings(KEY)
    was, right = shop().value(KEY), world.value(KEY)
    _visit_and_correct(browser, heed, asked[0], was, world.answer(KEY))
    _let_others_correct(heed, asked, world)
    _make_accounts(heed)
    _review_by_keys(browser, heed, world.answer(KEY))
    made = _learn_and_watch(browser, heed)
    wait_until(lambda: httpx.get(f"{heed.url}/readyz").json()["live"] == made)
    _ask_again(browser, heed, asked[0], value=right, version=made, name="05-better")
    _roll_back(browser, heed, made)
    _ask_again(browser, heed, asked[0], value=was, version="base model", name="07-as-before")


def _visit_and_correct(
    browser: Browser, server: Server, question: str, was: str, correction: str
) -> None:
    with opened(browser, viewport=PHONE) as tab:
        page = tab.page
        page.set_default_timeout(PAGE_MILLISECONDS)
        page.goto(f"{server.url}/console/")
        ready(page)
        expect(page.get_by_text("Ask something")).to_be_visible()
        station(page, "01-first-visit")
        ask(page, question)
        answer = page.locator("article.heed-said")
        expect(answer).to_contain_text(was)
        expect(answer.locator(".heed-badge").first).to_have_text("base model")
        station(page, "01-wrong-answer")
        page.get_by_role("button", name="Bad answer").click()
        page.get_by_role("button", name="Out of date").click()
        page.get_by_role("button", name="Suggest a better answer").click()
        page.get_by_label("The answer as it should have been").fill(correction)
        expect(page.get_by_role("group", name="Your changes").locator("ins").first).to_be_visible()
        send = page.locator("heed-feedback").get_by_role("button", name="Send")
        send.scroll_into_view_if_needed()
        station(page, "02-correction")
        send.click()
        expect(page.locator("heed-feedback").get_by_role("status")).to_contain_text("Thank")
        station(page, "02-thanks")


def _let_others_correct(server: Server, asked: Sequence[str], world: World) -> None:
    right = world.answer(KEY)
    said = [WRONG, right + SLOPPY, *[right] * (OTHERS - 2)]
    with httpx.Client(base_url=server.url, timeout=60) as http:

        def correct(number: int) -> None:
            question, who = asked[number % len(asked)], f"person {number}"
            body = {"model": "heed", "messages": [{"role": "user", "content": question}]}
            told = http.post("/v1/chat/completions", json={**body, "user": who})
            about = told.raise_for_status().json()["id"]
            sent = {"completion_id": about, "user": who, "correction": said[number]}
            http.post("/v1/feedback", json=sent).raise_for_status()

        with ThreadPoolExecutor(8) as people:
            list(people.map(correct, range(OTHERS)))


def _make_accounts(server: Server) -> None:
    """As `heed people create` does; from then on nobody gets in without one."""
    store = Store(FeedbackSettings(data_dir=server.data_dir))
    with store.session(write=True) as session:
        hire(session, PEOPLE)
        session.commit()
    store.close()
    wait_until(lambda: httpx.get(f"{server.url}/v1/rounds").status_code == 401)


def _review_by_keys(browser: Browser, server: Server, right: str) -> None:
    with desk(browser, server, "Rita", "/review") as page:
        card = page.locator(".heed-review:not([hidden])")
        expect(card).to_have_count(1)
        expect(card.get_by_text("Reserved for you")).to_be_visible()
        station(page, "03-review")
        kinds = set()
        done = page.get_by_role("heading", name="Everything is decided")
        while True:
            expect(card.or_(done).first).to_be_visible()
            if done.is_visible():
                break
            name = str(card.get_attribute("data-review"))
            kinds.add(_decide(page, card.locator("[data-edit]").input_value(), right))
            this = page.locator(f'.heed-review:not([hidden])[data-review="{name}"]')
            expect(this).to_have_count(0)
        assert kinds == {"accept", "edit", "refuse"}
        station(page, "03-review-done")
        assert page.evaluate("globalThis.clicks") == 0


def _decide(page: Page, said: str, right: str) -> str:
    """Do what a careful reviewer does with what is on the screen."""
    if said == right:
        page.keyboard.press("a")
        return "accept"
    if said == WRONG:
        page.keyboard.press("r")
        expect(page.get_by_role("heading", name="Why does it teach nothing?")).to_be_visible()
        station(page, "03-review-refuse")
        page.keyboard.press("6")
        return "refuse"
    page.keyboard.press("e")
    box = page.locator(".heed-review:not([hidden]) [data-edit]")
    expect(box).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type(right)
    expect(page.get_by_text("Your draft is kept")).to_be_visible()
    station(page, "03-review-edit")
    page.keyboard.press("Control+Enter")
    return "edit"


def _learn_and_watch(browser: Browser, server: Server) -> str:
    """Start a round and follow it to its verdict; returns what it made."""
    with desk(browser, server, "Omar", "/rounds", color_scheme="dark") as page:
        expect(page.get_by_text("There has been no round")).to_be_visible()
        station(page, "04-rounds")
        page.get_by_role("button", name="Start a round now").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("goes live only if the gate lets it through")
        station(page, "04-round-start")
        dialog.get_by_role("button", name="Start the round").click()
        page.wait_for_url(re.compile("/console/rounds/rnd_"))
        page.evaluate(_WATCH)
        curve = page.locator(".heed-live polyline.loss")
        expect(curve).to_have_attribute(
            "points", re.compile(r"(\S+ ){8}"), timeout=ROUND_MILLISECONDS
        )
        expect(page.get_by_text(re.compile(r"about \d+ \w+ left"))).to_be_visible()
        station(page, "04-round-live")
        verdict = page.get_by_role("heading", name=re.compile("^(Promoted|Refused|Not promoted)"))
        expect(verdict).to_be_visible(timeout=ROUND_MILLISECONDS)
        expect(verdict).to_have_text(
            re.compile("^Promoted, since it learned what it was taught and lost nothing")
        )
        seen = page.evaluate("globalThis.seen")
        bars = [int(each) for each in seen["bar"]]
        assert len(bars) >= 3 and bars == sorted(bars), bars
        assert {"Train", "Evaluate"} <= set(seen["stage"]), seen["stage"]
        assert len(seen["curve"]) >= 3 and len(seen["left"]) >= 1
        new = page.get_by_role("listitem").filter(has_text="New corrections")
        expect(new.first).to_contain_text("holds")
        station(page, "04-verdict", whole=True)
        made = page.locator("a[href*='/console/adapters/adp_']").first.inner_text()
        page.goto(f"{server.url}/console/rounds")
        ready(page)
        expect(page.get_by_role("region", name="Rounds").locator(".heed-badge")).to_have_text(
            "promoted"
        )
        station(page, "04-rounds-after")
        return made


def _ask_again(
    browser: Browser, server: Server, question: str, *, value: str, version: str, name: str
) -> None:
    with desk(browser, server, "Vera", "/", viewport=PHONE) as page:
        ask(page, question)
        answer = page.locator("article.heed-said")
        expect(answer).to_contain_text(value)
        expect(answer.locator(".heed-badge").first).to_have_text(version)
        station(page, name)


def _roll_back(browser: Browser, server: Server, made: str) -> None:
    with desk(browser, server, "Omar", "/adapters", color_scheme="dark") as page:
        tree = page.locator("svg.heed-tree")
        expect(tree.locator("a.live")).to_have_attribute("aria-label", f"{made}, live")
        station(page, "06-adapters", whole=True)
        page.get_by_role("button", name="Roll back").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"Roll {made} back?")
        expect(dialog).to_contain_text("The base model answers everybody")
        station(page, "06-roll-back")
        dialog.get_by_role("button", name="Roll back").click()
        expect(page.get_by_text("the base model", exact=True)).to_be_visible()
        expect(tree.locator("g.live")).to_contain_text("base model")
        expect(tree.locator("a.live")).to_have_count(0)
        station(page, "06-adapters-after", whole=True)
