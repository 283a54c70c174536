"""Every route with every role: a route that declares none fails here."""

import itertools
from typing import Any, Literal

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from serving.app import create_app
from serving.auth import ROLES
from serving.engines.echo import EchoEngine
from serving.settings import Settings
from tests.serving.conftest import Server, fault

Needed = Literal["open", "client", "reviewer", "admin"]

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
    "GET /v1/rounds": "reviewer",
    "POST /v1/rounds": "admin",
    "GET /v1/rounds/{round_id}": "reviewer",
    "POST /v1/rounds/{round_id}/cancel": "admin",
    "GET /v1/rounds/{round_id}/events": "reviewer",
    "GET /v1/rounds/{round_id}/ledger": "reviewer",
    "GET /v1/adapters": "reviewer",
    "GET /v1/adapters/{adapter_id}": "reviewer",
    "GET /v1/adapters/canary": "reviewer",
    "GET /v1/adapters/ranking": "reviewer",
    "POST /v1/adapters/ab": "admin",
    "DELETE /v1/adapters/ab": "admin",
    "GET /v1/adapters/{adapter_id}/card": "reviewer",
    "POST /v1/adapters/{adapter_id}/promote": "admin",
    "POST /v1/adapters/rollback": "admin",
    "DELETE /v1/users/{user:path}": "admin",
    "GET /console/": "reviewer",
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
SERVED = sorted(name for name in NEEDED if not name.endswith(" /console/"))
"""What the servers of these tests serve: they have no console, which `test_console` asks."""
CALLERS = ("nobody", "stranger", *ROLES)
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
    } | {role: own.key(role)[1] for role in ROLES}
    wrong = []
    for route, caller in itertools.product(SERVED, CALLERS):
        verb, path = route.split()
        for name in (
            "completion_id",
            "feedback_id",
            "round_id",
            "adapter_id",
            "model",
            "user:path",
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
    if caller not in ROLES:
        return 401
    ranks: tuple[str, ...] = ROLES
    return "in" if ranks.index(caller) >= ranks.index(needed) else 403


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
