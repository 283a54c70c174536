"""An admin chooses when rounds are due, sees the dates before and after, and goes back."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from feedback.settings import FeedbackSettings
from tests.journeys.browser import opened
from tests.journeys.test_console_accessible import settled, sign_in
from tests.serving.conftest import Server, running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with an admin."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("console"))
    with running(folder, roles=("api", "console")) as server:
        server.account("admin", "vera")
        yield server


def in_force(page: Page) -> list[str]:
    """The dates of the schedule that holds."""
    return page.locator("section", has_text="In force").locator("ol li").all_inner_texts()


def test_a_schedule_is_tried_chosen_and_taken_back(served: Server, browser: Browser) -> None:
    with opened(browser) as tab:
        page = tab.page
        sign_in(page, served, "vera")
        page.goto(f"{served.url}/console/settings/schedule")
        settled(page)
        weekly = in_force(page)
        assert len(weekly) == 5 and all(each.startswith("Mon") for each in weekly)

        page.get_by_label("Cron").fill("nonsense")
        page.get_by_role("button", name="What does it mean?").click()
        expect(page.get_by_text("Write five cron fields")).to_be_visible()
        expect(page.get_by_role("button", name="Use this schedule")).to_have_count(0)

        page.get_by_label("Cron").fill("30 7 * * 5")
        page.get_by_label("Time zone").fill("Europe/Berlin")
        page.keyboard.press("Enter")
        expect(page.get_by_text("At 07:30, only on Friday.")).to_be_visible()
        page.get_by_role("button", name="Use this schedule").click()
        expect(page.get_by_text("chosen here by vera")).to_be_visible()
        settled(page)
        fridays = in_force(page)
        assert len(fridays) == 5
        assert all(each.startswith("Fri") and "07:30 CE" in each for each in fridays)
        assert served.http.get("/v1/schedule", headers=served.key("admin")[1]).json()["chosen"]

        page.goto(f"{served.url}/console/rounds")
        settled(page)
        expect(page.get_by_text("07:30 CE").first).to_be_visible()

        page.goto(f"{served.url}/console/settings/schedule")
        page.get_by_role("button", name="Back to the settings").click()
        expect(page.get_by_text("chosen here by vera")).to_have_count(0)
        settled(page)
        assert in_force(page) == weekly
