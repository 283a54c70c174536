"""``/console/sign-in`` and ``/console/sign-out``: a page with one form and no script.

A foreign page must not sign somebody in as somebody else: the form carries a random value that a
cookie of the page holds as well, and the browser has to name a page of ours as its origin.
"""

import asyncio
import secrets
from html import escape
from typing import Annotated
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from feedback.errors import Busy, Forbidden, HeedError, Unauthorized
from serving import sessions, wire
from serving.context import COOKIE, Heed, Parts, identify
from serving.routes import page
from serving.same_origin import is_own_page

router = APIRouter(include_in_schema=False)

HOME = "/console/"
FORM_COOKIE = "heed_form"
FORM_SECONDS = 3600
STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --ink: #1a1d23; --soft: #5b6472;
  --line: #d5d9e0; --accent: #2f5fd0; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ground: #111418; --card: #1a1e24; --ink: #e6e9ee;
  --soft: #9aa4b2; --line: #333a45; --accent: #8ab0ff; --bad: #ff9b93 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  font: 15px/1.5 system-ui, sans-serif; background: var(--ground); color: var(--ink) }
main { width: 100%; max-width: 23rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; padding: 1.75rem }
h1 { font-size: 1.25rem; margin: 0 0 .25rem } p { margin: 0 0 1rem; color: var(--soft) }
form { display: grid; gap: .9rem } form + p { margin: 1.25rem 0 0 } label { display: grid; gap: .3rem; font-weight: 550 }
input { font: inherit; padding: .55rem .7rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--ground); color: inherit; width: 100% }
button, .provider { font: inherit; font-weight: 600; padding: .6rem; border: 0; border-radius: 8px;
  background: var(--accent); color: var(--card); cursor: pointer }
.provider { display: block; text-align: center; text-decoration: none }
.failed:has(+ .provider) { margin-bottom: 1rem }
details { margin-top: 1.25rem } summary { color: var(--soft); cursor: pointer }
details[open] summary { margin-bottom: .9rem }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
.failed { color: var(--bad); margin: 0 } code { font-family: ui-monospace, monospace }
"""


@router.get("/console/sign-in")
async def form(
    request: Request, parts: Parts, to: Annotated[str, Query(max_length=500)] = HOME
) -> Response:
    """Show the form; whoever is in already goes on."""
    try:
        await identify(request, parts)
    except Unauthorized:
        return shown(request, parts, to)
    return RedirectResponse(within(to), 303)


@router.post("/console/sign-in")
async def sign_in(request: Request, parts: Parts) -> Response:
    """Begin a session and lead to the page that was wanted."""
    sent = dict(parse_qsl((await request.body()).decode(errors="replace")))
    to, name = sent.get("to", HOME), sent.get("name", "")
    try:
        _ours(request, sent.get("form", ""))
        token = await asyncio.to_thread(
            sessions.sign_in,
            parts.store,
            parts.settings.serving,
            name=name,
            password=sent.get("password", ""),
            address=request.client.host if request.client else "unknown",
        )
    except (Unauthorized, Busy, Forbidden) as fault:
        return shown(request, parts, to, name=name, fault=fault)
    answer = RedirectResponse(within(to), 303)
    keep(answer, token, secure=_is_secure(request))
    answer.delete_cookie(FORM_COOKIE, path="/console")
    return answer


@router.post("/console/sign-out")
async def sign_out(request: Request, parts: Parts) -> Response:
    """End this session, or with ``everywhere`` in the form all of the account's."""
    sent = dict(parse_qsl((await request.body()).decode(errors="replace")))
    if not is_own_page(request.headers):
        raise Forbidden("Sign out from the console's own page.")
    token = request.cookies.get(COOKIE, "")
    await asyncio.to_thread(_end, parts, token, everywhere="everywhere" in sent)
    parts.sessions.forget()
    answer = RedirectResponse("/console/sign-in", 303)
    answer.delete_cookie(COOKIE)
    return answer


def keep(answer: Response, token: str, *, secure: bool) -> None:
    """Have the browser keep a session's token."""
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(sessions.MOST_SECONDS),
        httponly=True,
        samesite="lax",
        secure=secure,
    )


def within(to: str) -> str:
    """A path of the console; anything else would lead people elsewhere."""
    inside = to.startswith(HOME) and "\\" not in to and to.isprintable() and ".." not in to
    return to if inside else HOME


def shown(
    request: Request, parts: Heed, to: str, *, name: str = "", fault: HeedError | None = None
) -> Response:
    """Return the page with the form, perhaps with what went wrong."""
    mark = secrets.token_urlsafe(16)
    settings = parts.settings.serving
    said = f'<p class="failed" role="alert">{page.text(fault.message)}</p>' if fault else ""
    if settings.oidc_issuer is None:
        said = said or "<p>With the name and password that an admin of this Heed gave you.</p>"
        body = said + _form(mark, to, name, focus=True)
    else:
        said = said or "<p>With the account that you have already.</p>"
        where = f"/console/sign-in/oidc?to={quote(within(to))}"
        typed = " open" if name else ""
        body = (
            f'{said}<a class="provider" href="{escape(where)}">Sign in with '
            f"{escape(settings.oidc_label)}</a>"
            f"<details{typed}><summary>Sign in with a password</summary>"
            f"{_form(mark, to, name, focus=bool(name))}</details>"
        )
    answer = HTMLResponse(
        page.document("Sign in · Heed", f"<h1>Sign in to Heed</h1>{body}", style=STYLE),
        wire.STATUS[fault.code] if fault else 200,
        {
            **page.headers(STYLE, form=True),
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",  # or the browser would name no origin
        },
    )
    answer.set_cookie(
        FORM_COOKIE,
        mark,
        max_age=FORM_SECONDS,
        path="/console",
        httponly=True,
        samesite="strict",
        secure=_is_secure(request),
    )
    return answer


def _end(parts: Heed, token: str, *, everywhere: bool) -> None:
    with parts.store.session(write=True) as session:
        sessions.end(session, token, everywhere=everywhere)
        session.commit()


def _ours(request: Request, given: str) -> None:
    kept = request.cookies.get(FORM_COOKIE, "")
    if not is_own_page(request.headers) or not kept or not secrets.compare_digest(kept, given):
        raise Forbidden("This form did not come from here or is too old; send it again.")


def _form(mark: str, to: str, name: str, *, focus: bool) -> str:
    first = " autofocus" if focus and not name else ""
    second = " autofocus" if focus and name else ""
    return (
        '<form method="post" action="/console/sign-in">'
        '<label>Name<input name="name" autocomplete="username" autocapitalize="none" required '
        f'value="{escape(name)}"{first}></label>'
        '<label>Password<input name="password" type="password" autocomplete="current-password" '
        f"required{second}></label>"
        f'<input type="hidden" name="form" value="{mark}">'
        f'<input type="hidden" name="to" value="{escape(within(to))}">'
        "<button>Sign in</button></form>"
        "<p>No account yet? <code>heed people create NAME --role admin</code> on the "
        "server makes one.</p>"
    )


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, perhaps with a proxy before us: its own word counts."""
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or origin.startswith("https://")
