"""A review page that is closed gives back what it held; one that is loaded again keeps it."""

from collections.abc import Iterator

import pytest
from nicegui import Client, background_tasks, core
from playwright.sync_api import Browser, Page, expect
from sqlmodel import col, select

from feedback.review_models import ReviewItem
from feedback.settings import FeedbackSettings
from tests.journeys.browser import opened
from tests.journeys.test_console_chat import entered
from tests.journeys.test_console_review import corrected, on_screen
from tests.serving.conftest import Server, running, wait_until

RECONNECT_SECONDS = 0.5


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with a console, two reviewers and a few items."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("left"))
    with running(folder, roles=("api", "console")) as server:
        for name in ("rita", "ravi"):
            server.account("reviewer", name)
        _, headers = server.key("admin")
        server.http.headers.update(headers)
        for thing in ("kettle", "lamp", "chair", "desk"):
            corrected(server, thing)
        yield server


@pytest.fixture(autouse=True)
def soon(left: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tab counts as closed after half a second, in place of half a minute."""
    monkeypatch.setattr(core.app.config, "reconnect_timeout", RECONNECT_SECONDS)


def reserved(server: Server) -> set[str]:
    """What somebody holds."""
    held = col(ReviewItem.reserved_by).is_not(None)
    with server.store.session() as session:
        return set(session.exec(select(ReviewItem.feedback_id).where(held)))


def held(page: Page) -> set[str]:
    """What a page has: the card on the screen and the one behind it."""
    on_screen(page)
    expect(page.locator(".heed-review")).to_have_count(2)
    page.wait_for_function("window.did_handshake")
    return {str(each.get_attribute("data-review")) for each in page.locator(".heed-review").all()}


def gone(client_id: str) -> None:
    """Wait until the server has given a page up, and done all that follows."""
    wait_until(lambda: client_id not in Client.instances)
    wait_until(
        lambda: (
            not [
                task
                for task in list(background_tasks.running_tasks)
                if client_id in task.get_name()
            ]
        )
    )


def client_id(page: Page) -> str:
    """What the server calls this page."""
    return str(page.evaluate("window.clientId"))


def test_a_closed_tab_gives_back_what_it_held(left: Server, browser: Browser) -> None:
    with opened(browser) as other:
        kept = held(entered(left, other, "ravi", "/review"))
        with opened(browser) as tab:
            page = entered(left, tab, "rita", "/review")
            mine = held(page)
            assert mine.isdisjoint(kept) and reserved(left) == mine | kept
            name = client_id(page)
        gone(name)
        assert reserved(left) == kept
        last = client_id(other.page)
    gone(last)
    assert reserved(left) == set()


def test_a_page_that_is_loaded_again_or_open_twice_keeps_what_it_shows(
    left: Server, browser: Browser
) -> None:
    with opened(browser) as tab:
        page = entered(left, tab, "rita", "/review")
        mine, first = held(page), client_id(page)
        page.reload()
        assert held(page) == mine and client_id(page) != first
        gone(first)
        assert reserved(left) == mine

        second = page.context.new_page()
        second.goto(page.url)
        assert held(second) == mine
        name = client_id(second)
        second.close()
        gone(name)
        assert reserved(left) == mine
        last = client_id(page)
    gone(last)
    assert reserved(left) == set()
