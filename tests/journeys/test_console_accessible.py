"""What axe-core finds on every page of the console, in the light and in the dark: nothing serious.

Menus, dialogs and the sheet of keys count as pages, opened as a person opens them. And no page is
wider than its window, even while the font of the icons is still to come.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from feedback.settings import FeedbackSettings
from tests.journeys.browser import opened
from tests.journeys.console_world import ADMIN, addresses, furnish
from tests.serving.conftest import PASSWORD, Server, running

GRAVE = ("serious", "critical")
STILL = "document.getAnimations().every((each) => each.playState !== 'running')"
"""What fades in is paler than it will be."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with something on every page."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("console"))
    with running(folder, roles=("api", "console")) as server:
        furnish(server)
        yield server


def grave(page: Page, within: str | None = None) -> list[str]:
    """What axe-core calls serious or critical, in the light and in the dark, with the places."""
    found = []
    for scheme, rule in (("light", None), ("dark", "color-contrast")):  # all else is the same there
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.wait_for_function(STILL)
        found += _found(page, rule, within)
    return found


def _found(page: Page, rule: str | None, within: str | None) -> list[str]:
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rule is not None:
        options["runOnly"] = {"type": "rule", "values": [rule]}
    response = Axe().run(page, context=within, options=options).response
    violations: list[dict[str, Any]] = response["violations"]
    return [
        f"{each['id']} at {node['target']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for each in violations
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


def settled(page: Page) -> None:
    """Wait until a page is there, with what it reads, and nothing fades in any more."""
    page.wait_for_function("window.socket && window.socket.connected && window.did_handshake")
    expect(page.locator(".heed-skeleton:visible")).to_have_count(0)


def sign_in(page: Page, server: Server, name: str) -> None:
    """Sign in by the form."""
    page.goto(f"{server.url}/console/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/")


def test_no_page_has_a_serious_fault(furnished: Server, browser: Browser) -> None:
    faults = []
    with opened(browser, silent=False, viewport={"width": 1280, "height": 800}) as tab:
        page = tab.page
        page.goto(f"{furnished.url}/console/sign-in")
        faults += [f"/sign-in: {each}" for each in grave(page)]
        sign_in(page, furnished, ADMIN)
        for path in addresses(furnished):
            page.goto(f"{furnished.url}/console{path}")
            settled(page)
            faults += [f"{path}: {each}" for each in grave(page)]
    assert not faults, "\n".join(faults)


def test_nothing_that_opens_has_a_serious_fault(furnished: Server, browser: Browser) -> None:
    faults: list[str] = []
    with opened(browser, silent=False, viewport={"width": 1280, "height": 800}) as tab:
        page = tab.page
        sign_in(page, furnished, ADMIN)

        def visit(path: str) -> None:
            page.goto(f"{furnished.url}/console{path}")
            settled(page)

        def look(at: str, role: str) -> None:
            """What lies behind is looked at as a page of its own."""
            expect(page.get_by_role(role)).to_be_visible()  # type: ignore[arg-type]
            inside = f"dialog[open], [role={role}]"
            faults.extend(f"{at}: {each}" for each in grave(page, inside))

        visit("/settings/people")
        page.get_by_role("button", name=f"Account of {ADMIN}").click()
        look("the account's menu", "dialog")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.get_by_role("button", name="Change Vera").click()
        look("a row's menu", "menu")
        page.get_by_role("menuitem", name="Remove").click()
        look("a question", "dialog")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)

        visit("/review")
        page.get_by_role("button", name="Saved queues").click()
        look("the saved queues", "dialog")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.keyboard.press("?")
        look("the sheet of keys", "dialog")
        page.keyboard.press("Escape")
        page.keyboard.press("r")
        expect(page.get_by_role("heading", name="Why does it teach nothing?")).to_be_visible()
        faults += [f"refusing: {each}" for each in grave(page, ".heed-review:not([hidden])")]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_too_wide_before_its_icons_have_come(
    furnished: Server, browser: Browser, width: int
) -> None:
    wider = {}
    with opened(browser, silent=False, viewport={"width": width, "height": 800}) as tab:
        page = tab.page
        page.context.route("**/*.woff2", lambda asked: asked.abort())
        sign_in(page, furnished, ADMIN)
        for path in addresses(furnished):
            page.goto(f"{furnished.url}/console{path}")
            settled(page)
            wider[path] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert set(wider.values()) == {0}, wider
