"""Reviewing on the console's page, in a headless Chromium: how long somebody waits who decides.

The page itself takes the times, from the navigation or from the key to the frame that shows the
item. Knows no SQL; where there is no browser it says what to install.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from rich.console import Console
from rich.progress import track

from benchmarks import console_server
from benchmarks.timed import Timed, resident_mib
from feedback.errors import Invalid
from feedback.store import Store
from serving import staffing
from tests.journeys.browser import QUIET, WHAT_TO_INSTALL, found

TARGET_SECONDS = {
    "first item, nothing cached": 1.0,
    "first item": 1.0,
    "next item shown": 0.15,
    "next item shown, in a hurry": 0.15,
    "server: decide and next": 0.05,
}
VISITS = 10
HURRIED = 10
"""Of so many decisions one is also made as soon as an item is on the screen, ready or not."""
SAMPLES = 10
"""How often memory is looked at."""
PATIENCE_MILLISECONDS = 60_000
_NAME, _PASSWORD = "Rita", "four plain words here"
_READY = "document.querySelector('.heed-review[hidden]:not([data-gone])')"
_CLOCK = """(() => {
  const told = (globalThis.heedTold = { first: null, shown: [], ready: [] });
  const shown = () => document.querySelector(".heed-review:not([hidden])")?.dataset.review ?? null;
  const behind = () => document.querySelector(".heed-review[hidden]:not([data-gone])") !== null;
  let decided = null;
  // After the frame that follows, which is the one that shows it.
  const painted = (then) =>
    requestAnimationFrame(() => {
      const after = new MessageChannel();
      after.port1.onmessage = () => then(performance.now());
      after.port2.postMessage(null);
    });
  new MutationObserver(() => {
    const now = shown();
    if (now && told.first === null) {
      told.first = -1;
      painted((at) => (told.first = at));
    }
    if (!decided || !now || now === decided.item) return;
    const { began } = decided;
    if (!decided.seen) {
      decided.seen = true;
      painted((at) => told.shown.push(at - began));
    }
    if (behind()) {
      decided = null;
      told.ready.push(performance.now() - began);
    }
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["hidden", "data-review"] });
  addEventListener("keydown", (event) => {
    if (event.key === "a") decided = { item: shown(), began: event.timeStamp, seen: false };
  }, true);
})();"""


def measure(
    store: Store, *, decisions: int, visits: int = VISITS, quiet: bool = False
) -> dict[str, Any]:
    """Review on the page; returns seconds, and memory as it went.

    Args:
        store: with a queue that is in order; a server is started on it.
        visits: so often the page is opened anew, each time by a browser that does not know it.
        decisions: so many are made when the next item is ready, and a tenth of them in a hurry.
        quiet: draw no progress.

    Raises:
        Invalid: there is no browser.
    """
    timed = Timed(TARGET_SECONDS)
    with store.session(write=True) as session:
        staffing.add(session, actor="cli", name=_NAME, role="admin", password=_PASSWORD)
        session.commit()
    with (
        _chromium() as browser,
        console_server.running(store, new_material=10 * decisions + 1000) as (url, process),
    ):
        known = _sign_in(browser, url)
        _visits(browser, url, known, visits, timed)
        page = _page(browser, known)
        page.goto(f"{url}/console/review")
        page.wait_for_function(f"window.did_handshake && {_READY}")
        before = _server(url)
        memory = _decide(page, process, decisions, timed, quiet=quiet)
        after = _server(url)
        _hurry(page, max(decisions // HURRIED, 1), timed)
    calls = [after[name][len(before[name]) :] for name in console_server.TIMED]
    for name, seconds in zip(console_server.TIMED, calls, strict=True):
        timed.add(f"server: {name}", seconds)
    # One is asked for after each decision.
    timed.add("server: decide and next", list(map(sum, zip(*calls, strict=True))))
    return {"seconds": timed.report(), **memory}


@contextmanager
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        program = found(playwright)
        if program is None:
            raise Invalid(f"This needs a browser: {WHAT_TO_INSTALL}.")
        started = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        try:
            yield started
        finally:
            started.close()


def _sign_in(browser: Browser, url: str) -> Any:
    """What a browser keeps of somebody who is signed in."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/console/sign-in")
    page.get_by_label("Name").fill(_NAME)
    page.get_by_label("Password").fill(_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/")
    known = context.storage_state()
    context.close()
    return known


def _visits(browser: Browser, url: str, known: Any, visits: int, timed: Timed) -> None:
    """Come to the page, at first with nothing of it in the browser's cache."""
    for _ in range(visits):
        page = _page(browser, known)
        for name in ("first item, nothing cached", "first item"):
            page.goto(f"{url}/console/review")
            page.wait_for_function("heedTold.first > 0")
            timed.add(name, [page.evaluate("heedTold.first") / 1000])
        page.context.close()


def _decide(
    page: Page, process: int, decisions: int, timed: Timed, *, quiet: bool
) -> dict[str, list[float]]:
    """Decide one after the other; returns what server and page held meanwhile."""
    memory = _Memory(page, process)
    for at in track(
        range(decisions), "on the page", console=Console(stderr=True, quiet=quiet), transient=True
    ):
        if at % max(decisions // SAMPLES, 1) == 0:
            memory.look()
        page.keyboard.press("a")
        page.wait_for_function("(count) => heedTold.ready.length > count", arg=at)
    memory.look()
    page.wait_for_function("(count) => heedTold.shown.length === count", arg=decisions)
    told = page.evaluate("heedTold")
    timed.add("next item shown", [each / 1000 for each in told["shown"]])
    timed.add("the one after it is ready", [each / 1000 for each in told["ready"]])
    return memory.held


def _hurry(page: Page, decisions: int, timed: Timed) -> None:
    """Decide as soon as an item is on the screen, whether or not another is ready."""
    page.evaluate("heedTold.shown = []")
    for at in range(decisions):
        page.keyboard.press("a")
        page.wait_for_function("(count) => heedTold.shown.length > count", arg=at)
    told = page.evaluate("heedTold")
    timed.add("next item shown, in a hurry", [each / 1000 for each in told["shown"]])
    page.wait_for_function(_READY)


def _server(url: str) -> dict[str, list[float]]:
    took: dict[str, list[float]] = httpx.get(f"{url}{console_server.MEASURED}", timeout=60).json()
    return took


def _page(browser: Browser, known: Any) -> Page:
    context = browser.new_context(storage_state=known, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    context.add_init_script(_CLOCK)
    return context.new_page()


class _Memory:
    """What the server's process holds, and the page once it has thrown away what it can."""

    def __init__(self, page: Page, process: int) -> None:
        self._talk: CDPSession = page.context.new_cdp_session(page)
        self._process = process
        self.held: dict[str, list[float]] = {
            "server_mib": [],
            "page_heap_mib": [],
            "page_nodes": [],
        }

    def look(self) -> None:
        self._talk.send("HeapProfiler.collectGarbage")
        heap = self._talk.send("Runtime.getHeapUsage")["usedSize"]
        nodes = self._talk.send("Memory.getDOMCounters")["nodes"]
        self.held["server_mib"].append(resident_mib(self._process))
        self.held["page_heap_mib"].append(round(heap / 2**20, 1))
        self.held["page_nodes"].append(nodes)
