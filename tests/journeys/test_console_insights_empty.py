"""Insights in a real browser where nobody has said anything: what every part says to do next."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from feedback.settings import FeedbackSettings
from serving.engines.echo import EchoEngine
from tests.journeys.browser import Tab
from tests.journeys.test_console_insights import FIRST, PARTS, WIDER, picture, visit
from tests.serving.conftest import Server, running


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with a console that is open to this machine, and no feedback."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("empty"))
    with running(folder, EchoEngine(), roles=("api", "console")) as server:
        yield server


def test_empty_parts_say_what_to_do_next(empty: Server, tab: Tab) -> None:
    for part, (_, nothing) in PARTS.items():
        visit(empty, tab.page, part)
        expect(tab.page.get_by_text(nothing).first).to_be_visible(timeout=FIRST)
        expect(tab.page.locator(".heed-skeleton:visible")).to_have_count(0)
        picture(tab.page, f"empty-{part}")
        assert tab.page.evaluate(WIDER) <= 0
