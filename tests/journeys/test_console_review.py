"""Review in a real browser: by keyboard alone, together with others, and with hostile texts.

`HEED_TEST_SCREENSHOTS` names a folder for pictures of the pages.
"""

import statistics
from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlmodel import select

from feedback import review_notes
from feedback.models import Receipt, Review
from feedback.review_models import ReviewDraft, ReviewItem, ReviewQueue
from feedback.settings import FeedbackSettings
from serving.review_upkeep import ReviewUpkeep
from tests.journeys.browser import opened
from tests.journeys.test_console_chat import HOSTILE, entered, picture
from tests.serving.conftest import Server, running, wait_until

THINGS = [
    "kettle",
    "lamp",
    "chair",
    "desk",
    "clock",
    "radio",
    "mirror",
    "carpet",
    "shelf",
    "candle",
    "basket",
    "pillow",
    "ladder",
    "hammer",
    "bottle",
    "blanket",
    "drawer",
    "curtain",
    "window",
    "fridge",
]
_MEASURE = """() => {
  globalThis.times = [];
  addEventListener("keydown", (event) => {
    if (event.key !== "a") return;
    const shown = () => document.querySelector(".heed-review:not([hidden])")?.dataset.review;
    const began = performance.now(), before = shown();
    const look = () => {
      const now = shown();
      if (now && now !== before) globalThis.times.push(performance.now() - began);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, true);
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with a console and people who review."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("review"))
    with running(folder, roles=("api", "console")) as server:
        server.account("viewer", "vera")
        server.account("reviewer", "rita")
        server.account("reviewer", "ravi")
        _, headers = server.key("admin")
        server.http.headers.update(headers)
        yield server


def corrected(server: Server, thing: str, price: int = 12, **more: object) -> str:
    """One correction that waits, unlike any other."""
    asked = server.asked(f"The {thing} costs {price} dollars in every {thing} shop, does it not?")
    said = f"The {thing} costs {price + 7} dollars in every {thing} shop."
    return server.told(completion_id=asked, correction=said, **more)


def lane(server: Server, feedback_id: str) -> str:
    """Where an item is now."""
    with server.store.session() as session:
        query = select(ReviewItem.lane).where(ReviewItem.feedback_id == feedback_id)
        return str(session.exec(query).one())


def receipt(server: Server, feedback_id: str) -> Receipt:
    """What became of it."""
    with server.store.session() as session:
        return session.get_one(Receipt, feedback_id)


def emptied(server: Server) -> None:
    """Decide everything that waits, so that tests begin with nothing."""
    headers = dict(server.http.headers)
    with server.store.session(write=True) as session:
        for item in session.exec(select(ReviewItem).where(ReviewItem.reserved_by.is_not(None))):  # type: ignore[union-attr]
            item.reserved_by = item.reserved_until = None
            session.add(item)
        session.commit()
    while rows := server.http.get("/v1/reviews/queue", headers=headers).json()["data"]:
        ids = [row["id"] for row in rows]
        body = {"feedback_id": ids, "decision": "refuse"}
        assert server.http.post("/v1/reviews", json=body, headers=headers).status_code == 200


def shown(page: Page) -> Locator:
    """The card on the screen."""
    return page.locator(".heed-review:not([hidden])")


def on_screen(page: Page) -> str:
    """The id of what is on the screen."""
    expect(shown(page)).to_have_count(1)
    return str(shown(page).get_attribute("data-review"))


def gone(page: Page, feedback_id: str) -> None:
    """Wait until something else, or nothing, is on the screen."""
    expect(page.locator(f'.heed-review:not([hidden])[data-review="{feedback_id}"]')).to_have_count(
        0
    )


def test_everything_is_decided_by_keyboard_alone(served: Server, browser: Browser) -> None:
    emptied(served)
    for thing in THINGS[:6]:
        corrected(served, thing, comment=f"I bought a {thing} there.", rating="down")
    with opened(browser, viewport={"width": 1280, "height": 900}) as tab:
        page = entered(served, tab, "rita", "/review")
        first = on_screen(page)
        expect(page.locator(".heed-review[hidden]")).to_have_count(1)  # the next is ready
        picture(page, "review-focus-light")
        page.keyboard.press("a")
        gone(page, first)
        wait_until(lambda: lane(served, first) == "accepted")

        second = on_screen(page)
        page.keyboard.press("r")
        expect(page.get_by_role("heading", name="Why does it teach nothing?")).to_be_visible()
        picture(page, "review-refuse-light")
        page.keyboard.press("3")
        gone(page, second)
        wait_until(lambda: lane(served, second) == "refused")
        assert "Cannot be verified" in str(receipt(served, second).reason)

        third = on_screen(page)
        page.keyboard.press("e")
        box = shown(page).get_by_label("The answer as it should have been")
        expect(box).to_be_focused()
        page.keyboard.press("Control+a")
        page.keyboard.type("It costs 99 dollars, a round sum.")
        expect(shown(page).get_by_label("Your changes").locator("ins").first).to_be_visible()
        expect(shown(page).get_by_text("Your draft is kept")).to_be_visible()
        picture(page, "review-edit-light")
        page.keyboard.press("Control+Enter")
        gone(page, third)
        wait_until(lambda: lane(served, third) == "edited")
        with served.store.session() as session:
            made = session.exec(select(Review).where(Review.feedback_id == third)).one()
            assert made.correction == "It costs 99 dollars, a round sum."

        page.keyboard.press("u")
        wait_until(lambda: lane(served, third) == "waiting")
        expect(shown(page)).to_have_attribute("data-review", third)
        expect(shown(page).get_by_label("The answer as it should have been")).to_have_value(
            "It costs 99 dollars, a round sum."
        )
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowRight")
        gone(page, third)
        on_screen(page)
        page.keyboard.press("ArrowLeft")
        expect(shown(page)).to_have_attribute("data-review", third)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        picture(page, "review-keys-light")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
        assert lane(served, third) == "waiting"


def test_keys_are_silent_while_typing_and_a_draft_comes_back(
    served: Server, browser: Browser
) -> None:
    emptied(served)
    name = corrected(served, THINGS[6])
    corrected(served, THINGS[7])
    with opened(browser) as tab:
        page = entered(served, tab, "rita", "/review")
        assert on_screen(page) == name
        page.get_by_role("searchbox").fill("")
        page.get_by_role("searchbox").type("area")
        assert on_screen(page) == name
        expect(page.get_by_role("heading", name="Why does it teach nothing?")).to_be_hidden()
        page.get_by_role("searchbox").press("Escape")
        page.keyboard.press("e")
        shown(page).get_by_label("The answer as it should have been").fill("So far I got")
        expect(shown(page).get_by_text("Your draft is kept")).to_be_visible()
        page.reload()
        box = shown(page).get_by_label("The answer as it should have been")
        expect(box).to_have_value("So far I got")
        # The connection is lost, more is typed, and the page is loaded again.
        page.evaluate("window.socket.disconnect()")
        box.fill("So far I got, and further")
        page.reload()
        expect(box).to_have_value("So far I got, and further")
        assert on_screen(page) == name
        wait_until(lambda: _draft(served, name) == "So far I got, and further")
        assert lane(served, name) == "waiting"
        page.goto(f"{served.url}/console/review?lane=draft")
        assert on_screen(page) == name


def test_two_reviewers_never_hold_the_same_and_a_late_decision_comes_back(
    served: Server, browser: Browser
) -> None:
    emptied(served)
    for thing in THINGS[8:14]:
        corrected(served, thing)
    with opened(browser) as rita, opened(browser) as ravi:
        pages = [
            entered(served, tab, name, "/review") for tab, name in ((rita, "rita"), (ravi, "ravi"))
        ]
        for page in pages:
            expect(page.locator(".heed-review")).to_have_count(2)
        held = [
            each.get_attribute("data-review")
            for page in pages
            for each in page.locator(".heed-review").all()
        ]
        assert len(set(held)) == 4
        # Somebody decides what Rita has, past her reservation; her text is not lost.
        late = on_screen(pages[0])
        with served.store.session(write=True) as session:
            item = session.exec(select(ReviewItem).where(ReviewItem.feedback_id == late)).one()
            item.reserved_by = item.reserved_until = None
            session.add(item)
            session.commit()
        body = {"feedback_id": late, "decision": "accept"}
        assert served.http.post("/v1/reviews", json=body).status_code == 200
        pages[0].keyboard.press("e")
        box = shown(pages[0]).get_by_label("The answer as it should have been")
        box.fill("Mine, which came late.")
        pages[0].keyboard.press("Control+Enter")
        expect(pages[0].get_by_text("The decision did not go through")).to_be_visible()
        expect(shown(pages[0])).to_have_attribute("data-review", late)
        expect(box).to_have_value("Mine, which came late.")
        assert lane(served, late) == "accepted"


def test_several_are_selected_and_decided_at_once(served: Server, browser: Browser) -> None:
    emptied(served)
    names = [corrected(served, thing) for thing in THINGS[14:18]]
    with opened(browser, viewport={"width": 1280, "height": 900}) as tab:
        page = entered(served, tab, "ravi", "/review?view=bulk")
        rows = page.locator(".heed-review-row")
        expect(rows).to_have_count(4)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("x")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("x")
        expect(page.get_by_text("2 selected")).to_be_visible()
        picture(page, "review-list-light")
        page.keyboard.press("a")
        expect(rows).to_have_count(2)
        assert sum(lane(served, name) == "accepted" for name in names) == 2
        page.keyboard.press("u")
        expect(rows).to_have_count(4)
        assert {lane(served, name) for name in names} == {"waiting"}
        page.get_by_label("All 4").check()
        page.keyboard.press("r")
        page.keyboard.press("2")
        expect(page.get_by_text("Everything is decided")).to_be_visible()
        picture(page, "review-empty-light")
        assert {lane(served, name) for name in names} == {"refused"}
        page.goto(f"{served.url}/console/review?lane=refused&q=drawer&view=bulk")
        expect(rows).to_have_count(1)
        page.get_by_role("button", name="Saved queues").click()
        page.get_by_label("Name").fill("Drawers")
        with page.expect_navigation():
            page.get_by_role("button", name="Save", exact=True).click()
        assert "Drawers" in _queues(served)
        page.goto(f"{served.url}/console/review")
        page.get_by_role("button", name="Saved queues").click()
        page.get_by_role("link", name="Drawers").click()
        expect(page.get_by_role("searchbox")).to_have_value("drawer")
        assert on_screen(page) == names[2]


def test_nothing_that_people_wrote_runs(served: Server, browser: Browser) -> None:
    emptied(served)
    with opened(browser) as tab:  # the page itself must hold, whatever is in the texts
        names = []
        for said in HOSTILE:
            asked = served.asked(said)
            fields = {"comment": said, "reasons": [said[:100]], "correction": f"{said} and more"}
            names.append(served.told(completion_id=asked, **fields))
            with served.store.session(write=True) as session:
                settings = served.parts.settings.feedback
                review_notes.comment(session, settings, names[-1], reviewer="ravi", text=said)
                review_notes.tag(session, names[-1], reviewer="ravi", add=[said[:100]])
                session.commit()
        page = entered(served, tab, "rita", "/review")
        on_screen(page)
        for each in names:
            page.goto(f"{served.url}/console/review?item={each}")
            assert on_screen(page) == each
            assert page.evaluate("window.ran") is None
        page.goto(f"{served.url}/console/review?view=bulk")
        expect(page.locator(".heed-review-row")).to_have_count(len(names))
        inside = ".heed-review, .heed-review-bulk"
        hostile = "script, img, iframe, svg, [onerror], [onload], a[href^='javascript']"
        assert page.locator(inside).locator(hostile).count() == 0
        assert page.evaluate("window.ran") is None


def test_a_viewer_is_shown_nothing_of_what_people_said_as_over_the_api(
    served: Server, browser: Browser
) -> None:
    emptied(served)
    name = corrected(served, "sofa", comment="Only reviewers may read this.")
    with opened(browser, silent=False) as tab:  # the browser complains of what is refused
        page = entered(served, tab, "vera", f"/review?item={name}")
        expect(page.get_by_text("Review is for the role reviewer")).to_be_visible()
        expect(page.get_by_role("link", name="Review", exact=True)).to_have_count(0)
        assert "Only reviewers may read this" not in page.content()
        status = page.evaluate("fetch('/v1/reviews/queue').then((answer) => answer.status)")
        assert status == 403


def test_near_duplicates_are_decided_once_and_the_next_item_is_there_at_once(
    served: Server, browser: Browser
) -> None:
    emptied(served)
    alike = [corrected(served, "sofa") for _ in range(3)]
    for thing in THINGS[:9]:
        corrected(served, thing, price=31)
    upkeep(served)
    size = {"width": 390, "height": 844}
    with opened(browser, viewport=size, color_scheme="dark") as tab:
        page = entered(served, tab, "ravi", f"/review?item={alike[0]}")
        expect(page.get_by_text("Decide all 3 that say nearly the same")).to_be_visible()
        picture(page, "review-focus-dark")
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0, "nothing is wider than the window"
        assert page.evaluate("document.querySelector('.heed-nav').scrollWidth - innerWidth") <= 0
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, a, input:not([type=hidden]), select, textarea')]"
            ".filter((each) => !(each.ariaLabel || each.textContent.trim() || "
            "each.labels?.[0]?.textContent.trim())).map((each) => each.outerHTML)"
        )
        assert unnamed == []
        page.keyboard.press("a")
        wait_until(lambda: {lane(served, name) for name in alike} == {"accepted"})
        page.evaluate(_MEASURE)
        for _ in range(6):
            expect(page.locator(".heed-review[hidden]:not([data-gone])")).to_have_count(1)
            here = on_screen(page)
            page.keyboard.press("a")
            gone(page, here)
            wait_until(partial(_is_accepted, served, here))
        times = page.evaluate("globalThis.times")
        assert len(times) == 6
        print(f"next item after {statistics.median(times):.1f} ms, at most {max(times):.1f} ms")
        page.goto(f"{served.url}/console/review?view=bulk")
        expect(page.locator(".heed-review-row").first).to_be_visible()
        picture(page, "review-list-dark")
        assert page.evaluate(overflow) <= 0


def upkeep(server: Server) -> None:
    """Bring the queue in order, as happens beside everything else."""
    ReviewUpkeep(server.store).look()


def _draft(server: Server, feedback_id: str) -> str | None:
    with server.store.session() as session:
        query = select(ReviewDraft.correction).where(ReviewDraft.feedback_id == feedback_id)
        return session.exec(query).first()


def _queues(server: Server) -> list[str]:
    with server.store.session() as session:
        return list(session.exec(select(ReviewQueue.name)))


def _is_accepted(server: Server, feedback_id: str) -> bool:
    return lane(server, feedback_id) == "accepted"
