"""Signing in to the console: cookies, forged forms, guessed passwords, and sessions that end."""

import re
import time

import httpx
import pytest
from sqlmodel import select

from serving import accounts, sessions
from serving.context import COOKIE
from serving.models import AuditEntry, ConsoleSession
from tests.serving.conftest import PASSWORD, Server, fault

HTML = {"Accept": "text/html"}


def sent(
    server: Server, name: str, password: str, *, to: str = "/console/", **headers: str
) -> httpx.Response:
    """Fill the form in and send it, as a browser does that is not signed in."""
    server.http.cookies.clear()
    form = server.http.get("/console/sign-in", headers=HTML)
    mark = re.search(r'name="form" value="([^"]+)"', form.text)
    assert mark, form.text
    return server.http.post(
        "/console/sign-in",
        data={"name": name, "password": password, "form": mark[1], "to": to},
        headers={"Origin": server.url, **headers},
    )


def audited(server: Server) -> list[tuple[str, str]]:
    """Who did what, in order."""
    with server.store.session() as session:
        rows = session.exec(select(AuditEntry).order_by(AuditEntry.id))
        return [(row.action, row.subject) for row in rows]


def test_a_password_opens_the_console_and_the_api(console: Server) -> None:
    name = console.account("reviewer")
    asked = console.http.get("/console/overview", headers=HTML)
    assert (asked.status_code, asked.headers["location"]) == (
        303,
        "/console/sign-in?to=/console/overview",
    )
    assert console.http.get("/v1/adapters").status_code == 401
    answer = sent(console, name, PASSWORD, to="/console/overview")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/overview")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=") and "HttpOnly" in cookie and "SameSite=lax" in cookie
    assert "Secure" not in cookie and "Path=/;" in cookie
    assert console.http.get("/console/overview", headers=HTML).status_code == 200
    assert console.http.get("/v1/adapters").status_code == 200
    token = console.http.cookies[COOKIE]
    assert token not in console.everything() and PASSWORD not in console.everything()
    assert [action for action, _ in audited(console)] == ["session.begin"]


def test_the_cookie_is_for_tls_alone_where_the_browser_speaks_it(console: Server) -> None:
    name = console.account("viewer")
    host = console.url.removeprefix("http://")
    answer = sent(console, name, PASSWORD, Origin=f"https://{host}")
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "to", ["https://evil.example/", "//evil.example", "/console/../../x", "/v1", "/console/\\x"]
)
def test_nobody_is_led_elsewhere(console: Server, to: str) -> None:
    assert sent(console, console.account("viewer"), PASSWORD, to=to).headers["location"] == (
        "/console/"
    )


def test_a_wrong_password_and_an_unknown_name_are_told_apart_by_nothing(console: Server) -> None:
    name = console.account("viewer")
    said = [sent(console, each, "wrong words").text for each in (name, "nobody")]
    plain = [re.sub(r'value="[^"]*"', "", each) for each in said]
    assert plain[0] == plain[1]
    assert "The name or the password is wrong." in said[0]
    assert console.http.cookies.get(COOKIE) is None
    assert [action for action, _ in audited(console)] == ["session.failed"] * 2


