"""Every route with every role: a route that declares none fails here."""

import itertools
from typing import Any, Literal

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from serving.app import create_app
from serving.auth import ACCOUNT_ROLES, KEY_ROLES, RANKS
from serving.engines.echo import EchoEngine
from serving.settings import Settings
from tests.serving.conftest import Server, fault

Needed = Literal["open", "client", "reviewer", "operator", "admin"]

NEEDED: dict[str, Needed] = {
    "POST /v1/chat/completions": "client",
    "GET /v1/chat/completions/{completion_id}": "client",
    "POST /v1/chat/completions/{completion_id}": "client",
    "POST /v1/completions": "client",
    "GET /v1/models": "client",
    "GET /v1/models/{model}": "client",
    "POST /v1/feedback": "client",
    "POST /v1/feedback/batch": "client",
    "POST /v1/feedback/tokens": "client",
    "POST /v1/feedback/signals": "client",
    "GET /v1/feedback/{feedback_id}": "client",
    "DELETE /v1/feedback/{feedback_id}": "client",
    "GET /v1/feedback/signals": "reviewer",
    "GET /v1/feedback/trust": "reviewer",
    "GET /v1/reviews/queue": "reviewer",
    "POST /v1/reviews": "reviewer",
    "GET /v1/reviews/next": "reviewer",
    "GET /v1/reviews/progress": "reviewer",
    "GET /v1/reviews/agreement": "reviewer",
    "GET /v1/reviews/queues": "reviewer",
    "POST /v1/reviews/queues": "reviewer",
    "DELETE /v1/reviews/queues/{queue_id}": "reviewer",
    "POST /v1/reviews/{feedback_id}/claim": "reviewer",
    "POST /v1/reviews/{feedback_id}/release": "reviewer",
    "POST /v1/reviews/{feedback_id}/undo": "reviewer",
    "GET /v1/reviews/{feedback_id}/draft": "reviewer",
    "POST /v1/reviews/{feedback_id}/draft": "reviewer",
    "GET /v1/reviews/{feedback_id}/cluster": "reviewer",
    "GET /v1/reviews/{feedback_id}/comments": "reviewer",
    "POST /v1/reviews/{feedback_id}/comment": "reviewer",
    "POST /v1/reviews/{feedback_id}/tags": "reviewer",
    "GET /v1/insights/satisfaction": "reviewer",
    "GET /v1/insights/complaints": "reviewer",
    "GET /v1/insights/corrections": "reviewer",
    "GET /v1/rounds": "reviewer",
    "POST /v1/rounds": "operator",
    "GET /v1/rounds/{round_id}": "reviewer",
    "POST /v1/rounds/{round_id}/cancel": "operator",
    "GET /v1/rounds/{round_id}/events": "reviewer",
    "GET /v1/rounds/{round_id}/ledger": "reviewer",
    "GET /v1/rounds/{round_id}/pairs": "reviewer",
    "GET /v1/rounds/{round_id}/pairs/next": "reviewer",
    "POST /v1/rounds/{round_id}/pairs/{pair_id}/verdict": "reviewer",
    "DELETE /v1/rounds/{round_id}/pairs/{pair_id}/verdict": "reviewer",
    "POST /v1/rounds/{round_id}/ledger/replay": "operator",
    "GET /v1/adapters": "reviewer",
    "GET /v1/adapters/{adapter_id}": "reviewer",
    "GET /v1/adapters/canary": "reviewer",
    "GET /v1/adapters/ranking": "reviewer",
    "POST /v1/adapters/ab": "operator",
    "DELETE /v1/adapters/ab": "operator",
    "GET /v1/adapters/{adapter_id}/card": "reviewer",
    "GET /v1/adapters/{adapter_id}/export": "operator",
    "POST /v1/adapters/{adapter_id}/promote": "operator",
    "POST /v1/adapters/rollback": "operator",
    "DELETE /v1/users/{user:path}": "admin",
    "GET /v1/people": "admin",
    "POST /v1/people": "admin",
    "PATCH /v1/people/{name:path}": "admin",
    "DELETE /v1/people/{name:path}": "admin",
    "GET /v1/keys": "admin",
    "POST /v1/keys": "admin",
    "DELETE /v1/keys/{key_id}": "admin",
    "GET /v1/audit": "admin",
    "GET /v1/settings": "admin",
    "GET /v1/schedule": "reviewer",
    "PUT /v1/schedule": "admin",
    "DELETE /v1/schedule": "admin",
    "GET /v1/account": "client",
    "POST /v1/account/password": "client",
    "DELETE /v1/account/sessions": "client",
    "* /console": "open",  # its door asks who comes: `test_sign_in`, `test_console`
    "GET /console/sign-in": "open",
    "POST /console/sign-in": "open",
    "GET /console/sign-in/oidc": "open",
    "GET /console/sign-in/oidc/callback": "open",
    "POST /console/sign-out": "open",
    "GET /v1/watch": "reviewer",
    "GET /v1/alerts": "reviewer",
    "POST /v1/alerts/{alert_id}/acknowledge": "operator",
    "GET /widget.js": "open",
    "GET /widget/demo": "open",
    "GET /widget/demo.js": "open",
    "GET /widget/demo.css": "open",
    "GET /healthz": "open",
    "GET /readyz": "open",
    "GET /metrics": "admin",
    "GET /docs": "open",
    "GET /openapi.json": "open",
}
"""What SURFACE promises. A new route is declared here, or this module fails."""
LAST = "DELETE /v1/account/sessions"
"""After this nobody is signed in any more."""
SERVED = sorted(
    (name for name in NEEDED if " /console" not in name), key=lambda name: (name == LAST, name)
)
"""What the servers of these tests serve: they have no console, which `test_sign_in` asks."""
ACCOUNTS = tuple(f"account {role}" for role in ACCOUNT_ROLES)
CALLERS = ("nobody", "stranger", *KEY_ROLES, *ACCOUNTS)
BODIES: dict[str, Any] = {
    "POST /v1/chat/completions": {"model": "heed", "messages": [{"role": "user", "content": "a"}]},
    "POST /v1/completions": {"model": "heed", "prompt": "a"},
    "POST /v1/chat/completions/{completion_id}": {"metadata": {"rating": "up"}},
    "POST /v1/feedback": {"completion_id": "chatcmpl-none", "rating": "up"},
    "POST /v1/reviews": {"feedback_id": "fbk_none", "decision": "accept"},
}


