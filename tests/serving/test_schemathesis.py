"""Every route, asked as its own OpenAPI document says, and as it says not to.

Whatever comes, the answer is one that the document promises, and never a failure of the server's.
Half of the ids are ones that exist, and half of the bodies are right but for a field or two: what
is wrong altogether is refused before it gets far. `make soak` asks fifty times as much, and other things each time.
"""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode, SerializationContext
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.models import Alert, WatchedVersion
from tests import compared
from tests.serving.conftest import PATIENCE_SECONDS, Server
from trainer import pair_store
from trainer import round as rounds

EXAMPLES = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
Known = dict[str, list[str]]
Operation = APIOperation[Any, Any, Any, Any]
Asked = Case[Any]


@dataclass(frozen=True)
class Callers:
    """One server, what is on record there, and who asks: with which headers."""

    server: Server
    known: Known
    plain: dict[str, dict[str, Any]]
    headers: dict[str, dict[str, str]]


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx: SerializationContext, value: Any) -> bytes:
    lines = value if isinstance(value, list) else [value]
    return b"\n".join(
        line.encode(errors="surrogatepass") if isinstance(line, str) else json.dumps(line).encode()
        for line in lines
    )


@pytest.fixture
def callers(own: Server) -> Callers:
    completion = own.asked(metadata={"conversation_id": "c_1"})
    accepted = own.told(completion_id=completion, rating="up")
    waiting = own.told(completion_id=own.asked("another"), correction="Better.")
    decided = own.http.post("/v1/reviews", json={"feedback_id": accepted, "decision": "accept"})
    assert decided.status_code == 200  # so both are in the review queue
    saved = {"name": "ours", "filters": {}, "shared": True}
    queue = own.http.post("/v1/reviews/queues", json=saved).json()["id"]
    opened = own.http.post("/v1/rounds").json()["id"]
    # An open one's events would go on for ever.
    assert own.http.post(f"/v1/rounds/{opened}/cancel").status_code == 200
    adapter = own.publish()
    pair_id = _compared(own, opened)
    alert_id = _alarmed(own)
    known = {
        "model": ["heed", "base", adapter],
        "completion_id": [completion],
        "preferred_over": [completion],
        "conversation_id": ["c_1"],
        "event_id": ["evt_1"],
        "feedback_id": [accepted, waiting],
        "round_id": [opened],
        "pair_id": [pair_id],
        "alert_id": [alert_id],
        "adapter_id": [adapter],
        "queue_id": [queue],
        "name": ["lin"],
        "key_id": [own.key("client")[0]],
    }
    roles = {role: own.key(role)[1] for role in ("admin", "client")}
    own.account("viewer", name="lin")
    event = {"completion_id": completion, "rating": "down", "event_id": "evt_1"}
    first = own.http.post("/v1/feedback", json=event, headers=roles["admin"])
    assert first.status_code == 201, first.text
    plain: dict[str, dict[str, Any]] = {
        "PUT /v1/schedule": {"cron": "0 3 * * mon", "timezone": "Europe/Berlin"},
        "POST /v1/chat/completions": {
            "model": "heed",
            "messages": [{"role": "user", "content": "hi"}],
        },
        "POST /v1/chat/completions/{completion_id}": {"metadata": {"rating": "up"}},
        "POST /v1/completions": {"model": "heed", "prompt": "once upon"},
        "POST /v1/feedback": event,
        "POST /v1/feedback/tokens": {"completion_id": completion},
        "POST /v1/feedback/signals": {"completion_id": completion, "signals": {"copy": 1}},
        "POST /v1/reviews": {"feedback_id": waiting, "decision": "accept"},
        "POST /v1/reviews/queues": {"name": "mine", "filters": {"q": "lamp"}},
        "POST /v1/reviews/{feedback_id}/draft": {"correction": "Bet"},
        "POST /v1/reviews/{feedback_id}/comment": {"text": "Is it?"},
        "POST /v1/reviews/{feedback_id}/tags": {"add": ["price"]},
        "POST /v1/rounds/{round_id}/pairs/{pair_id}/verdict": {"verdict": "tie"},
        "PATCH /v1/people/{name}": {"role": "reviewer"},
        "POST /v1/adapters/rollback": {},
        "POST /v1/adapters/{adapter_id}/promote": {},
        "POST /v1/adapters/ab": {"a": adapter, "b": "base"},
    }
    return Callers(own, known, plain, {**roles, "nobody": {}})


