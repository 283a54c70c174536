"""Events that nobody's page sent: recorded from an admin's, replayed by others, or sent after a fall.

The console hides what somebody may not do; these tests go past what is hidden, over the socket.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from nicegui import Client, background_tasks
from playwright.sync_api import Browser, Page, expect
from sqlmodel import SQLModel, select

from feedback.review_models import ReviewAction, ReviewItem
from feedback.settings import FeedbackSettings
from serving import accounts
from serving.auth import RANKS, AccountRole
from serving.models import Account, ApiKey
from tests.journeys.browser import opened
from tests.journeys.console_world import ADMIN, addresses, furnish
from tests.serving.conftest import PASSWORD, Server, running, wait_until

SEND = """(sent) => sent.forEach(([name, body]) => window.socket.emit(name, body))"""
MOVING = {"consolesession", "replicastate", "reviewitem"}
"""Tables that a look at a page changes: sessions are renewed, what is looked at is reserved."""
STAY = "window.open = history.go = () => {}"
"""What leads elsewhere must not end the page before all of it was tried."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with something on every page, where another role is known at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.auth.REFRESH_SECONDS", 0.0)
        patch.setattr("serving.sessions.REFRESH_SECONDS", 0.0)
        folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("console"))
        with running(folder, roles=("api", "console")) as server:
            furnish(server)
            yield server


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The elements of which a forged event reached a page's reader, in order."""
    seen: list[str] = []
    real = Client.handle_event

    def counted(self: Client, message: dict[str, Any]) -> None:
        try:
            real(self, message)
        finally:
            if "forged" in message:
                seen.append(str(message.get("id")))

    monkeypatch.setattr(Client, "handle_event", counted)
    return seen


