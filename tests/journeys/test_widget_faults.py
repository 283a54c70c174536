"""The widget in a real browser: what fails, what comes late, what it notices, and the demo page."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from feedback.settings import FeedbackSettings
from tests.builders import feedback_of, receipt_of
from tests.journeys.browser import Tab, opened
from tests.journeys.widget_page import button, kept, looked, place, shown, signals, status
from tests.serving.conftest import Server, running, wait_until
from tests.serving.test_tokens import token

VOTES = "**/v1/feedback"


def test_what_did_not_arrive_is_said_and_sent_again_as_the_same_event(
    served: Server, browser: Browser
) -> None:
    with opened(browser, silent=False) as tab:  # the browser itself reports what failed
        page, completion = tab.page, shown(served, tab.page)
        faults = ["nothing", "answer lost", "server"]

        def fail(route: Route) -> None:
            fault = faults.pop(0)
            if fault == "server":
                route.fulfill(status=503, json={"error": {"message": "Later."}})
                return
            if fault == "answer lost":
                route.fetch()
            route.abort()

        page.route(VOTES, fail, times=len(faults))
        button(page, "Good answer").click()
        for _ in range(3):
            expect(status(page)).to_have_text("That did not reach us.")
            expect(button(page, "Good answer")).to_have_attribute("aria-pressed", "true")
            expect(button(page, "Undo")).to_be_hidden()
            button(page, "Try again").click()
        expect(status(page)).to_have_text("Thank you, this counts.")
        expect(button(page, "Try again")).to_be_hidden()
        assert [row.rating for row in kept(served, completion)] == [1.0]


def test_what_is_refused_is_said_and_not_shown_as_done(served: Server, browser: Browser) -> None:
    with opened(browser, silent=False) as tab:
        page, completion = tab.page, shown(served, tab.page)
        button(page, "Good answer").click()
        expect(status(page)).to_have_text("Thank you, this counts.")
        with served.store.session(write=True) as session:
            found = receipt_of(served.store, kept(served, completion)[0].id)
            found.status, found.reason = "used", "Learned."
            session.add(found)
            session.commit()
        button(page, "Undo").click()
        expect(status(page)).to_contain_text("That was not taken: Round")
        expect(button(page, "Good answer")).to_have_attribute("aria-pressed", "true")
        expect(button(page, "Try again")).to_be_hidden()


def test_an_old_token_is_said_and_a_new_one_sends_what_waits(
    served: Server, browser: Browser
) -> None:
    with opened(browser, silent=False) as tab:
        page = tab.page
        completion = served.asked()
        good = token(served, completion)
        place(page, served.url, completion, f"{good[:-8]}AAAAAAAA")
        button(page, "Good answer").click()
        expect(status(page)).to_have_text("This page is too old; reload it.")
        page.locator("heed-feedback").evaluate(
            "(it, token) => it.setAttribute('token', token)", good
        )
        expect(status(page)).to_have_text("Thank you, this counts.")
        assert [row.rating for row in kept(served, completion)] == [1.0]


def test_a_page_that_is_loaded_again_shows_the_vote_and_what_became_of_it(
    served: Server, tab: Tab
) -> None:
    page, completion = tab.page, shown(served, tab.page)
    button(page, "Good answer").click()
    expect(status(page)).to_have_text("Thank you, this counts.")
    [vote] = kept(served, completion)
    with served.store.session(write=True) as session:
        found = receipt_of(served.store, vote.id)
        found.status, found.reason = "held_out", "Kept."
        session.add(found)
        session.commit()
    page.reload()
    expect(button(page, "Good answer")).to_have_attribute("aria-pressed", "true")
    expect(status(page)).to_have_text("Kept to judge the chatbot by.")


def test_only_what_the_token_allows_is_shown(served: Server, tab: Tab) -> None:
    shown(served, tab.page, kinds=["rating", "comment"])
    button(tab.page, "Bad answer").click()
    expect(tab.page.get_by_label("Anything else?")).to_be_visible()
    expect(button(tab.page, "Wrong")).to_be_hidden()
    expect(button(tab.page, "Suggest a better answer")).to_be_hidden()


def test_signals_are_sent_when_the_page_is_left(served: Server, tab: Tab) -> None:
    tab.page.clock.install()
    page, completion = tab.page, shown(served, tab.page)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#answer'))")
    page.keyboard.press("Control+C")
    looked(page)
    page.clock.fast_forward(12_300)
    page.mouse.move(10, 10)
    page.clock.fast_forward(3_600_000)  # gone for an hour, of which a minute counts
    page.goto("about:blank")
    wait_until(lambda: signals(served, completion).keys() >= {"copy", "dwell", "view"})
    found = signals(served, completion)
    assert (found["copy"], found["view"]) == (1.0, 1.0)
    assert found["dwell"] == pytest.approx(72, abs=5)


def test_what_is_noticed_is_sent_when_the_tab_is_hidden_and_no_time_counts_then(
    served: Server, tab: Tab
) -> None:
    tab.page.clock.install()
    page, _ = tab.page, shown(served, tab.page)
    page.evaluate("() => { navigator.sendBeacon = (_, body) => (window.sent ??= []).push(body) }")
    turn = (
        "is => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => is });"
        " document.dispatchEvent(new Event('visibilitychange')) }"
    )
    looked(page)
    page.clock.fast_forward(20_000)
    for hidden, seconds in ((True, 40), (False, 10), (True, 0)):
        page.evaluate(turn, hidden)
        page.clock.fast_forward(1000 * seconds)
    first, second = [json.loads(body)["signals"] for body in page.evaluate("window.sent")]
    assert first == {"dwell": pytest.approx(20, abs=3), "view": 1}
    assert second == {"dwell": pytest.approx(30, abs=5)}


def test_an_answer_that_was_never_on_the_screen_was_not_seen(served: Server, tab: Tab) -> None:
    page, far = tab.page, "line\n"
    unseen = shown(served, page, said=far, above=200)
    button(page, "Good answer").evaluate("it => it.click()")  # a real one would scroll there
    expect(status(page)).to_have_text("Thank you, this counts.")
    seen = shown(served, page, said=far, above=200)
    page.locator("#answer").scroll_into_view_if_needed()
    looked(page)
    page.goto("about:blank")
    wait_until(lambda: "view" in signals(served, seen))
    assert signals(served, unseen) == {}  # it would have come before the other's


def test_a_correction_as_long_as_heed_keeps_is_sent_whole(served: Server, tab: Tab) -> None:
    page, completion = tab.page, shown(served, tab.page)
    long = "word " * 13_100
    button(page, "Suggest a better answer").click()
    page.get_by_label("The answer as it should have been").fill(long)
    button(page, "Send").click()
    expect(status(page)).to_have_text("Thank you, somebody will look at it.")
    assert kept(served, completion)[0].correction == long.strip()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_demo_page_shows_it_all(served: Server, browser: Browser, scheme: str) -> None:
    with opened(browser, color_scheme=scheme) as tab:
        page = tab.page
        page.goto(f"{served.url}/widget/demo")
        page.get_by_label("Your question").fill("hello there")
        button(page, "Ask").click()
        expect(page.locator("#answer")).to_have_text("hello there")
        button(page, "Good answer").click()
        taken = page.locator("#taken li")
        expect(taken).to_have_text(re.compile(r'\{"rating":"up"\} waiting: .* fbk_'))
        name = re.search(r"fbk_\w+", taken.inner_text())
        assert name and feedback_of(served.store, name[0]).rating == 1.0
        button(page, "Undo").click()
        expect(taken.last).to_have_text("taken back")


def test_the_demo_page_asks_for_a_key_once_there_is_one(browser: Browser, tmp_path: Path) -> None:
    with running(FeedbackSettings(data_dir=tmp_path / "keyed")) as server:
        _, headers = server.key("client")
        with opened(browser, silent=False) as tab:  # the browser reports the 401
            page = tab.page
            page.goto(f"{server.url}/widget/demo")
            button(page, "Ask").click()
            expect(page.get_by_role("alert")).to_contain_text("heed keys create")
            page.get_by_label("This Heed wants an API key").fill(headers["Authorization"][7:])
            button(page, "Ask").click()
            button(page, "Good answer").click()
            expect(status(page)).to_have_text("Thank you, this counts.")


def test_an_element_that_comes_to_stand_at_another_answer_begins_anew(
    served: Server, tab: Tab
) -> None:
    page, first = tab.page, shown(served, tab.page)
    button(page, "Bad answer").click()
    expect(status(page)).to_have_text("Thank you, this counts.")
    looked(page)
    second = served.asked("another")
    page.locator("heed-feedback").evaluate(
        "(it, [completion, token]) => { it.setAttribute('completion', completion);"
        " it.setAttribute('token', token) }",
        [second, token(served, second)],
    )
    expect(button(page, "Bad answer")).to_have_attribute("aria-pressed", "false")
    expect(status(page)).to_have_text("")
    wait_until(lambda: "view" in signals(served, first))
    button(page, "Good answer").click()
    expect(status(page)).to_have_text("Thank you, this counts.")
    assert [row.rating for row in kept(served, first)] == [0.0]
    assert [row.rating for row in kept(served, second)] == [1.0]
