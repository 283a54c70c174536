"""Signing in by a provider that runs beside the tests: what holds, and what does not."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from sqlmodel import select

from feedback.settings import FeedbackSettings
from serving import accounts, oidc, sessions
from serving.context import COOKIE
from serving.models import Account, AuditEntry
from tests.conftest import Postgres
from tests.serving.conftest import PASSWORD, Server, fault, running
from tests.serving.oidc_broken import BROKEN
from tests.serving.oidc_provider import (
    ADA,
    CLIENT,
    FOREIGN,
    SECRET,
    Idp,
    provider,
    signed,
)

PUBLIC = "http://127.0.0.1:9"
"""Where browsers are sent back to; these tests go on at the server's own address instead."""
HTML = {"Accept": "text/html"}
NOTE = "heed_oidc"


@pytest.fixture(scope="module")
def running_idp() -> Iterator[Idp]:
    """The provider."""
    with provider() as started:
        yield started


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    running_idp: Idp,
) -> Iterator[Server]:
    """A console that knows the provider, on each database."""
    url = None
    if request.param == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.fresh()
    settings = FeedbackSettings(data_dir=tmp_path_factory.mktemp("oidc"), database_url=url)
    with running(
        settings,
        roles=("api", "console"),
        public_url=PUBLIC,
        oidc_issuer=running_idp.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        oidc_roles={"heed-admins": "admin", "heed-reviewers": "reviewer"},
        oidc_label="the <Shop>",
    ) as served:
        yield served


@pytest.fixture
def idp(running_idp: Idp) -> Idp:
    """The provider, which keeps every rule."""
    return running_idp.again()


