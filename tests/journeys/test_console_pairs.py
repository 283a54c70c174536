"""Answers before and after a round, compared blind in a real browser: by keys, hostile texts, results.

`HEED_TEST_SCREENSHOTS` names a folder for pictures of the pages.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from feedback.settings import FeedbackSettings
from serving import accounts
from serving.models import AuditEntry
from tests import compared
from tests.builders import opened_round
from tests.journeys.browser import opened
from tests.journeys.test_console_accessible import grave
from tests.journeys.test_console_chat import HOSTILE, entered
from tests.journeys.test_console_forged import ready
from tests.journeys.test_console_rounds import NARROW, Echo, picture, visit
from tests.serving.conftest import Server, running
from trainer import pair_store, registry
from trainer.models import PairVerdict, Round, RoundPair
from trainer.pairs import Pair, candidate_left

PAIRS = [compared.pair(number) for number in range(6)]
TWICE = """() => [1, 2].forEach(() =>
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true })))"""
TELL = """(detail) =>
  document.getElementById("heed-pairs-wire").dispatchEvent(new CustomEvent("heed-pairs", { detail }))"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Heed with people who judge."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("pairs"))
    with running(folder, Echo(), roles=("api", "console")) as server:
        for role in ("viewer", "reviewer", "operator", "admin"):
            server.account(role, role)
        yield server


@pytest.fixture
def waiting(served: Server) -> Iterator[Round]:
    """A round that waits until four of its six pairs are judged."""
    made = to_judge(served, PAIRS)
    yield made
    if compared.of(served.store, made.id).state == "pending":
        compared.look(served.store, in_seconds=15 * pair_store.DAY_SECONDS)


def to_judge(server: Server, pairs: Sequence[Pair]) -> Round:
    """A round that waits until these are judged, in place of what is live."""
    with server.store.session() as session:
        live = registry.live_id(session)
    return compared.judged(server.store, pairs, incumbent=live)


def verdicts(server: Server, round_: Round) -> dict[str, PairVerdict]:
    """What was said, by pair."""
    with server.store.session() as session:
        return {row.pair_id: row for row in pair_store.verdicts(session, round_.id)}


def on_screen(page: Page) -> str:
    """The pair that is shown."""
    return str(page.locator(".heed-pair").get_attribute("data-pair"))


def shown(page: Page, judged: int, of: int = 6) -> None:
    """Wait until the page says how many are judged, and takes keys."""
    expect(page.get_by_role("status").filter(has_text="judged")).to_have_text(
        f"{judged} of {of} judged"
    )
    expect(page.locator(".heed-pair[data-told]")).to_have_count(0)


def better(server: Server, pair_id: str, page: Page) -> str:
    """The key for the candidate's answer, as only the database knows; checks that it is shown there."""
    with server.store.session() as session:
        row = session.get_one(RoundPair, pair_id)
        actor = accounts.named(session, "reviewer").id
    left = candidate_left(row.secret, actor)
    sides = (row.candidate_answer, row.incumbent_answer)
    for side, said in zip(
        page.locator(".heed-pair-side .heed-answer").all(), sides[:: 1 if left else -1], strict=True
    ):
        expect(side).to_have_text(said)
    return "ArrowLeft" if left else "ArrowRight"


def nothing_told(page: Page, round_: Round) -> None:
    """The page names no version, nor whose answer is whose; what the browser was sent included."""
    html = page.content()
    for word in ("adp_", str(round_.candidate_id), "candidate", "incumbent", "cluster-", "prices"):
        assert word not in html, word


