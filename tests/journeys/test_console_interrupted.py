"""Reviewing while the server, the network or another reviewer comes in between: nothing lost or doubled."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect
from sqlmodel import select

from feedback.models import Review
from feedback.review_models import ReviewItem
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import accounts, schema
from serving.auth import create_key
from tests.journeys.browser import opened
from tests.serving.conftest import CHEAP_MIB, PASSWORD, wait_until
from tests.serving.up_process import Up, heed_up

BOX = "The answer as it should have been"
NO_CONNECTION = "There is no connection just now"


@dataclass
class World:
    """A Heed in a process of its own, which a test may kill and start again where it was."""

    folder: Path
    store: Store
    key: str
    ending: ExitStack = field(default_factory=ExitStack)
    up: Up | None = None
    port: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on the port that it had before."""
        self.up = self.ending.enter_context(
            heed_up(
                self.folder,
                port=self.port,
                roles=("api", "console"),
                password_memory_mib=CHEAP_MIB,
            )
        )
        self.port = self.up.port

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self.up is not None
        self.up.tell(signal.SIGKILL)
        assert self.up.exit_code() is not None

    def corrected(self, thing: str) -> str:
        """One correction that waits."""
        said = f"What does the {thing} cost in every {thing} shop?"
        with httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}
        ) as http:
            body = {"model": "heed", "messages": [{"role": "user", "content": said}]}
            asked = http.post("/v1/chat/completions", json=body).json()["id"]
            told = {"completion_id": asked, "correction": f"The {thing} costs 19 dollars."}
            return str(http.post("/v1/feedback", json=told).json()["id"])

    def verdicts(self, feedback_id: str) -> list[tuple[str, str | None]]:
        """Every decision on an item."""
        with self.store.session() as session:
            rows = session.exec(select(Review).where(Review.feedback_id == feedback_id))
            return [(row.decision, row.correction) for row in rows]

    def emptied(self) -> None:
        """Decide everything, so that a test begins with nothing."""
        with self.store.session(write=True) as session:
            for row in session.exec(select(ReviewItem)):
                row.lane, row.reserved_by, row.reserved_until = "refused", None, None
                session.add(row)
            session.commit()


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Heed with two reviewers."""
    folder = tmp_path_factory.mktemp("interrupted")
    store = Store(FeedbackSettings(data_dir=folder))
    schema.upgrade(store)
    with store.session(write=True) as session:
        for name in ("rita", "ravi"):
            accounts.create(
                session, name=name, role="reviewer", password=PASSWORD, memory_mib=CHEAP_MIB
            )
        key = create_key(session, role="client", name="the shop")[1]
        session.commit()
    world = World(folder, store, key)
    with world.ending:
        world.start()
        yield world
    store.close()


@pytest.fixture
def world(running_world: World) -> World:
    """The same, with nothing to review."""
    running_world.emptied()
    return running_world


def entered(page: Page, world: World, name: str, path: str = "/review") -> Page:
    """Sign in and open a page."""
    page.goto(f"{world.url}/console{path}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    return ready(page)


def ready(page: Page) -> Page:
    """Wait until a page has its socket, and what it shows."""
    page.wait_for_function("window.socket?.connected && window.did_handshake")
    expect(page.locator(".heed-skeleton:visible")).to_have_count(0)
    return page


def shown(page: Page) -> Locator:
    """The card on the screen."""
    return page.locator(".heed-review:not([hidden])")


def decided(page: Page, world: World, feedback_id: str) -> list[tuple[str, str | None]]:
    """Wait until an item is gone from the page and decided; returns every decision on it."""
    expect(page.locator(f'[data-review="{feedback_id}"]')).to_have_count(0)
    wait_until(lambda: world.verdicts(feedback_id))
    return world.verdicts(feedback_id)


def editing(page: Page, text: str) -> Locator:
    """Begin to edit, until the server has the draft; returns the field."""
    page.keyboard.press("e")
    box = shown(page).get_by_label(BOX)
    box.fill(text)
    expect(shown(page).get_by_text("Your draft is kept")).to_be_visible()
    return box


def refused_without_connection(page: Page, feedback_id: str) -> None:
    """Submit: it is said that this goes nowhere, and the item stays."""
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text(NO_CONNECTION)).to_be_visible()
    expect(shown(page)).to_have_attribute("data-review", feedback_id)


def test_an_edit_outlives_a_server_that_is_killed_and_is_decided_once(
    world: World, browser: Browser
) -> None:
    name, other = world.corrected("kettle"), world.corrected("lamp")
    with opened(browser, silent=False) as tab:  # the browser complains that the server is away
        page = entered(tab.page, world, "rita", f"/review?item={name}")
        expect(shown(page)).to_have_attribute("data-review", name)
        box = editing(page, "It costs 99 dollars")
        before = page.evaluate("window.documentId")
        world.kill()
        page.wait_for_function("!window.socket.connected")
        box.fill("It costs 99 dollars, a round sum.")
        refused_without_connection(page, name)
        world.start()
        page.wait_for_function("(old) => (window.documentId ?? old) !== old", arg=before)
        ready(page)
        expect(shown(page)).to_have_attribute("data-review", name)
        expect(box).to_have_value("It costs 99 dollars, a round sum.")
        assert world.verdicts(name) == []
        page.keyboard.press("Control+Enter")
        decided(page, world, name)
        assert world.verdicts(name) == [("edit", "It costs 99 dollars, a round sum.")]
        expect(shown(page)).to_have_attribute("data-review", other)
        page.keyboard.press("a")
        decided(page, world, other)
        assert world.verdicts(other) == [("accept", None)]


def test_an_edit_goes_on_where_it_was_once_the_network_is_back(
    world: World, browser: Browser
) -> None:
    name, other = world.corrected("kettle"), world.corrected("lamp")
    with opened(browser, silent=False) as tab:
        page = entered(tab.page, world, "rita", f"/review?item={name}")
        box = editing(page, "It costs 99 dollars")
        before = page.evaluate("window.documentId")
        page.context.set_offline(True)
        page.wait_for_function("!window.socket.connected")
        box.fill("It costs 99 dollars, a round sum.")
        refused_without_connection(page, name)
        page.context.set_offline(False)
        page.wait_for_function("window.socket.connected")
        expect(box).to_have_value("It costs 99 dollars, a round sum.")
        assert page.evaluate("window.documentId") == before, "the page was not loaded again"
        page.keyboard.press("Control+Enter")
        decided(page, world, name)
        assert world.verdicts(name) == [("edit", "It costs 99 dollars, a round sum.")]
        page.keyboard.press("a")
        decided(page, world, other)
        assert world.verdicts(other) == [("accept", None)]


@pytest.mark.parametrize("arrives", [False, True], ids=["is lost", "arrives unheard"])
def test_a_decision_that_was_on_its_way_as_the_connection_broke_counts_once(
    world: World, browser: Browser, arrives: bool
) -> None:
    names = [world.corrected("kettle"), world.corrected("lamp")]
    cut: list[str] = []
    over: list[str] = []

    def between(page_side: WebSocketRoute) -> None:
        server_side = page_side.connect_to_server()

        def broken(said: str | bytes) -> None:
            over.append(str(said))
            page_side.close(code=1001)
            server_side.close()

        def there(said: str | bytes) -> None:
            if cut or '"decide' not in str(said).replace("\\", ""):
                server_side.send(said)
                return
            cut.append(str(said))
            if arrives:
                server_side.send(said)
            else:
                broken(said)

        def back(said: str | bytes) -> None:
            if cut and not over:  # what the server answers to the decision
                broken(said)
            else:
                page_side.send(said)

        page_side.on_message(there)
        server_side.on_message(back)

    with opened(browser, silent=False) as tab:
        tab.page.route_web_socket("**/socket.io/**", between)
        page = entered(tab.page, world, "rita", f"/review?item={names[0]}")
        expect(page.locator(".heed-review")).to_have_count(2)
        page.keyboard.press("a")
        decided(page, world, names[0])
        assert len(cut) == len(over) == 1
        assert world.verdicts(names[0]) == [("accept", None)]
        expect(shown(page)).to_have_attribute("data-review", names[1])
        page.keyboard.press("a")
        decided(page, world, names[1])
        assert [len(world.verdicts(each)) for each in names] == [1, 1]


def test_who_opens_what_another_reviewer_has_is_told_so_and_given_the_next(
    world: World, browser: Browser
) -> None:
    names = [world.corrected(each) for each in ("kettle", "lamp", "chair", "desk")]
    with opened(browser) as rita, opened(browser) as ravi:
        first = entered(rita.page, world, "rita", f"/review?item={names[0]}")
        expect(first.locator(".heed-review")).to_have_count(2)
        second = entered(ravi.page, world, "ravi", f"/review?item={names[0]}")
        expect(second.get_by_text("rita has this item for 10 more minutes")).to_be_visible()
        expect(second.locator(".heed-review")).to_have_count(2)
        expect(second.locator(f'[data-review="{names[0]}"]')).to_have_count(0)
        theirs = str(shown(second).get_attribute("data-review"))
        for page in (first, second):
            page.keyboard.press("a")
        decided(first, world, names[0])
        decided(second, world, theirs)
        assert len(world.verdicts(names[0])) == len(world.verdicts(theirs)) == 1
        second.goto(f"{world.url}/console/review?view=bulk")
        expect(second.get_by_text("somebody has it").first).to_be_visible()
