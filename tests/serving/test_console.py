"""The console over HTTP: who sees which page, its policy, and what its overview says."""

import re

import pytest

from feedback.settings import FeedbackSettings
from serving.auth import ACCOUNT_ROLES, RANKS
from serving.console import frame, words
from serving.console.registry import pages
from tests.builders import ended_round
from tests.serving.conftest import Server, running

HTML = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def whole_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is sent once all of it is there, however busy the machine is."""
    monkeypatch.setattr(frame, "AT_ONCE_SECONDS", 20.0)


def shown(server: Server, path: str, **headers: str) -> str:
    """A page as it is first sent; what people wrote is in it as escaped data."""
    answer = server.http.get(f"/console{path}", headers={**HTML, **headers})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_every_page_is_shown_to_its_roles_and_to_nobody_else(console: Server) -> None:
    headers = {role: console.signed_in(role) for role in ACCOUNT_ROLES}
    wrong = []
    for page in pages():
        path = re.sub(r"\{\w+\}", "none", page.path)
        assert console.http.get(f"/console{path}", headers=HTML).status_code == 303
        for role in ACCOUNT_ROLES:
            answer = console.http.get(f"/console{path}", headers={**HTML, **headers[role]})
            expected = 200 if RANKS[role] >= RANKS[page.needs] else 403
            if answer.status_code != expected:
                wrong.append(f"{page.path} as {role}: {answer.status_code}")
            if expected == 403:
                assert f"is for the role {page.needs}" in answer.text
    assert wrong == []


def test_the_navigation_names_what_a_role_may_see(console: Server) -> None:
    viewer, reviewer = console.signed_in("viewer"), console.signed_in("reviewer")
    assert "/console/overview" not in shown(console, "/", **viewer)
    assert "/console/overview" in shown(console, "/", **reviewer)


def test_only_a_pages_own_scripts_run_and_nothing_is_from_elsewhere(console: Server) -> None:
    first, second = (console.http.get("/console/", headers=HTML) for _ in range(2))
    policy = first.headers["content-security-policy"]
    mark = re.search(r"'nonce-([^']+)'", policy)
    assert mark and mark[1] not in second.headers["content-security-policy"]
    scripts = re.findall(r"<script[^>]*>", first.text)
    assert scripts and all(f'nonce="{mark[1]}"' in each for each in scripts)
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    assert not re.search(r'(?:src|href)="(?:https?:)?//', first.text)
    assert first.headers["cache-control"] == "no-store"
    assert "set-cookie" not in first.headers


def test_its_scripts_and_styles_need_a_session_too(console: Server) -> None:
    assert console.http.get("/console/static/console.css").status_code == 200
    console.account("viewer")
    assert console.http.get("/console/static/console.css").status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", None])
def test_a_foreign_page_opens_no_socket(console: Server, origin: str | None) -> None:
    headers = console.signed_in("admin")
    query = "/console/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    assert console.http.get(query, headers=headers).status_code == 200
    upgrade = {
        "Cookie": headers["Cookie"],
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    } | ({"Origin": origin} if origin else {})
    path = query.replace("polling", "websocket")
    assert console.http.get(path, headers=upgrade).status_code == 403
    del upgrade["Cookie"]
    upgrade["Origin"] = console.url
    assert console.http.get(path, headers=upgrade).status_code == 403
    assert console.http.post(query, headers={"Cookie": headers["Cookie"]}).status_code == 403


def test_the_overview_of_an_empty_database_says_what_to_do_next(console: Server) -> None:
    page = shown(console, "/overview")
    for said in (
        "The base model answers everybody",
        "Nobody has said anything yet",
        "There has been no round",
        "heed round run",
        "There is none yet",
        "This process starts no rounds",
    ):
        assert said in page


def test_the_overview_counts_feedback_and_shows_rounds_and_what_is_live(console: Server) -> None:
    console.told(completion_id=console.asked(), rating="up")
    console.told(completion_id=console.asked("how much"), correction="It is 5.")
    console.told(completion_id=console.asked("how long"), signal="dwell", value=3)
    name = console.publish()
    console.promote(name, reason="it is better")
    failed = ended_round(console.store, state="failed", message="The disk is full.")
    page = shown(console, "/overview")
    for said in (name, "it is better", failed.id, "The disk is full.", "a reviewer decides"):
        assert said in page
    # What waits without teaching anything yet is not told as ready.
    for label, count in (("Ready", 1), ("Signals", 1), ("Review", 1)):
        assert re.search(rf'"{label}".{{0,300}}?"text":"{count}"', page), label


def test_half_a_character_does_not_break_a_page(console: Server) -> None:
    rule = {"outcome": "refuse", "sentence": "half \ud83d"}
    ended_round(console.store, state="refused", report={"outcome": "refuse", "rules": [rule]})
    assert "half ?" in shown(console, "/overview")


def test_an_address_that_is_no_page_says_so(console: Server) -> None:
    answer = console.http.get("/console/nowhere", headers=HTML)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def test_there_is_no_console_without_its_role(settings: FeedbackSettings) -> None:
    with running(settings) as served:
        for path in ("/console", "/console/", "/console/sign-in"):
            assert served.http.get(path, follow_redirects=False).status_code == 404


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](https://evil.example/x.png)",
        "![x](javascript:alert(1))",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt&colon;alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](//evil.example)",
        "<a href='javascript:alert(1)'>x</a>",
        "<svg/onload=alert(1)>",
        "<iframe srcdoc='<script>alert(1)</script>'>",
        '[x](https://a.example "onmouseover=alert(1)")',
        '<https://a.example/"onmouseover="alert(1)>',
        "```<img src=x onerror=alert(1)>\n<b>\n```",
        "<math><mtext></table><mglyph><style><img src=x onerror=alert(1)>",
        "<style>@import 'https://evil.example'</style>",
        "[a]: javascript:alert(1)\n\n[a]",
        "| <img src=x onerror=alert(1)> |\n|---|\n| <script>alert(1)</script> |",
    ],
)
def test_markdown_that_means_harm_becomes_text(hostile: str) -> None:
    made = words.markdown(hostile)
    plain = r"</?(?:p|br|pre|code|a|table|thead|tbody|tr|th|td|ul|ol|li)>"
    link = r'<a(?: href="https?://[^"<>]*")? target="_blank" rel="noopener noreferrer nofollow">'
    for tag in re.findall(r"<[^>]*>", made):
        assert re.fullmatch(f"{plain}|{link}", tag), made


def test_words_that_changed_are_told_from_those_that_stayed() -> None:
    assert words.changes("It costs 49 dollars.", "It costs 59 dollars, today.") == [
        ("", "It costs "),
        ("del", "49"),
        ("ins", "59"),
        ("", " dollars"),
        ("ins", ", today"),
        ("", "."),
    ]
    assert words.changes("I don't know.", "Sure, it arrives today.") == [
        ("del", "I don't know"),
        ("ins", "Sure, it arrives today"),
        ("", "."),
    ]
    assert words.changes(" a.", " b c.") == [("", " "), ("del", "a"), ("ins", "b c"), ("", ".")]
    assert words.changes("same", "same") == [("", "same")] and words.changes("", "") == []
    assert words.changes_html("<b>", "<i>") == "&lt;<del>b</del><ins>i</ins>&gt;"


def test_times_are_said_as_people_say_them() -> None:
    now = 1_000_000.0
    said = [words.ago(now - each, now) for each in (3, 90, 7200, 86400 * 2, -3600)]
    assert said == ["just now", "1 minute ago", "2 hours ago", "2 days ago", "in 1 hour"]
