"""Real servers that the clients of other people talk to: the whole application, a real engine."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from feedback.settings import FeedbackSettings
from serving.engines.local import LocalEngine
from tests.journeys.browser import Tab, chromium, opened
from tests.serving.conftest import Server, running
from tests.serving.engines import tiny


@pytest.fixture(scope="package")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with the bundled starter model, nothing learned yet and no key made."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("starter"))
    with running(folder, LocalEngine("starter", threads=1)) as served:
        yield served


@pytest.fixture(scope="package")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with a random model whose template writes calls of tools as Qwen's does."""
    folder = tmp_path_factory.mktemp("calling")
    base = tiny.build_base(
        folder / "base",
        context_tokens=4096,
        template=tiny.CALLING_TEMPLATE,
        added=("<tool_call>", "</tool_call>"),
    )
    with running(FeedbackSettings(data_dir=folder), LocalEngine(str(base), threads=1)) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser, or the test is skipped."""
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A page that must complain of nothing."""
    with opened(browser) as made:
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with the engine that repeats people, for what people see in the browser."""
    with running(FeedbackSettings(data_dir=tmp_path_factory.mktemp("served"))) as server:
        yield server