def _compared(own: Server, round_id: str) -> str:
    """Keep a pair of a round, judged already by whoever asks first; returns its id."""
    with own.store.session(write=True) as session:
        row = rounds.get(session, round_id)
        pair_store.write(session, row, [compared.pair(number) for number in range(9)])
        session.commit()
        return pair_store.of_round(session, round_id)[0].id


def _alarmed(own: Server) -> str:
    """Keep an alert of the base model; returns its id."""
    with own.store.session(write=True) as session:
        watched = WatchedVersion(
            id="wtc_1",
            deployment_id="dep_1",
            adapter_id="base",
            since=0.0,
            read_until=0.0,
            measures={},
            updated_at=0.0,
        )
        session.add(watched)
        session.flush()
        estimate = {"estimate": 0.5, "low": 0.4, "high": 0.6}
        session.add(
            Alert(
                id="alr_1",
                watched_id=watched.id,
                adapter_id="base",
                measure="satisfaction",
                direction="down",
                harmful=True,
                at=1.0,
                since=0.0,
                evidence=50.0,
                needed=20.0,
                before=estimate,
                after=estimate,
                message="Fewer people are content.",
            )
        )
        session.commit()
    return "alr_1"


def test_every_route_keeps_its_word_whatever_it_is_asked(callers: Callers, count: int) -> None:
    document = callers.server.http.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    asked: set[tuple[str, int]] = set()
    with requests.Session() as session:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            statuses = _ask(operation, callers, session, EXAMPLES * count, by_chance=count > 1)
            asked |= {(operation.label, status) for status in statuses}
    for name in (
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    ):
        statuses = {status for label, status in asked if label == name}
        assert statuses, f"{name} was never asked"
        if "/v1/" in name:
            assert 401 in statuses, f"{name} answers who has no key"
            assert statuses & {200, 201, 409}, f"{name} answered nobody: {statuses}"


def _ask(
    operation: Operation,
    callers: Callers,
    session: requests.Session,
    examples: int,
    *,
    by_chance: bool,
) -> set[int]:
    """Send what is made up to one route, for every caller; returns the statuses it answered."""
    statuses: set[int] = set()

    # Each time the same, unless there is time for more: a fault is found by everybody or by nobody.
    @settings(
        max_examples=examples,
        derandomize=not by_chance,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in MODES)),
        chance=st.randoms(use_true_random=False),
    )
    def ask(case: Asked, chance: Random) -> None:
        _mostly_right(case, callers.plain.get(operation.label), chance)
        _name_what_exists(case, callers.known, chance)
        for headers in callers.headers.values():
            answer = case.call(
                base_url=callers.server.url,
                session=session,
                headers=dict(headers),
                timeout=PATIENCE_SECONDS,
            )
            statuses.add(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

    ask()
    return statuses


def _mostly_right(case: Asked, plain: dict[str, Any] | None, chance: Random) -> None:
    """Keep a field or two of what was made up, and nothing else of it."""
    if plain is not None and isinstance(case.body, dict) and chance.random() < 0.5:
        odd = chance.sample(sorted(case.body), min(len(case.body), chance.randint(0, 2)))
        case.body = plain | {name: case.body[name] for name in odd}


def _name_what_exists(case: Asked, known: Known, chance: Random) -> None:
    """Put ids that exist in the place of some that were made up."""
    for part in (case.path_parameters, case.body):
        if isinstance(part, dict):
            for name in known.keys() & part.keys():
                if chance.random() < 0.5:
                    part[name] = chance.choice(known[name])