def routes(app: FastAPI) -> set[str]:
    """Every route of an application, as `VERB /path`."""
    return {
        f"{verb} {route.path}"
        for route in iter_route_contexts(app.routes)
        for verb in route.methods or ("*",)
        if verb != "HEAD"
    }


def test_every_route_declares_the_role_it_needs() -> None:
    app = create_app(Settings(), engine=EchoEngine())
    assert routes(app) == set(NEEDED)


def test_a_role_reaches_what_it_should_and_nothing_else(own: Server) -> None:
    headers: dict[str, dict[str, str]] = {
        "nobody": {},
        "stranger": {"Authorization": "Bearer heed_made_up"},
    } | {role: own.key(role)[1] for role in KEY_ROLES}
    headers |= {f"account {role}": own.signed_in(role) for role in ACCOUNT_ROLES}
    wrong = []
    for route, caller in itertools.product(SERVED, CALLERS):
        verb, path = route.split()
        for name in (
            "completion_id",
            "feedback_id",
            "round_id",
            "pair_id",
            "adapter_id",
            "queue_id",
            "alert_id",
            "model",
            "user:path",
            "name:path",
            "key_id",
        ):
            path = path.replace(f"{{{name}}}", "none")
        answer = own.http.request(verb, path, json=BODIES.get(route), headers=headers[caller])
        got = answer.status_code if answer.status_code in (401, 403) else "in"
        if got != expected(NEEDED[route], caller):
            wrong.append(f"{route} as {caller}: {answer.status_code} {answer.text[:80]}")
        if got != "in":
            fault(answer)
    assert not wrong, "\n".join(wrong)


def expected(needed: Needed, caller: str) -> int | str:
    if needed == "open":
        return "in"
    role: Any = caller.removeprefix("account ")
    if caller not in (*KEY_ROLES, *ACCOUNTS):
        return 401
    return "in" if RANKS[role] >= RANKS[needed] else 403


@pytest.mark.parametrize("route", [name for name in SERVED if NEEDED[name] != "open"])
def test_who_may_not_learns_nothing_from_a_faulty_body(server: Server, route: str) -> None:
    verb, path = route.split()
    answer = server.http.request(
        verb,
        path.replace("{", "").replace("}", ""),
        content=b"{",
        headers={"content-type": "application/json", "X-Forwarded-For": "203.0.113.7"},
    )
    assert answer.status_code in (400, 401, 422)
