"""Pictures of every page of the console.

    python -m tests.journeys.screenshots OUT [--data FOLDER] [--docs]

Serves a small furnished Heed, or a copy of the folder that `heed demo --exit` left, signs in as an
admin, and writes a PNG of each registered page at the width of a desk and of a phone, in the light
and in the dark. A page is taken as it is first seen, without scrolling. `--docs` takes those that the
README and the documentation show instead, as small as they get.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from feedback.settings import FeedbackSettings
from serving import staffing
from serving.engines.base import Engine
from serving.review_upkeep import ReviewUpkeep
from tests.journeys.browser import chromium, opened
from tests.journeys.console_world import ADMIN, addresses, furnish
from tests.journeys.shown import keep, pictures
from tests.serving.conftest import PASSWORD, Server, running

SIZES = {"desk": (1280, 800), "phone": (390, 844)}
SCHEMES = ("light", "dark")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.journeys.screenshots"
    )
    parser.add_argument("out", type=Path, help="the folder to write them into")
    parser.add_argument("--data", type=Path, help="a data folder of `heed demo`; it stays as it is")
    parser.add_argument(
        "--docs", action="store_true", help="what README and docs show; with --data"
    )
    asked = parser.parse_args()
    if asked.docs and not asked.data:
        parser.error("--docs shows what `heed demo` taught: name its folder with --data.")
    asked.out.mkdir(parents=True, exist_ok=True)
    out = asked.out.resolve()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        if asked.data:
            shutil.copytree(asked.data, folder)
        settings = FeedbackSettings(data_dir=folder.resolve())
        engine = _starter() if asked.data else None
        server = stack.enter_context(running(settings, engine, roles=("api", "console")))
        if asked.data:
            _admin(server)
            ReviewUpkeep(server.store).look()  # what a scheduler does; none runs here
        else:
            furnish(server)
        browser = stack.enter_context(chromium())
        for scheme in SCHEMES:
            for size, (width, height) in SIZES.items():
                looks: dict[str, Any] = {
                    "viewport": {"width": width, "height": height},
                    "color_scheme": scheme,
                    "reduced_motion": "reduce",
                    "device_scale_factor": 2 if size == "phone" else 1,
                }
                with opened(browser, silent=False, **looks) as tab:
                    if asked.docs:
                        _documented(tab.page, server, out, size, scheme)
                    else:
                        _all(tab.page, server, out, f"{size}-{scheme}")


def _all(page: Page, server: Server, out: Path, suffix: str) -> None:
    _sign_in(page, server, lambda: _picture(page, out / f"sign-in-{suffix}.png"))
    for path, found in addresses(server).items():
        _open(page, server, path)
        name = found.path.strip("/").replace("/", "-").replace("{", "").replace("}", "") or "chat"
        _picture(page, out / f"{name}-{suffix}.png")


def _documented(page: Page, server: Server, out: Path, size: str, scheme: str) -> None:
    wanted = list(pictures(size, scheme))
    if not wanted:
        return
    _sign_in(page, server)
    server.http.headers.update(server.key("reviewer")[1])
    for each in wanted:
        _open(page, server, each.address(server.http))
        if each.before:
            each.before(page)
        keep(_picture(page, out / f"{each.name}.png"))


def _sign_in(page: Page, server: Server, seen: Callable[[], object] = lambda: None) -> None:
    page.goto(f"{server.url}/console/sign-in")
    seen()
    page.get_by_label("Name").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/")


def _open(page: Page, server: Server, path: str) -> None:
    page.goto(f"{server.url}/console{path}")
    page.wait_for_function("window.socket && window.socket.connected && window.did_handshake")
    expect(page.locator(".heed-skeleton:visible")).to_have_count(0, timeout=30_000)
    page.evaluate("document.fonts.ready")


def _picture(page: Page, path: Path) -> Path:
    page.screenshot(path=path, animations="disabled")
    print(path)
    return path


def _admin(server: Server) -> None:
    with server.store.session(write=True) as session:
        staffing.add(session, actor="cli", name=ADMIN, role="admin", password=PASSWORD)
        session.commit()
    server.parts.keys._read_at = -1.0


def _starter() -> Engine:
    from serving.engines.local import LocalEngine

    return LocalEngine("starter", threads=1)


if __name__ == "__main__":
    main()
