"""The widget in a real browser: voting, explaining and correcting, with a mouse and with keys alone."""

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.journeys.browser import Tab, opened
from tests.journeys.widget_page import ANSWER, button, kept, shown, standing, status
from tests.serving.conftest import Server, wait_until


def test_a_vote_is_taken_changed_and_taken_back(served: Server, tab: Tab) -> None:
    completion = shown(served, tab.page)
    up, down = button(tab.page, "Good answer"), button(tab.page, "Bad answer")
    expect(up).to_have_attribute("aria-pressed", "false")
    up.click()
    expect(status(tab.page)).to_have_text("Thank you, this counts.")
    expect(up).to_have_attribute("aria-pressed", "true")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(up).to_have_attribute("aria-pressed", "false")
    wait_until(lambda: [row.rating for row in kept(served, completion)] == [1.0, 0.0])
    button(tab.page, "Undo").click()
    expect(status(tab.page)).to_have_text("Taken back.")
    expect(down).to_have_attribute("aria-pressed", "false")
    assert standing(served, completion) == [], "or the vote before would be in force again"
    assert served.exchange(completion).person_id == kept(served, completion)[0].person_id


def test_hurried_votes_end_with_the_last(served: Server, tab: Tab) -> None:
    completion = shown(served, tab.page)
    asked: list[Request] = []
    tab.page.on("request", lambda each: asked.append(each) if each.method == "POST" else None)
    for name in ["Good answer", "Bad answer"] * 5:
        button(tab.page, name).click(no_wait_after=True)
    expect(status(tab.page)).to_have_text("Thank you, this counts.")
    assert kept(served, completion)[-1].rating == 0.0
    assert len(asked) == len(kept(served, completion)) <= 10


