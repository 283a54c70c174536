"""A real Chromium for tests of what people see, and the pages they see it on.

`python -m tests.journeys.browser` says what to install where there is none.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WHAT_TO_INSTALL = (
    "no Chromium: install Debian's (apt-get install chromium) or Playwright's own "
    "(playwright install chromium)"
)
# Without these a browser on a machine without a network spends its start on looking for Google's.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MILLISECONDS = 45_000
"""A busy machine is no failure."""
_NOTICE_VIOLATIONS = """
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sourceFile }) =>
  console.error(`POLICY ${violatedDirective} ${blockedURI} ${sourceFile}`));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; where there is none, skip the tests and say what to install.

    Its event loop counts as running in this thread as long as it is open, so it must not outlive
    the tests of one module.
    """
    with sync_playwright() as playwright:
        program = found(playwright)
        if program is None:
            pytest.skip(WHAT_TO_INSTALL)
        started = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        try:
            yield started
        finally:
            started.close()


@dataclass
class Tab:
    """A page that is open, everything it said, and of that what it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


expect.set_options(timeout=PATIENCE_MILLISECONDS)


@contextmanager
def opened(browser: Browser, *, silent: bool = True, **context: object) -> Iterator[Tab]:
    """Open a page; at the end it must have complained of nothing, unless told that it may.

    What counts: errors and warnings in the console, exceptions, and breaches of the page's policy.
    """
    made: BrowserContext = browser.new_context(**context)  # type: ignore[arg-type]
    made.set_default_timeout(PATIENCE_MILLISECONDS)
    made.add_init_script(_NOTICE_VIOLATIONS)
    page = made.new_page()
    tab = Tab(page)

    def heard(said: ConsoleMessage) -> None:
        tab.said.append(said.text)
        if said.type in ("error", "warning"):
            tab.complaints.append(said.text)

    page.on("console", heard)
    page.on("pageerror", lambda fault: tab.complaints.append(str(fault)))
    try:
        yield tab
        if silent:
            assert tab.complaints == []
    except BaseException:
        _tell(tab)
        raise
    finally:
        made.close()


def _tell(tab: Tab) -> None:
    """Print what was to be seen when a journey failed; there is no picture where tests run."""
    with suppress(Error):  # a browser that is gone shows nothing
        page = tab.page
        boxes = "[...document.querySelectorAll('input, textarea')].map((each) => each.value)"
        print(
            "at", page.url, "the console said", tab.said, "and the boxes hold", page.evaluate(boxes)
        )
        print(page.inner_text("body"))


def found(playwright: Playwright) -> str | None:
    """Return the browser's program, if there is one."""
    ways = [os.environ.get("CHROME_PATH"), *map(shutil.which, NAMES)]
    ways.append(playwright.chromium.executable_path)
    for each in ways:
        if each and Path(each).is_file():
            return each
    return None


if __name__ == "__main__":
    with sync_playwright() as here:
        if found(here) is None:
            print(f"The browser tests are skipped: {WHAT_TO_INSTALL}.", file=sys.stderr)
