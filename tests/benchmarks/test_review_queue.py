"""The benchmark of the review queue, a slice of it: that it reviews, and that it counts every time."""

import pytest
from playwright.sync_api import sync_playwright

from benchmarks import review_queue
from tests.journeys.browser import WHAT_TO_INSTALL, found


@pytest.fixture(autouse=True)
def _needs_a_browser() -> None:
    with sync_playwright() as playwright:
        if found(playwright) is None:
            pytest.skip(WHAT_TO_INSTALL)


def test_a_slice_of_the_queue_is_reviewed_by_functions_over_http_and_in_a_browser(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured = review_queue.measure(items=200, decisions=5, visits=1, quiet=True)
    by_functions, page = measured["functions"], measured["console"]
    assert by_functions["seconds"]["decide"]["times"] == 6  # one was undone, and decided again
    over_http = measured["http"]["seconds"]
    assert {name: each["times"] for name, each in over_http.items()} == {
        "first item": 1,
        "decide": 5,
        "next": 5,
        "decide and next": 5,
    }
    assert over_http["decide and next"]["p50_seconds"] > over_http["next"]["p50_seconds"] > 0
    assert {name: each["times"] for name, each in page["seconds"].items()} == {
        "first item, nothing cached": 1,
        "first item": 1,
        "next item shown": 5,
        "the one after it is ready": 5,
        "next item shown, in a hurry": 1,
        "server: decide": 5,
        "server: next": 5,
        "server: decide and next": 5,
    }
    for each in page["seconds"].values():
        assert 0 < each["p50_seconds"] <= each["p95_seconds"] <= each["most_seconds"] < 60
    both, shown = (
        page["seconds"][name]["p50_seconds"]
        for name in ("server: decide and next", "the one after it is ready")
    )
    assert both < shown, "the page waits for what the server does, and longer"
    assert [len(page[name]) for name in ("server_mib", "page_heap_mib", "page_nodes")] == [6] * 3
    assert all(10 < held < 2000 for held in page["server_mib"])
    review_queue.show(measured)
    printed = capsys.readouterr().out
    assert "200 items in the queue" in printed
    assert "next item shown" in printed and "midway" in printed