def test_pairs_are_judged_by_keys_alone_and_the_result_follows(
    served: Server, browser: Browser, waiting: Round
) -> None:
    with visit(browser, served, "reviewer", f"/rounds/{waiting.id}") as (_, page):
        frames: list[str] = []
        page.on("websocket", lambda ws: ws.on("framereceived", lambda f: frames.append(str(f))))
        expect(page.get_by_text("Waits for reviewers")).to_be_visible()
        expect(page.get_by_text("0 of 6 judged")).to_be_visible()
        picture(page, "pairs-round-waits")
        page.get_by_role("link", name="Judge them").press("Enter")
        ready(page)
        shown(page, 0)
        expect(page.get_by_text("4 more to go until they are counted")).to_be_visible()
        expect(page.get_by_role("button", name="Undo")).to_be_disabled()
        nothing_told(page, waiting)
        picture(page, "pairs-light")
        first = on_screen(page)
        page.keyboard.press(better(served, first, page))
        shown(page, 1)
        expect(page.locator(f'[data-pair="{first}"]')).to_have_count(0)
        second = on_screen(page)
        page.keyboard.press("ArrowDown")
        shown(page, 2)
        page.keyboard.press("u")
        shown(page, 1)
        assert on_screen(page) == second
        page.keyboard.press("u")
        shown(page, 0)
        assert on_screen(page) == first
        for judged in range(6):
            assert page.locator("html").evaluate("() => !document.querySelector('[data-told]')")
            nothing_told(page, waiting)
            key = ("b", "ArrowDown")[judged] if judged < 2 else None
            page.keyboard.press(key or better(served, on_screen(page), page))
            if judged < 5:
                shown(page, judged + 1)
        expect(page.get_by_text("You have judged them all")).to_be_visible()
        nothing_told(page, waiting)
        assert not [said for said in frames if "adp_" in said or "incumbent" in said]
        picture(page, "pairs-all-judged")
        said = verdicts(served, waiting)
        assert [said[first].verdict, said[second].verdict] == ["both_bad", "tie"]
        assert len(said) == 6
        assert all(
            (each.verdict == "left") == each.candidate_left
            for name, each in said.items()
            if name not in (first, second)
        )
        compared.look(served.store)
        assert compared.of(served.store, waiting.id).state == "promoted"
        expect(page.get_by_text("What reviewers said")).to_be_visible()
        rate = page.get_by_role("img", name="Preferred after the round: 83%, 95% from")
        expect(rate).to_be_visible()
        expect(page.locator(".heed-lost")).to_have_count(6)
        page.locator(".heed-lost summary").first.click()
        expect(page.locator(".heed-lost[open]")).to_contain_text("It costs 59 dollars")
        picture(page, "pairs-result")
        assert grave(page) == []
        page.get_by_role("link", name="Back to the round").click()
        expect(
            page.get_by_role("img", name=re.compile("^Preferred after the round"))
        ).to_be_visible()
        expect(page.locator(".heed-heading .heed-badge")).to_have_text("promoted")
        expect(
            page.get_by_role("listitem").filter(has_text="Answers compared blind")
        ).to_be_visible()
        picture(page, "pairs-round-decided")
    with served.store.session() as session:
        actions = session.exec(
            select(AuditEntry.action).where(AuditEntry.action.startswith("round.pair."))
        ).all()
    assert actions.count("round.pair.verdict") >= 8 and actions.count("round.pair.undo") >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_judged_on_a_phone_with_thumbs(
    served: Server, browser: Browser, waiting: Round, scheme: str
) -> None:
    look: dict[str, Any] = {"viewport": NARROW, "color_scheme": scheme, "has_touch": True}
    with visit(browser, served, "reviewer", f"/rounds/{waiting.id}/pairs", **look) as (_, page):
        ready(page)
        shown(page, 0)
        picture(page, f"pairs-phone-{scheme}")
        assert grave(page) == []
        page.get_by_role("button", name="Both alike").tap()
        shown(page, 1)
        page.get_by_role("button", name="Undo").tap()
        shown(page, 0)
        expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_a_press_is_for_what_is_on_the_screen_alone(
    served: Server, browser: Browser, waiting: Round
) -> None:
    with visit(browser, served, "reviewer", f"/rounds/{waiting.id}/pairs") as (_, page):
        ready(page)
        shown(page, 0)
        first = on_screen(page)
        page.evaluate(TWICE)  # before anything could be shown
        shown(page, 1)
        other = next(row.id for row in compared.kept(served.store, waiting.id) if row.id != first)
        there = on_screen(page)
        stale = next(each for each in (first, other) if each != there)
        for named, what in ((stale, "left"), (there, "candidate"), ("pair_none", "left")):
            page.evaluate(TELL, {"what": what, "id": named})
        page.keyboard.press("b")
        shown(page, 2)
        assert {name: row.verdict for name, row in verdicts(served, waiting).items()} == {
            first: "tie",
            there: "both_bad",
        }


