"""Chat in a real browser: asking, saying what is wrong, correcting, comparing, coming back.

`HEED_TEST_SCREENSHOTS` names a folder for pictures of the pages.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from feedback.models import Exchange, Feedback
from feedback.settings import FeedbackSettings
from serving import accounts
from serving.engines.base import Chunk, GenerationRequest
from serving.engines.echo import EchoEngine
from serving.models import ConsoleSession
from tests.journeys.browser import Tab, opened
from tests.serving.conftest import PASSWORD, Server, running, wait_until

SCREENSHOTS = os.environ.get("HEED_TEST_SCREENSHOTS")
"""Read here, since the tests themselves run without any `HEED_` in the environment."""
HOSTILE = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "[press](javascript:window.ran=1)",
    "<svg/onload=window.ran=1>",
    "![x](https://elsewhere.example/x.png)",
    "`<iframe srcdoc='<script>top.ran=1</script>'>`",
    "</textarea><script>window.ran = 1</script>",
    "${window.ran=1} {{constructor.constructor('window.ran=1')()}}",
]


FREE = threading.Event()
"""Set while answers go on; what is seen of one that is on its way depends on nobody's speed."""
FREE.set()


class Patient(EchoEngine):
    """Repeats people, a word every few milliseconds; waits after the fourth while it may not go on."""

    async def _held(self, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        async with aclosing(chunks):  # type: ignore[type-var]  # it is a generator
            number = 0
            async for chunk in chunks:
                yield chunk
                number += 1
                while number == 4 and not FREE.is_set():
                    await asyncio.sleep(0.01)

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        """As the engine does, with a wait."""
        return self._held(super().generate(request))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with a console, and the engine that repeats people."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("console"))
    with running(folder, Patient(delay_seconds=0.01), roles=("api", "console")) as server:
        server.account("viewer", "vera")
        server.account("reviewer", "rita")
        yield server


def picture(page: Page, name: str) -> None:
    """Keep a picture of what is seen, where somebody wants it."""
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def entered(server: Server, tab: Tab, name: str = "vera", path: str = "/") -> Page:
    """Sign in and open a page; no request of it may leave the server."""
    page = tab.page
    page.on(
        "request",
        lambda each: (
            None
            if each.url.startswith((server.url, server.url.replace("http", "ws"), "data:"))
            else tab.complaints.append(f"ELSEWHERE {each.url}")
        ),
    )
    page.goto(f"{server.url}/console{path}")
    picture(page, "sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    return page


def ask(page: Page, said: str) -> None:
    """Ask, and wait for the answer's end."""
    before = page.locator("heed-feedback").count()
    page.get_by_label("Message").fill(said)
    page.get_by_label("Message").press("Enter")
    expect(page.locator("heed-feedback")).to_have_count(before + 1)


def told(server: Server) -> list[Feedback]:
    """Everything that was said, signals aside."""
    with server.store.session() as session:
        rows = session.exec(select(Feedback).order_by(Feedback.id))
        return [row for row in rows if row.signal is None]


def signals(server: Server) -> set[str]:
    """Everything that was noticed."""
    with server.store.session() as session:
        return {str(name) for name in session.exec(select(Feedback.signal)) if name}


@pytest.mark.parametrize(("scheme", "width", "height"), [("light", 1280, 800), ("dark", 390, 844)])
def test_an_answer_is_given_corrected_and_compared(
    served: Server, browser: Browser, scheme: str, width: int, height: int
) -> None:
    size = {"width": width, "height": height}
    before = len(told(served))
    with opened(browser, viewport=size, color_scheme=scheme) as tab:
        page = entered(served, tab)
        expect(page.get_by_text("Ask something")).to_be_visible()
        picture(page, f"chat-empty-{scheme}")
        question = "The lamp costs **49** dollars and comes in blue; it is sold in every shop."
        page.get_by_label("Message").fill(question)
        FREE.clear()
        try:
            page.get_by_label("Message").press("Enter")
            expect(page.locator("article[aria-busy=true] .heed-answer")).to_contain_text("The lamp")
            expect(page.get_by_role("button", name="Stop the answer")).to_be_visible()
        finally:
            FREE.set()
        expect(page.locator("heed-feedback")).to_have_count(1)
        expect(page.locator("article strong")).to_have_text("49")
        expect(page.locator("article").get_by_text("base model")).to_be_visible()
        page.get_by_role("button", name="Bad answer").click()
        page.get_by_role("button", name="Out of date").click()
        page.get_by_role("button", name="Suggest a better answer").click()
        box = page.get_by_label("The answer as it should have been")
        expect(box).to_have_value(question)
        box.fill(question.replace("49", "59"))
        changes = page.get_by_role("group", name="Your changes")
        expect(changes.locator("del")).to_have_text(["49"])
        expect(changes.locator("ins")).to_have_text(["59"])
        picture(page, f"chat-correction-{scheme}")
        page.locator("heed-feedback").get_by_role("button", name="Send").click()
        wait_until(lambda: len(told(served)) == before + 2)
        page.get_by_role("button", name="Answer again").click()
        expect(page.locator("heed-feedback")).to_have_count(2)
        page.get_by_role("button", name="This one is better").last.click()
        expect(page.locator("article").last.get_by_text("preferred")).to_be_visible()
        wait_until(lambda: len(told(served)) == before + 3)
        picture(page, f"chat-compared-{scheme}")
        vote, details, preference = told(served)[before:]
        assert vote.rating == 0.0
        assert details.correction == question.replace("49", "59")
        assert details.body["reasons"] == ["Out of date"]
        assert preference.preferred_over == vote.exchange_id
        page.get_by_role("button", name="Copy").first.click()
        page.reload()
        expect(page.locator("heed-feedback")).to_have_count(2)
        expect(page.locator("article").last.get_by_text("preferred")).to_be_visible()
        ask(page, "And then?")
        picture(page, f"chat-{scheme}")
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0, "nothing is wider than the window"
    exchange = served.exchange(str(vote.exchange_id))
    assert exchange.adapter_id == "base" and exchange.key_id and exchange.origin == "chat"
    wait_until(lambda: {"regenerate", "dwell", "copy"} <= signals(served))


def test_an_answer_can_be_stopped_and_is_logged_as_far_as_it_came(
    served: Server, browser: Browser
) -> None:
    with opened(browser) as tab:
        page = entered(served, tab)
        page.get_by_label("Message").fill("word " * 400)
        page.get_by_label("Message").press("Enter")
        expect(page.locator("article[aria-busy=true] .heed-answer")).to_contain_text("word word")
        page.get_by_role("button", name="Stop the answer").click()
        expect(page.get_by_text("stopped")).to_be_visible()
        expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    with served.store.session() as session:
        newest = session.exec(select(Exchange).order_by(Exchange.id.desc())).first()  # type: ignore[attr-defined]
        assert newest is not None and newest.state == "partial"
        assert 0 < len(newest.choices[0]["text"]) < 2000


def test_nothing_that_is_asked_or_answered_runs(served: Server, browser: Browser) -> None:
    with opened(browser) as tab:
        page = entered(served, tab)
        for said in HOSTILE:
            ask(page, said)
        assert page.evaluate("window.ran") is None
        page.reload()
        expect(page.locator("heed-feedback")).to_have_count(len(HOSTILE))
        assert page.evaluate("window.ran") is None
        assert (
            page.locator("article img, article iframe, article svg:not(heed-feedback svg)").count()
            == 0
        )
        assert page.locator("article script").count() == 0


def test_somebody_elses_conversation_is_not_shown(served: Server, browser: Browser) -> None:
    with opened(browser) as tab:
        page = entered(served, tab)
        ask(page, "My secret is plum.")
        address = page.url
    with opened(browser) as tab:
        page = entered(served, tab, "rita")
        expect(page.get_by_text("Ask something")).to_be_visible()
        page.goto(address)
        expect(page.get_by_text("Ask something")).to_be_visible()
        expect(page.get_by_text("plum")).to_have_count(0)


def test_the_colours_are_chosen_and_remembered(served: Server, browser: Browser) -> None:
    with opened(browser, color_scheme="light") as tab:
        page = entered(served, tab, "rita", "/overview")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        dark = "document.body.classList.contains('body--dark')"
        assert page.evaluate(dark) is False
        page.get_by_role("button", name="Colours: follows the system. Change").click()
        page.get_by_role("button", name="Colours: light. Change").click()
        expect(page.get_by_role("button", name="Colours: dark. Change")).to_be_visible()
        picture(page, "overview-dark")
        page.reload()
        expect(page.get_by_role("button", name="Colours: dark. Change")).to_be_visible()
        assert page.evaluate(dark) is True


def test_a_session_that_ended_elsewhere_does_nothing_more(served: Server, browser: Browser) -> None:
    with opened(browser) as tab:
        page = entered(served, tab)
        expect(page.get_by_text("Ask something")).to_be_visible()
        page.wait_for_function("window.did_handshake")
        with served.store.session(write=True) as session:
            accounts.end_sessions(session, accounts.named(session, "vera"))
            session.commit()
            assert session.exec(select(ConsoleSession)).all() is not None
        served.parts.sessions.forget()
        page.get_by_label("Message").fill("still there?")
        page.keyboard.press("Enter")  # the box may be gone already
        expect(page.get_by_role("heading", name="Sign in to Heed")).to_be_visible()
    with served.store.session() as session:
        newest = session.exec(select(Exchange).order_by(Exchange.id.desc())).first()  # type: ignore[attr-defined]
        assert newest is None or "still there?" not in str(newest.messages)


def test_a_page_whose_session_ended_while_it_was_away_asks_to_sign_in(
    served: Server, browser: Browser
) -> None:
    with opened(browser, silent=False) as tab:
        page = entered(served, tab)
        page.wait_for_function("window.did_handshake")
        page.evaluate("window.socket.disconnect()")
        with served.store.session(write=True) as session:
            accounts.end_sessions(session, accounts.named(session, "vera"))
            session.commit()
        served.parts.sessions.forget()
        page.evaluate("window.socket.connect()")
        expect(page.get_by_role("heading", name="Sign in to Heed")).to_be_visible()


def test_keys_alone_reach_the_content(served: Server, browser: Browser) -> None:
    with opened(browser) as tab:
        page = entered(served, tab, "rita", "/overview")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, a')].filter((each) => !(each.ariaLabel || "
            "each.textContent.trim())).length"
        )
        assert unnamed == 0
