"""The widget on a page of another origin, which is where people meet it: the shop's own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from feedback.models import Feedback
from feedback.settings import FeedbackSettings
from tests.journeys.browser import opened
from tests.serving.conftest import Server, running, wait_until


class Shop(ThreadingHTTPServer):
    """Somebody else's web server, with one page; a browser takes it for no part of Heed."""

    page = b""
    policy = ""

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.server_port}"


class _Page(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-security-policy", self.server.policy)
        self.end_headers()
        self.wfile.write(self.server.page)

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass
class Street:
    """Heed, which wants keys, a shop that its settings name, and one that they do not."""

    heed: Server
    named: Shop
    other: Shop


@contextmanager
def shop() -> Iterator[Shop]:
    with Shop(("127.0.0.1", 0), _Page) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("elsewhere"))
    with shop() as named, shop() as other, running(folder, widget_origins=[named.origin]) as heed:
        _, headers = heed.key("client")
        heed.http.headers.update(headers)
        yield Street(heed, named, other)


def embed(server: Server, page: Page, shop: Shop) -> str:
    """Open the shop's page as docs/widget.md writes it; returns the answer's id."""
    completion = server.asked("The lamp costs 49 dollars.", user="dora")
    body = {"completion_id": completion}
    held = server.http.post("/v1/feedback/tokens", json=body).json()["token"]
    shop.page = (
        f'<!doctype html><title>Shop</title><script src="{server.url}/widget.js" defer></script>'
        f'<p id="answer">The lamp costs 49 dollars.</p>'
        f'<heed-feedback completion="{completion}" token="{held}" answer="#answer">'
        "</heed-feedback>"
    ).encode()
    shop.policy = (
        f"default-src 'none'; script-src {server.url}; connect-src {server.url}; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    page.goto(shop.origin)
    return completion


def said(server: Server, completion: str) -> set[str]:
    with server.store.session() as session:
        rows = session.exec(select(Feedback).where(Feedback.exchange_id == completion)).all()
    return {row.signal or "rating" for row in rows}


def test_a_page_that_is_named_in_the_settings_votes_and_sends_signals(
    street: Street, browser: Browser
) -> None:
    with opened(browser) as tab:
        completion = embed(street.heed, tab.page, street.named)
        tab.page.get_by_role("button", name="Good answer").click()
        expect(tab.page.get_by_role("status")).to_have_text("Thank you, this counts.")
        tab.page.get_by_role("button", name="Undo").click()
        expect(tab.page.get_by_role("status")).to_have_text("Taken back.")
        tab.page.goto("about:blank")
        wait_until(lambda: said(street.heed, completion) >= {"rating", "view"})


def test_a_page_that_is_not_named_is_told_that_it_failed(street: Street, browser: Browser) -> None:
    with opened(browser, silent=False) as tab:
        completion = embed(street.heed, tab.page, street.other)
        tab.page.get_by_role("button", name="Good answer").click()
        expect(tab.page.get_by_role("status")).to_have_text("That did not reach us.")
        assert any("CORS" in each for each in tab.complaints)
        assert "rating" not in said(street.heed, completion)