@pytest.fixture
def console(shared: Server, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The console with one local account; what changes there is known at once."""
    monkeypatch.setattr("serving.auth.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("serving.sessions.REFRESH_SECONDS", 0.0)
    shared.emptied().account("admin", "root")
    assert shared.parts.oidc is not None
    shared.parts.oidc._known_at = -oidc.KNOWN_SECONDS  # as after a start
    return shared


def begun(server: Server, to: str = "/console/overview") -> str:
    """Press the button; returns the address at the provider to which it leads."""
    server.http.cookies.clear()
    answer = server.http.get("/console/sign-in/oidc", params={"to": to})
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{NOTE}=") and "HttpOnly" in cookie and "SameSite=lax" in cookie
    return answer.headers["location"]


def approved(address: str) -> str:
    """Agree at the provider; returns the path and query with which it sends the browser back."""
    answer = httpx.get(address.replace("/authorize?", "/approve?"))
    assert answer.status_code == 303, answer.text
    back = answer.headers["location"]
    assert back.startswith(f"{PUBLIC}{oidc.CALLBACK}?")
    return str(back.removeprefix(PUBLIC))


def signed_in(server: Server, to: str = "/console/overview") -> httpx.Response:
    """All of it."""
    return server.http.get(approved(begun(server, to)), headers=HTML)


def refused(server: Server, answer: httpx.Response, status: int, said: str) -> None:
    """Nobody is in, and the form says why."""
    assert answer.status_code == status, answer.text
    assert said in answer.text and 'role="alert"' in answer.text
    assert "Sign in with the &lt;Shop&gt;" in answer.text, "and how to try again"
    assert COOKIE not in server.http.cookies and NOTE not in server.http.cookies
    assert server.http.get("/v1/account").status_code == 401


def people(server: Server) -> dict[str, str]:
    """The names and roles of those who came by the provider."""
    with server.store.session() as session:
        rows = accounts.accounts(session)
        return {row.name: row.role for row in rows if accounts.is_elsewhere(row)}


def audited(server: Server) -> list[tuple[str, str]]:
    """What was done, and the detail of it, in order."""
    with server.store.session() as session:
        rows = session.exec(select(AuditEntry).order_by(AuditEntry.id))
        return [(row.action, row.detail) for row in rows]


def test_the_button_leads_to_the_provider_and_back_to_the_page_that_was_wanted(
    console: Server,
) -> None:
    form = console.http.get("/console/sign-in?to=/console/overview", headers=HTML)
    assert 'href="/console/sign-in/oidc?to=/console/overview"' in form.text
    assert "Sign in with the &lt;Shop&gt;</a>" in form.text
    answer = signed_in(console)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/overview")
    assert console.http.get("/console/overview", headers=HTML).status_code == 200
    told = console.http.get("/v1/account").json()
    assert (told["name"], told["role"]) == ("ada", "admin")
    listed = console.http.get("/v1/people").json()["data"]
    assert {row["name"]: row["sign_in"] for row in listed} == {"ada": "oidc", "root": "local"}
    assert audited(console) == [
        ("account.create", "admin"),
        ("session.begin", "from 127.0.0.1, by OIDC"),
    ]
    everything = console.everything()
    assert console.http.cookies[COOKIE] not in everything and str(ADA["sub"]) not in everything
    assert SECRET not in everything


def test_what_is_asked_of_the_provider_binds_its_answer_to_this_browser(console: Server) -> None:
    first, second = (parse_qs(urlsplit(begun(console)).query) for _ in range(2))
    assert first["tenant"] == ["1"], "a query that the provider's address has stays"
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 43 and first[name] != second[name]


def test_the_account_is_the_same_at_the_next_time_and_its_role_and_name_follow(
    console: Server, idp: Idp
) -> None:
    signed_in(console)
    before = console.http.get("/v1/account").json()["id"]
    idp.person |= {"groups": "heed-reviewers", "preferred_username": "Ada L."}
    signed_in(console)
    now = console.http.get("/v1/account").json()
    assert (now["id"], now["role"], now["name"]) == (before, "reviewer", "Ada L.")
    assert people(console) == {"Ada L.": "reviewer"}
    assert ("account.role", "admin to reviewer") in audited(console)
    assert ("account.name", "ada to Ada L.") in audited(console)


def test_whoever_has_no_role_any_more_is_refused_and_signed_out_everywhere(
    console: Server, idp: Idp
) -> None:
    signed_in(console)
    open_tab = {"Cookie": f"{COOKIE}={console.http.cookies[COOKIE]}"}
    idp.person["groups"] = ["all"]
    answer = signed_in(console)
    refused(console, answer, 403, "nothing that it says of you gives a role")
    assert console.http.get("/v1/account", headers=open_tab).status_code == 401
    assert ("session.failed", "from 127.0.0.1, by OIDC: forbidden") in audited(console)


def test_a_stranger_without_a_role_gets_no_account(console: Server, idp: Idp) -> None:
    for groups in ([], None, "HEED-ADMINS", {"heed-admins": True}, [["heed-admins"]]):
        idp.person["groups"] = groups
        refused(console, signed_in(console), 403, "serving.oidc_roles")
    assert people(console) == {}


def test_an_account_with_a_password_is_not_taken_over(console: Server, idp: Idp) -> None:
    idp.person["preferred_username"] = " ROOT".lower()
    refused(console, signed_in(console), 409, "There is an account &#x27;root&#x27; already")
    with console.store.session() as session:
        assert accounts.verify(accounts.find(session, "root"), PASSWORD, 1)
    idp.person = {"sub": "another", "preferred_username": "ada", "groups": ["heed-admins"]}
    signed_in(console)
    idp.person["sub"] = "and another of this name"
    refused(console, signed_in(console), 409, "There is an account &#x27;ada&#x27; already")


def test_a_name_that_was_taken_meanwhile_is_left_to_its_owner(console: Server, idp: Idp) -> None:
    signed_in(console)
    idp.person["preferred_username"] = "root"
    assert signed_in(console).status_code == 303
    assert people(console) == {"ada": "admin"}


def test_an_account_of_the_provider_has_no_password_and_no_role_of_its_own(
    console: Server,
) -> None:
    headers = {**console.signed_in("admin"), "Content-Type": "application/json"}
    signed_in(console)
    own = {"Origin": console.url}
    body = {"current": PASSWORD, "password": "another four plain words"}
    told = console.http.post("/v1/account/password", json=body, headers=own)
    assert told.status_code == 409 and "change it there" in fault(told)["message"]
    for change in ({"role": "viewer"}, {"generate_password": True}):
        told = console.http.patch("/v1/people/ada", json=change, headers=headers)
        assert told.status_code == 409 and "sign-in provider" in fault(told)["message"]
    with console.store.session() as session:
        row = accounts.named(session, "ada")
        assert not accounts.verify(row, row.password_hash, 1)
    removed = console.http.delete("/v1/people/ada", headers=headers)
    assert removed.status_code == 200
    assert signed_in(console).status_code == 303, "a new account of the same person"


@pytest.mark.parametrize("how", BROKEN)
def test_a_token_that_does_not_hold_lets_nobody_in(console: Server, idp: Idp, how: str) -> None:
    twists, said = BROKEN[how]
    for name, twist in twists.items():
        setattr(idp, name, twist)
    refused(console, signed_in(console), 401, said)
    assert people(console) == {}


def test_keys_that_the_provider_changed_are_asked_for_again(console: Server, idp: Idp) -> None:
    signed_in(console)
    idp.keys = {"second": FOREIGN}
    idp.sign = lambda claims: signed(claims, FOREIGN, kid="second")
    assert signed_in(console).status_code == 303
    idp.sign = lambda claims: signed(claims, FOREIGN, kid=None)
    assert signed_in(console).status_code == 303, "a token that names no key, and one key"


def test_a_forged_state_lets_nobody_in(console: Server) -> None:
    back = approved(begun(console))
    forged = str(httpx.URL(back).copy_set_param("state", "made up"))
    refused(console, console.http.get(forged), 403, "belongs to another attempt")
    # The answer of an attacker's own sign-in, in a browser that began none: forged login.
    back = approved(begun(console))
    console.http.cookies.clear()
    refused(console, console.http.get(back), 403, "did not begin to sign in here")
    console.http.cookies.set(NOTE, jwt.encode({"state": "s", "exp": 2**40}, "x" * 32), path="/")
    answer = console.http.get(f"{oidc.CALLBACK}?code=a&state=s")
    assert answer.status_code == 403 and "did not begin" in answer.text
    assert people(console) == {}


def test_an_answer_is_used_once_even_if_the_provider_would_take_its_code_again(
    console: Server, idp: Idp
) -> None:
    back = approved(begun(console))
    note = {"Cookie": f"{NOTE}={console.http.cookies[NOTE]}"}
    assert console.http.get(back, headers=note).status_code == 303
    console.http.cookies.clear()
    idp.forgets_codes = False
    refused(console, console.http.get(back, headers=note), 403, "was used before")
    # A code that was used already, in an answer to a fresh attempt.
    used = httpx.URL(back).params["code"]
    fresh = str(httpx.URL(approved(begun(console))).copy_set_param("code", used))
    idp.forgets_codes = True
    refused(console, console.http.get(fresh), 401, "does not take this code")
    # And another browser's code: the verifier does not fit.
    theirs = httpx.URL(approved(begun(console))).params["code"]
    mixed = str(httpx.URL(approved(begun(console))).copy_set_param("code", theirs))
    refused(console, console.http.get(mixed), 401, "does not take this code")


def test_whoever_takes_too_long_begins_again(
    console: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "PENDING_SECONDS", -1)
    back = approved(begun_late(console))
    refused(console, console.http.get(back, headers=late(console)), 403, "longer than")


def begun_late(server: Server) -> str:
    """Press the button; the cookie is over at once, so it is kept by hand."""
    server.http.cookies.clear()
    answer = server.http.get("/console/sign-in/oidc")
    server.keys["note"] = answer.headers["set-cookie"].partition(";")[0]
    return str(answer.headers["location"])


def late(server: Server) -> dict[str, str]:
    """The headers of a browser that keeps cookies for too long."""
    return {"Cookie": server.keys.pop("note")}


@pytest.mark.parametrize(
    "to", ["https://evil.example/", "//evil.example", "/console/../../x", "/v1", "/console/\\x"]
)
def test_nobody_is_led_elsewhere(console: Server, to: str) -> None:
    assert signed_in(console, to).headers["location"] == "/console/"


def test_what_the_provider_refuses_is_said_and_runs_nothing(console: Server) -> None:
    state = parse_qs(urlsplit(begun(console)).query)["state"][0]
    query = {"error": "access_denied", "error_description": "<script>x</script>", "state": state}
    answer = console.http.get(oidc.CALLBACK, params=query)
    refused(console, answer, 403, "The provider let nobody in: &lt;script&gt;")
    assert "<script" not in answer.text


def test_an_answer_in_another_providers_name_lets_nobody_in(console: Server, idp: Idp) -> None:
    back = approved(begun(console))
    refused(console, console.http.get(f"{back}&iss=https://evil.example"), 403, "not from")
    back = approved(begun(console))
    assert console.http.get(f"{back}&iss={idp.url}").status_code == 303


@pytest.mark.parametrize("at", ["begin", "finish"])
def test_a_provider_that_is_away_is_said_and_passwords_still_work(
    console: Server, idp: Idp, at: str
) -> None:
    back = "" if at == "begin" else approved(begun(console))
    idp.down = True
    console.http.cookies.delete(NOTE) if at == "begin" else None
    answer = console.http.get(back or "/console/sign-in/oidc", headers=HTML)
    refused(console, answer, 503, "The sign-in provider answered")
    assert 'name="password"' in answer.text


def test_a_provider_that_is_none_is_said(console: Server, idp: Idp) -> None:
    for metadata, said in (
        ({"issuer": "https://evil.example"}, "The provider calls itself"),
        ({"token_endpoint": "http://evil.example/token"}, "is no https:// address"),
        ({"jwks_uri": None}, "is no https:// address"),
    ):
        idp.metadata = metadata
        console.http.cookies.clear()
        refused(console, console.http.get("/console/sign-in/oidc"), 503, said)


def test_claims_that_only_the_userinfo_endpoint_tells_are_asked_for(
    console: Server, idp: Idp
) -> None:
    idp.person = {"sub": "7"}
    idp.told = {"preferred_username": "lin", "groups": ["heed-reviewers"], "iss": "overwritten"}
    assert signed_in(console).status_code == 303
    assert people(console) == {"lin": "reviewer"}
    idp.told["sub"] = "somebody else"
    refused(console, signed_in(console), 401, "told of somebody else")
    idp.told = {"groups": ["heed-reviewers"]}
    refused(console, signed_in(console), 400, "The provider does not tell your name")


def test_a_session_of_the_provider_is_one_as_any_other(console: Server) -> None:
    signed_in(console)
    token = console.http.cookies[COOKIE]
    with console.store.session(write=True) as session:
        sessions.end(session, token, everywhere=True)
        session.commit()
    assert console.http.get("/v1/account").status_code == 401
    with console.store.session() as session:
        assert session.exec(select(Account).where(Account.name == "ada")).one().removed_at is None