def test_hostile_answers_are_shown_and_run_nowhere(served: Server, browser: Browser) -> None:
    hostile = [
        replace(
            compared.pair(number),
            messages=({"role": "user", "content": said}, {"role": "assistant", "content": said}),
            incumbent_answer=f"{said} before",
            candidate_answer=f"{said} after",
            suite=said,
            item_id=said,
        )
        for number, said in enumerate(HOSTILE)
    ]
    row = to_judge(served, hostile)
    with visit(browser, served, "reviewer", f"/rounds/{row.id}/pairs") as (_, page):
        ready(page)
        seen = set()
        for judged in range(len(hostile)):
            shown(page, judged, len(hostile))
            seen.add(page.locator(".heed-pair-asked .asked").inner_text())
            assert page.evaluate("window.ran") is None
            page.keyboard.press("ArrowDown")
        expect(page.get_by_text("You have judged them all")).to_be_visible()
        assert seen == set(HOSTILE)
        compared.look(served.store)
        expect(page.get_by_text("What reviewers said")).to_be_visible()
        for each in page.locator(".heed-lost summary").all():
            each.click()
        assert page.evaluate("window.ran") is None


def test_pages_without_a_pair_say_why(served: Server, browser: Browser) -> None:
    running = opened_round(served.store)
    with visit(browser, served, "reviewer", f"/rounds/{running.id}/pairs") as (_, page):
        expect(page.get_by_text("The round still runs")).to_be_visible()
        with served.store.session(write=True) as session:
            row = session.get_one(Round, running.id)
            row.state, row.open_slot = "promoted", None
            session.add(row)
            pair_store.write(session, row, PAIRS)
            session.commit()
        ready(page)
        shown(page, 0)
    none = to_judge(served, [])
    with visit(browser, served, "reviewer", f"/rounds/{none.id}/pairs") as (_, page):
        expect(page.get_by_text("There is nothing to compare")).to_be_visible()
        picture(page, "pairs-none")
    late = to_judge(served, PAIRS)
    admin = served.key("admin")[1]
    revealed = served.http.get(
        f"/v1/rounds/{late.id}/pairs", params={"reveal": True}, headers=admin
    )
    assert revealed.status_code == 200
    with served.store.session(write=True) as session:
        entry = session.exec(
            select(AuditEntry).where(AuditEntry.action == "round.pairs.reveal")
        ).one()
        entry.actor = accounts.named(session, "admin").id
        session.add(entry)
        session.commit()
    with visit(browser, served, "admin", f"/rounds/{late.id}/pairs") as (_, page):
        expect(page.get_by_text("Somebody else judges this round")).to_be_visible()
        expect(page.locator(".heed-pair")).to_have_count(0)
        compared.look(served.store, in_seconds=15 * pair_store.DAY_SECONDS)
        expect(page.get_by_text("Judging has ended, and nobody had judged any.")).to_be_visible()


def test_a_viewer_judges_nothing_not_even_over_the_socket(
    served: Server, browser: Browser, waiting: Round
) -> None:
    with opened(browser, silent=False) as tab:
        page = entered(served, tab, "viewer", f"/rounds/{waiting.id}/pairs")
        expect(page.get_by_text("Before and after is for the role reviewer")).to_be_visible()
        assert PAIRS[0].candidate_answer not in page.content()
    with visit(browser, served, "reviewer", f"/rounds/{waiting.id}/pairs") as (_, page):
        ready(page)
        shown(page, 0)
        with served.store.session(write=True) as session:
            accounts.set_role(session, accounts.named(session, "reviewer"), "viewer")
            session.commit()
        served.parts.sessions.forget()
        try:
            page.keyboard.press("ArrowLeft")
            expect(page.get_by_text("This needs the role `reviewer`")).to_be_visible()
        finally:
            with served.store.session(write=True) as session:
                accounts.set_role(session, accounts.named(session, "reviewer"), "reviewer")
                session.commit()
            served.parts.sessions.forget()
    assert verdicts(served, waiting) == {}