def sign_in(page: Page, server: Server, name: str, path: str) -> Page:
    """Sign in and open a page."""
    page.goto(f"{server.url}/console{path}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    ready(page)
    return page


def ready(page: Page) -> None:
    """Wait until a page is whole and has its socket."""
    page.wait_for_function("window.socket && window.socket.connected && window.did_handshake")
    expect(page.locator(".heed-skeleton:visible")).to_have_count(0)


def keys(server: Server) -> int:
    """How many keys there are."""
    with server.store.session() as session:
        return len(session.exec(select(ApiKey)).all())


def decisions(server: Server) -> int:
    """How many there were; one that was undone at once stays on record."""
    with server.store.session() as session:
        return len(session.exec(select(ReviewAction)).all())


def events(frames: list[str]) -> list[list[Any]]:
    """The events among what a socket sent: their name and body."""
    found = [json.loads(each[2:]) for each in frames if each.startswith("42[")]
    return [each for each in found if each[0] == "event"]


def client_id(page: Page) -> str:
    """What NiceGUI calls this one page."""
    return str(page.evaluate("window.clientId"))


def give(server: Server, name: str, role: AccountRole) -> None:
    """Give an account another role, as from another process."""
    with server.store.session(write=True) as session:
        row = accounts.named(session, name)
        row.role = role  # past the rule that an admin must be left
        session.add(row)
        session.commit()


def contents(server: Server) -> dict[str, list[str]]:
    """Every row that an action could change, the audit log's too; of accounts not the role."""
    found = {}
    with server.store.session() as session:
        for table in SQLModel.metadata.sorted_tables:
            if table.name in MOVING:
                continue
            hidden = {"role"} if table.name == str(Account.__tablename__) else set()
            kept = [column for column in table.columns if column.name not in hidden]
            rows = session.execute(select(*kept)).all()
            found[table.name] = sorted(map(str, rows))
        lanes = session.exec(select(ReviewItem.feedback_id, ReviewItem.lane)).all()
        found["lanes"] = sorted(map(str, lanes))
    return found


def everything_on(page: Page) -> tuple[list[Any], list[Any]]:
    """An event for every listener of every part of a page: presses, and all others.

    The others tell nothing, and so empty the fields; presses have to come before.
    """
    client = Client.instances[client_id(page)]
    presses: list[Any] = []
    others: list[Any] = []
    for each in list(client.elements.values()):
        for name, listener in each._event_listeners.items():
            for said in told(page, listener.type):
                body = {"id": each.id, "client_id": client.id, "listener_id": name, "forged": True}
                group = others if said is None and listener.type != "click" else presses
                group.append(["event", {**body, "args": [json.dumps(said)]}])
    return presses, others


def told(page: Page, kind: str) -> list[Any]:
    """What events of a kind could tell: of most nothing, of the review page everything it knows."""
    if kind != "heedReview":  # as NiceGUI spells `heed-review`
        return [None]
    name = page.locator(".heed-review:not([hidden])").get_attribute("data-review")
    decisions = [
        {"what": "decide", "id": name, "decision": each, "text": "forged", "reason": "forged"}
        for each in ("accept", "refuse", "edit", "reopen")
    ]
    on_item = [
        {"what": what, "id": name, "text": "forged"}
        for what in ("draft", "discard", "claim", "undo-this", "tag", "untag", "comment", "skip")
    ]
    together = {"what": "together", "ids": [name], "decision": "accept", "reason": ""}
    return [*decisions, *on_item, together, {"what": "undo"}, {"what": "back"}]


def acting() -> list[str]:
    """The handlers that are still at work; what else a page runs goes on for ever."""
    names = [task.get_name() for task in list(background_tasks.running_tasks)]
    return [name for name in names if "Desk.act" in name or "_heard" in name]


def replayed(page: Page, forged: list[list[Any]], handled: list[str]) -> None:
    """Send events over a page's own socket, until all were read and nothing of them goes on."""
    count = len(handled)
    page.evaluate(STAY)
    page.evaluate(SEND, forged)
    wait_until(lambda: len(handled) >= count + len(forged))
    wait_until(lambda: not acting())


def test_a_recorded_press_of_an_admin_does_nothing_for_a_viewer(
    furnished: Server, browser: Browser, handled: list[str]
) -> None:
    frames: list[str] = []
    with opened(browser, silent=False) as tab, opened(browser, silent=False) as other:
        admin, viewer = tab.page, other.page
        admin.on("websocket", lambda ws: ws.on("framesent", lambda said: frames.append(str(said))))
        sign_in(admin, furnished, ADMIN, "/settings/keys")
        sign_in(viewer, furnished, "Vera", "/settings")
        before = keys(furnished)
        admin.get_by_label("Whose it is").fill("made by hand")
        admin.get_by_role("button", name="Make a key").click()
        expect(admin.get_by_text("It is shown this once")).to_be_visible()
        assert keys(furnished) == before + 1
        expect(admin.get_by_label("Whose it is")).to_have_value("")
        typed, pressed = events(frames)[-2:]
        assert pressed[1]["client_id"] == client_id(admin)

        admin.evaluate(SEND, [typed, pressed])  # what is replayed is what makes a key
        wait_until(lambda: keys(furnished) == before + 2)

        count = len(handled)
        theirs = client_id(viewer)
        handshake = {
            "client_id": client_id(admin),
            "document_id": "made up",
            "tab_id": admin.evaluate("sessionStorage.__nicegui_tab_id"),
            "old_tab_id": None,
            "next_message_id": 0,
        }
        pressed[1]["forged"] = True
        own = [pressed[0], {**pressed[1], "client_id": theirs}]
        viewer.evaluate(SEND, [pressed, ["handshake", handshake], pressed, own])
        wait_until(lambda: len(handled) > count)  # its own page is asked last, and has no such part
        assert keys(furnished) == before + 2
        assert len(handled) == count + 1
        assert viewer.url.endswith("/console/settings")


def test_no_part_of_any_page_does_anything_for_a_viewer_or_above_a_reviewers_role(
    furnished: Server, browser: Browser, handled: list[str]
) -> None:
    tried: dict[str, int] = {}
    with opened(browser, silent=False) as tab, opened(browser, silent=False) as other:
        viewer = sign_in(other.page, furnished, "Vera", "/settings")
        body = {"id": "none", "client_id": client_id(viewer), "args": [], "forged": True}
        last = ["event", body]
        page = sign_in(tab.page, furnished, ADMIN, "/")
        for path, found in addresses(furnished).items():
            if RANKS[found.needs] == 0:
                continue
            page.goto(f"{furnished.url}/console{path}")
            ready(page)
            presses, others = everything_on(page)
            tried[path] = len(presses)
            before = contents(furnished)
            # From a viewer's own socket, in the name of the admin's page: it is not even read.
            count = len(handled)
            viewer.evaluate(SEND, [*presses, *others, last])
            wait_until(partial(_more_than, handled, count))
            assert handled[count:] == ["none"], f"{path} took another's events"
            # From the page itself, once its owner may do less than as it was opened.
            for role in ("viewer", "reviewer"):
                if path == "/review" and role == "reviewer":
                    continue  # whose page it is
                give(furnished, ADMIN, role)
                replayed(page, presses, handled)
                replayed(page, others, handled)
                give(furnished, ADMIN, "admin")
                assert contents(furnished) == before, f"{path} did something for a {role}"
    assert sum(tried.values()) > 40, tried


def test_the_same_events_do_something_for_whoever_may(furnished: Server, browser: Browser) -> None:
    with opened(browser, silent=False) as tab:
        page = sign_in(tab.page, furnished, ADMIN, "/settings/keys")
        before = keys(furnished)
        page.evaluate(STAY)
        page.evaluate(SEND, everything_on(page)[0])
        wait_until(lambda: keys(furnished) > before)
        page.goto(f"{furnished.url}/console/review")
        ready(page)
        before = decisions(furnished)
        page.evaluate(STAY)
        page.evaluate(SEND, everything_on(page)[0])
        wait_until(lambda: decisions(furnished) > before)


def _more_than(seen: list[str], count: int) -> bool:
    return len(seen) > count