def test_guessing_is_stopped_for_a_name_and_for_an_address(
    console: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_OF_A_NAME", 2)
    monkeypatch.setattr(sessions, "MOST_OF_AN_ADDRESS", 5)
    first, second = console.account("viewer"), console.account("admin")
    assert [sent(console, first, "wrong").status_code for _ in range(3)] == [401, 401, 429]
    assert sent(console, first, PASSWORD).status_code == 429, "the right one comes too late"
    assert sent(console, second, PASSWORD).status_code == 303, "others are not shut out"
    assert sent(console, "nobody", "wrong").status_code == 401
    assert sent(console, second, "wrong").status_code == 429, "too many from this address"
    with console.store.session(write=True) as session:
        sessions.forgive(session, first)
        session.commit()
    assert sent(console, first, PASSWORD).status_code == 303


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", None])
def test_a_foreign_page_can_neither_sign_anybody_in_nor_out(
    console: Server, origin: str | None
) -> None:
    name = console.account("viewer")
    form = console.http.get("/console/sign-in", headers=HTML)
    mark = str(re.search(r'name="form" value="([^"]+)"', form.text)[1])  # type: ignore[index]
    headers = {} if origin is None else {"Origin": origin}
    body = {"name": name, "password": PASSWORD, "form": mark}
    answer = console.http.post("/console/sign-in", data=body, headers=headers)
    assert answer.status_code == 403 and COOKIE not in console.http.cookies
    headers_of_page = console.signed_in("reviewer")
    only_cookie = {"Cookie": headers_of_page["Cookie"], **headers}
    assert console.http.post("/console/sign-out", headers=only_cookie).status_code == 403
    assert console.http.get("/v1/adapters", headers=only_cookie).status_code == 200


def test_the_form_of_another_visit_does_not_sign_in(console: Server) -> None:
    name = console.account("viewer")
    console.http.get("/console/sign-in", headers=HTML)
    body = {"name": name, "password": PASSWORD, "form": "made up"}
    answer = console.http.post("/console/sign-in", data=body, headers={"Origin": console.url})
    assert answer.status_code == 403
    assert COOKIE not in console.http.cookies


@pytest.mark.parametrize("origin", ["https://evil.example", None])
def test_a_cookie_changes_nothing_for_a_foreign_page(console: Server, origin: str | None) -> None:
    headers = console.signed_in("admin")
    foreign = {"Cookie": headers["Cookie"]} | ({"Origin": origin} if origin else {})
    answer = console.http.post("/v1/adapters/rollback", headers=foreign)
    assert answer.status_code == 403
    assert "Bearer" in fault(answer)["message"]
    assert console.http.post("/v1/adapters/rollback", headers=headers).status_code != 403
    own = foreign | {"Sec-Fetch-Site": "same-origin"}
    allowed = console.http.post("/v1/adapters/rollback", headers=own).status_code != 403
    assert allowed is (origin is None), "a browser leaves Origin out only where it says so"


def test_signing_out_ends_this_session_or_all(console: Server) -> None:
    name = console.account("viewer")
    kept = []
    for _ in range(2):
        console.http.cookies.clear()
        sent(console, name, PASSWORD)
        kept.append({"Cookie": f"{COOKIE}={console.http.cookies[COOKIE]}", "Origin": console.url})
    console.http.cookies.clear()

    def good() -> list[bool]:
        return [console.http.get("/v1/models", headers=each).status_code == 200 for each in kept]

    assert good() == [True, True]
    console.http.post("/console/sign-out", headers=kept[0])
    assert good() == [False, True]
    console.http.cookies.clear()
    sent(console, name, PASSWORD)
    kept.append({"Cookie": f"{COOKIE}={console.http.cookies[COOKIE]}", "Origin": console.url})
    console.http.cookies.clear()
    console.http.post("/console/sign-out", data={"everywhere": "1"}, headers=kept[2])
    assert good() == [False, False, False]


def test_what_an_admin_changes_holds_in_open_sessions(console: Server) -> None:
    headers = console.signed_in("operator")
    assert console.http.post("/v1/adapters/rollback", headers=headers).status_code != 403
    with console.store.session(write=True) as session:
        accounts.set_role(session, accounts.named(session, "test operator"), "viewer")
        session.commit()
    answer = console.http.post("/v1/adapters/rollback", headers=headers)
    assert answer.status_code == 403
    assert "`operator`; yours is `viewer`" in fault(answer)["message"]
    with console.store.session(write=True) as session:
        accounts.remove(session, accounts.named(session, "test operator"))
        session.commit()
    assert console.http.get("/v1/models", headers=headers).status_code == 401


def test_a_session_ends_when_it_is_not_used_and_is_renewed_when_it_is(
    console: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = console.signed_in("viewer")

    class Later:
        seconds = 0.0
        monotonic = staticmethod(time.monotonic)  # before `time` means another thing here

        @classmethod
        def time(cls) -> float:
            return began + cls.seconds

    began = time.time()
    monkeypatch.setattr(sessions, "time", Later)

    def status(hours: float) -> int:
        Later.seconds = hours * 3600
        return console.http.get("/v1/models", headers=headers).status_code

    assert [status(hours) for hours in (11.0, 22.0, 33.0)] == [200, 200, 200]
    assert status(46.0) == 401
    with console.store.session() as session:
        [row] = session.exec(select(ConsoleSession))
        assert row.expires_at == pytest.approx(began + 45 * 3600, abs=5)


def test_a_session_ends_after_a_week_however_busy_it_was(
    console: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = sessions._until(console.parts.settings.serving, 0.0, 6.9 * 86400)
    assert until == sessions.MOST_SECONDS


def test_without_an_account_or_a_key_this_machine_needs_no_password(console: Server) -> None:
    assert console.http.get("/console/overview", headers=HTML).status_code == 200
    assert console.http.get("/console/sign-in").headers["location"] == "/console/"
    answer = console.http.get("/console/", headers={"Host": "evil.example"})
    assert answer.status_code == 401
    console.key("client")
    assert console.http.get("/console/overview", headers=HTML).status_code == 303


def test_the_page_of_the_form_runs_nothing(console: Server) -> None:
    console.account("viewer")
    answer = sent(console, '"><script>alert(1)</script>', "wrong")
    assert "<script" not in answer.text and "&lt;script&gt;" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "script-src" not in policy and "default-src 'none'" in policy
    assert "form-action 'self'" in policy and "frame-ancestors 'none'" in policy