def test_reasons_a_remark_and_a_correction_go_together(served: Server, tab: Tab) -> None:
    page, completion = tab.page, shown(served, tab.page)
    button(page, "Bad answer").click()
    button(page, "Out of date").click()
    expect(button(page, "Out of date")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Anything else?").fill("It went up.")
    button(page, "Suggest a better answer").click()
    box = page.get_by_label("The answer as it should have been")
    expect(box).to_be_focused()
    expect(box).to_have_value(ANSWER)
    box.fill(ANSWER.replace("49", "59").replace("blue", "blue or green"))
    changes = page.get_by_role("group", name="Your changes")
    expect(changes.locator("del")).to_have_text(["49"])
    expect(changes.locator("ins")).to_have_text(["59", " or green"])
    button(page, "Send").click()
    expect(status(page)).to_have_text("Thank you, somebody will look at it.")
    expect(button(page, "Suggest a better answer")).to_be_focused()
    vote, details = kept(served, completion)
    assert vote.body == {"rating": "down"}
    assert details.body == {
        "reasons": ["Out of date"],
        "comment": "It went up.",
        "correction": "The aurora lamp costs 59 dollars and comes in blue or green.",
    }


def test_a_new_correction_takes_the_place_of_the_one_before_and_keeps_the_reasons(
    served: Server, tab: Tab
) -> None:
    page, completion = tab.page, shown(served, tab.page)
    button(page, "Bad answer").click()
    button(page, "Wrong").click()
    button(page, "Send").click()
    expect(status(page)).to_have_text("Thank you, somebody will look at it.")
    button(page, "Suggest a better answer").click()
    page.get_by_label("The answer as it should have been").fill("59 dollars.")
    button(page, "Send").click()
    wait_until(
        lambda: len(standing(served, completion)) == 2 and len(kept(served, completion)) == 3
    )
    assert standing(served, completion)[-1].body == {
        "reasons": ["Wrong"],
        "correction": "59 dollars.",
    }
    button(page, "Good answer").click()
    wait_until(lambda: [row.body for row in standing(served, completion)][-1] == {"rating": "up"})
    wait_until(
        lambda: all("reasons" not in row.body for row in standing(served, completion))
    )  # they explained the vote that is gone


def test_stars_take_the_place_of_thumbs(served: Server, tab: Tab) -> None:
    completion = shown(served, tab.page, "stars")
    expect(tab.page.get_by_role("radiogroup", name="Was this answer helpful?")).to_be_visible()
    expect(button(tab.page, "Good answer")).to_have_count(0)
    tab.page.get_by_role("radio", name="4 stars").check()
    expect(status(tab.page)).to_have_text("Thank you, this counts.")
    expect(tab.page.get_by_text("What was wrong?")).to_be_hidden()
    tab.page.get_by_role("radio", name="1 star").check()
    expect(tab.page.get_by_text("What was wrong?")).to_be_visible()
    wait_until(lambda: len(kept(served, completion)) == 2)
    assert [row.body for row in kept(served, completion)] == [
        {"rating": 4.0, "scale": 5},
        {"rating": 1.0, "scale": 5},
    ]


def test_everything_can_be_done_with_the_keyboard(served: Server, tab: Tab) -> None:
    page, completion = tab.page, shown(served, tab.page)
    page.get_by_role("link", name="before").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(button(page, "Bad answer")).to_be_focused()
    outline = button(page, "Bad answer").evaluate("each => getComputedStyle(each).outlineStyle")
    assert outline == "solid", "where the focus is must be seen"
    page.keyboard.press("Space")
    expect(status(page)).to_have_text("Thank you, this counts.")
    page.keyboard.press("Tab")
    expect(button(page, "Suggest a better answer")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("The answer as it should have been")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("59 dollars.")
    page.keyboard.press("Tab")
    expect(button(page, "Send")).to_be_focused()
    page.keyboard.press("Enter")
    expect(status(page)).to_have_text("Thank you, somebody will look at it.")
    assert kept(served, completion)[-1].body == {"correction": "59 dollars."}
    button(page, "Suggest a better answer").press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_label("The answer as it should have been")).to_be_hidden()
    expect(button(page, "Suggest a better answer")).to_be_focused()
    expect(button(page, "Suggest a better answer")).to_have_attribute("aria-expanded", "false")
    button(page, "Undo").press("Enter")
    expect(status(page)).to_have_text("Taken back.")
    expect(button(page, "Good answer")).to_be_focused()
    assert standing(served, completion) == []


def test_stars_are_chosen_with_the_arrows(served: Server, tab: Tab) -> None:
    completion = shown(served, tab.page, "stars")
    tab.page.get_by_role("link", name="before").focus()
    tab.page.keyboard.press("Tab")
    for _ in range(2):
        tab.page.keyboard.press("ArrowRight")
    expect(tab.page.get_by_role("radio", name="3 stars")).to_be_checked()
    wait_until(lambda: [row.rating for row in kept(served, completion)][-1:] == [0.5])


def test_reasons_are_the_pages_own(served: Server, tab: Tab) -> None:
    shown(served, tab.page, 'reasons="too dear, sold out"')
    button(tab.page, "Bad answer").click()
    marks = tab.page.get_by_role("group", name="What was wrong?").get_by_role("button")
    expect(marks).to_have_text(["too dear", "sold out"])


def test_markup_in_an_answer_stays_text(served: Server, tab: Tab) -> None:
    said = '<img src=x onerror="document.title=1"> costs <b>49</b> dollars'
    completion = shown(served, tab.page, said=said)
    button(tab.page, "Suggest a better answer").click()
    box = tab.page.get_by_label("The answer as it should have been")
    expect(box).to_have_value(said)
    better = said.replace("49", "<i>59</i>")
    box.fill(better)
    changes = tab.page.get_by_role("group", name="Your changes")
    expect(changes.locator("img, b, i, script")).to_have_count(0)
    shown_text = "".join(
        changes.evaluate(
            "it => [...it.childNodes].filter((n) => n.nodeName !== 'DEL').map((n) => n.textContent)"
        )
    )
    assert shown_text == better
    button(tab.page, "Send").click()
    wait_until(lambda: [row.correction for row in kept(served, completion)] == [better])
    assert tab.page.title() == "Shop"


def test_a_long_answer_is_compared_while_it_is_typed(served: Server, tab: Tab) -> None:
    words = [f"word{number}" for number in range(4000)]
    shown(served, tab.page, said=" ".join(words))
    button(tab.page, "Suggest a better answer").click()
    box = tab.page.get_by_label("The answer as it should have been")
    seconds = []
    for change in ({3000: "NEW"}, dict.fromkeys(range(0, 4000, 2), "other")):
        changed = [change.get(number, word) for number, word in enumerate(words)]
        took = box.evaluate(
            "(it, text) => { it.value = text; const began = performance.now();"
            " it.dispatchEvent(new Event('input')); return performance.now() - began }",
            " ".join(changed),
        )
        seconds.append(took / 1000)
        kept_words = tab.page.get_by_role("group", name="Your changes").evaluate(
            "it => [...it.childNodes].filter((n) => n.nodeName !== 'DEL')"
            ".map((n) => n.textContent).join('')"
        )
        assert kept_words == " ".join(changed)
    assert max(seconds) < 1.0, seconds


@pytest.mark.parametrize(("wish", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_who_prefers_it_so(
    served: Server, browser: Browser, wish: str, moves: bool
) -> None:
    with opened(browser, reduced_motion=wish) as tab:
        shown(served, tab.page)
        took = button(tab.page, "Good answer").evaluate(
            "each => getComputedStyle(each).transitionDuration"
        )
        assert (took != "0s") == moves


def test_the_page_chooses_colours_and_words(served: Server, tab: Tab) -> None:
    page = tab.page
    shown(served, page)
    page.evaluate(
        """() => {
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(`heed-feedback { --heed-good: rgb(1, 2, 3); --heed-radius: 7px }
            heed-feedback::part(edit) { letter-spacing: 5px }`);
          document.adoptedStyleSheets = [sheet];
          Object.assign(customElements.get("heed-feedback").texts, { up: "Gut" });
          const { parentElement } = document.querySelector("heed-feedback");
          parentElement.append(document.querySelector("heed-feedback"));
        }"""
    )
    button(page, "Gut").click()
    expect(button(page, "Gut")).to_have_css("color", "rgb(1, 2, 3)")
    expect(button(page, "Gut")).to_have_css("border-radius", "7px")
    expect(button(page, "Suggest a better answer")).to_have_css("letter-spacing", "5px")
