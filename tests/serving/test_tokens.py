"""Feedback tokens over HTTP: what a page may do with one, and everything that it may not."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from feedback.errors import Invalid
from serving.settings import ServingSettings
from serving.tokens import Grant, Tally
from tests.builders import feedback_of
from tests.serving.conftest import Server, fault, on_sqlite, running

USER = "dora"


def token(server: Server, completion: str, **fields: Any) -> str:
    """A token, asked for as an app's own server does."""
    answer = server.http.post("/v1/feedback/tokens", json={"completion_id": completion, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def say(server: Server, token: str, **fields: Any) -> Any:
    """Send feedback as a page does: with a token and nothing else."""
    return server.http.post("/v1/feedback", json=fields, headers=bearer(token))


def test_a_token_names_the_answer_the_person_the_kinds_and_its_end(server: Server) -> None:
    completion = server.asked(user=USER)
    body = {"completion_id": completion, "kinds": ["rating", "rating"], "expires_in_seconds": 60}
    answer = server.http.post("/v1/feedback/tokens", json=body)
    made = answer.json()
    assert answer.status_code == 201
    assert made["token"].startswith("hft_")
    assert (made["completion_id"], made["kinds"]) == (completion, ["rating"])
    assert made["expires_at"] == pytest.approx(time.time() + 60, abs=2)
    grant = server.parts.tokens.read(made["token"])
    exchange = server.exchange(completion)
    assert (grant.person_id, grant.people_key_id) == (exchange.person_id, exchange.people_key_id)


def test_a_vote_with_a_token_is_the_persons_and_can_be_read_and_taken_back(server: Server) -> None:
    completion = server.asked(user=USER)
    mine = token(server, completion)
    answer = say(server, mine, completion_id=completion, rating="down", reasons=["wrong"])
    assert answer.status_code == 201, answer.text
    name = answer.json()["id"]
    kept = feedback_of(server.store, name)
    assert kept.person_id == server.exchange(completion).person_id
    assert server.http.get(f"/v1/feedback/{name}", headers=bearer(mine)).json() == answer.json()
    gone = server.http.delete(f"/v1/feedback/{name}", headers=bearer(mine))
    assert (gone.status_code, gone.json()["status"]) == (200, "withdrawn")


def test_a_token_may_name_whoever_the_backend_says(server: Server) -> None:
    completion = server.asked()
    mine = token(server, completion, user=USER)
    said = say(server, mine, completion_id=completion, rating="up", user=USER)
    assert said.status_code == 201, said.text
    with_key = server.told(completion_id=completion, rating="up", user=USER)
    kept = feedback_of(server.store, said.json()["id"])
    assert kept.person_id == feedback_of(server.store, with_key).person_id


def test_a_key_does_not_speak_for_another_keys_people_without_knowing_them(own: Server) -> None:
    _, asked_with = own.key("client")
    _, other = own.key("client")
    own.http.headers.update(asked_with)
    completion = own.asked(user=USER)
    body = {"completion_id": completion}
    people = {}
    for name, headers in (("asked", asked_with), ("other", other)):
        made = own.http.post("/v1/feedback/tokens", json=body, headers=headers).json()["token"]
        told = say(own, made, completion_id=completion, rating="up")
        people[name] = feedback_of(own.store, told.json()["id"]).person_id
    assert people["asked"] == own.exchange(completion).person_id != people["other"]


def test_a_replayed_vote_is_the_same_vote(server: Server) -> None:
    completion = server.asked()
    mine = token(server, completion)
    body = {"completion_id": completion, "rating": "up", "event_id": "evt"}
    first, again = say(server, mine, **body), say(server, mine, **body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    another_token = say(server, token(server, completion), **body)
    assert another_token.json() == first.json()


def test_a_page_cannot_use_up_the_event_ids_of_a_backend(server: Server) -> None:
    completion, other = server.asked(), server.asked()
    for about in (completion, other):
        answer = say(
            server, token(server, about), completion_id=about, rating="up", event_id="evt-1"
        )
        assert answer.status_code == 201, answer.text
    for _ in range(2):
        server.tell(completion_id=completion, rating="down", event_id="evt-1")
    assert server.tell(completion_id=completion, rating="down", event_id="evt-1").status_code == 200


def test_a_token_of_another_answer_is_refused(server: Server) -> None:
    mine, other = server.asked(), server.asked()
    held = token(server, mine)
    answer = say(server, held, completion_id=other, rating="up")
    assert (answer.status_code, fault(answer)["param"]) == (403, "completion_id")
    answer = say(server, held, completion_id=mine, conversation_id="c", rating="up")
    assert (answer.status_code, fault(answer)["param"]) == (403, "conversation_id")
    answer = say(server, held, conversation_id="c", signal="bounce")
    assert answer.status_code == 403
    name = server.told(completion_id=other, rating="up")
    for verb in ("GET", "DELETE"):
        answer = server.http.request(verb, f"/v1/feedback/{name}", headers=bearer(held))
        assert answer.status_code == 403, answer.text
        fault(answer)
    assert server.http.get(f"/v1/feedback/{name}").json()["status"] == "waiting"


def test_a_token_of_another_person_is_refused(server: Server) -> None:
    completion = server.asked(user=USER)
    held = token(server, completion, user="emil")
    answer = say(server, held, completion_id=completion, rating="up", user=USER)
    assert (answer.status_code, fault(answer)["param"]) == (403, "user")
    name = server.told(completion_id=completion, rating="up", user=USER)
    for verb in ("GET", "DELETE"):
        answer = server.http.request(verb, f"/v1/feedback/{name}", headers=bearer(held))
        assert answer.status_code == 403, answer.text


def test_a_kind_that_is_not_allowed_is_refused_by_name(server: Server) -> None:
    completion, other = server.asked(), server.asked()
    held = token(server, completion, kinds=["rating"])
    for said in (
        {"correction": "Better."},
        {"rating": "up", "comment": "Nice."},
        {"signal": "copy"},
        {"preferred_over": other},
    ):
        answer = say(server, held, completion_id=completion, **said)
        kind = next(name for name in said if name != "rating")
        assert (answer.status_code, fault(answer)["param"]) == (403, kind)
    assert say(server, held, completion_id=completion, rating="up").status_code == 201


def test_forged_and_expired_tokens_are_refused(server: Server) -> None:
    completion = server.asked()
    good = token(server, completion)
    grant: Grant = server.parts.tokens.read(good)
    late = server.parts.tokens.issue(replace(grant, expires_at=int(time.time()) - 1))
    for bad, word in (
        (f"{good[:-8]}AAAAAAAA", "not made here"),
        (late, "expired"),
        ("hft_", "not"),
    ):
        name = server.told(completion_id=completion, rating="up")
        for answer in (
            say(server, bad, completion_id=completion, rating="up"),
            server.http.get(f"/v1/feedback/{name}", headers=bearer(bad)),
            server.http.delete(f"/v1/feedback/{name}", headers=bearer(bad)),
            server.http.post("/v1/feedback/signals", json={"token": bad, "signals": {"copy": 1}}),
        ):
            assert answer.status_code == 401, answer.text
            assert word in fault(answer)["message"]


def test_a_token_gives_no_other_right(own: Server) -> None:
    completion = own.asked()
    held = token(own, completion)
    for keyed in (False, True):
        if keyed:
            _, headers = own.key("client")
            body = {"completion_id": completion}
            made = own.http.post("/v1/feedback/tokens", json=body, headers=headers).json()
            held = made["token"]
        for verb, path in (
            ("POST", "/v1/feedback/tokens"),
            ("POST", "/v1/feedback/batch"),
            ("POST", "/v1/chat/completions"),
            ("GET", f"/v1/chat/completions/{completion}"),
            ("POST", f"/v1/chat/completions/{completion}"),
            ("GET", "/v1/models"),
            ("GET", "/v1/reviews/queue"),
            ("GET", "/v1/rounds"),
            ("POST", "/v1/adapters/rollback"),
            ("GET", "/metrics"),
        ):
            answer = own.http.request(verb, path, headers=bearer(held))
            assert answer.status_code == 403, f"{verb} {path}: {answer.text}"
        assert say(own, held, completion_id=completion, rating="up").status_code == 201


def test_a_token_ends_with_the_key_that_asked_for_it(own: Server) -> None:
    completion = own.asked()
    before = token(own, completion)
    assert say(own, before, completion_id=completion, rating="up").status_code == 201
    key_id, headers = own.key("client")
    answer = say(own, before, completion_id=completion, rating="up")
    assert answer.status_code == 401, "made before there were keys"
    made = own.http.post(
        "/v1/feedback/tokens", json={"completion_id": completion}, headers=headers
    ).json()["token"]
    answer = say(own, made, completion_id=completion, rating="up")
    assert answer.status_code == 201
    assert feedback_of(own.store, answer.json()["id"]).key_id == key_id
    with own.store.session(write=True) as session:
        from serving.auth import revoke_key

        revoke_key(session, key_id)
        session.commit()
    own.parts.keys._read_at = -1.0
    answer = say(own, made, completion_id=completion, rating="up")
    assert answer.status_code == 401
    assert "no longer valid" in fault(answer)["message"]


def test_signals_come_together_as_plain_text_with_the_token_inside(server: Server) -> None:
    completion = server.asked(user=USER)
    body = {
        "token": token(server, completion),
        "event_id": "leave-1",
        "signals": {"dwell": 12.5, "view": 1, "copy": None},
    }
    plain = {"content-type": "text/plain;charset=UTF-8"}
    for _ in range(2):  # a beacon that is sent twice
        answer = server.http.post("/v1/feedback/signals", content=json.dumps(body), headers=plain)
        assert answer.status_code == 201, answer.text
        data = answer.json()["data"]
        kept = [feedback_of(server.store, each["id"]) for each in data]
        assert {each.signal: each.body.get("value") for each in kept} == body["signals"]
        assert {each.person_id for each in kept} == {server.exchange(completion).person_id}
        assert len({each["id"] for each in data}) == 3
    first = data
    again = server.http.post("/v1/feedback/signals", json={**body, "event_id": "leave-2"})
    assert not {each["id"] for each in again.json()["data"]} & {each["id"] for each in first}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"signals": {}}, 422),
        ({"signals": {"No Such": 1}}, 422),
        ({"signals": {"dwell": "long"}}, 422),
        ({"signals": {f"s{number}": 1 for number in range(21)}}, 422),
        ({"mood": 1}, 422),
        ({"completion_id": "chatcmpl-other"}, 403),
        ({"token": "hft_none"}, 401),
    ],
)
def test_signals_that_make_no_sense_are_refused(
    server: Server, change: dict[str, Any], status: int
) -> None:
    body = {"token": token(server, server.asked()), "signals": {"copy": 1}, **change}
    answer = server.http.post("/v1/feedback/signals", json=body)
    assert answer.status_code == status, answer.text
    fault(answer)


def test_signals_without_the_right_to_them_are_refused(server: Server) -> None:
    held = token(server, server.asked(), kinds=["rating"])
    answer = server.http.post("/v1/feedback/signals", json={"token": held, "signals": {"copy": 1}})
    assert (answer.status_code, fault(answer)["param"]) == (403, "signal")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"completion_id": "chatcmpl-none"}, 404),
        ({"completion_id": "a\x00"}, 422),
        ({"user": "a\x00"}, 422),
        ({"kinds": []}, 422),
        ({"kinds": ["preferred_over"]}, 422),
        ({"expires_in_seconds": 0}, 422),
        ({"expires_in_seconds": 86_401}, 422),
        ({"mood": "good"}, 422),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(
    server: Server, change: dict[str, Any], status: int
) -> None:
    body = {"completion_id": server.asked(), **change}
    answer = server.http.post("/v1/feedback/tokens", json=body)
    assert answer.status_code == status, answer.text
    assert fault(answer)["param"] == next(iter(change))


def test_an_id_that_no_database_holds_is_refused_with_a_token_too(server: Server) -> None:
    held = token(server, server.asked())
    for name in ("%00", "fbk_none", "x" * 5000):
        answer = server.http.get(f"/v1/feedback/{name}", headers=bearer(held))
        assert answer.status_code in (404, 422), answer.text


@on_sqlite
def test_a_page_cannot_fill_the_disk(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "MOST", 3)
    completion = own.asked()
    held = token(own, completion)
    answers = [
        say(own, token, completion_id=completion, rating="up")
        for token in (held, token(own, completion), held, held)
    ]
    assert [each.status_code for each in answers] == [201, 201, 201, 429]
    assert 3_500 < int(answers[-1].headers["retry-after"]) <= 3_600  # the rest of the hour


@on_sqlite
def test_only_named_origins_may_ask_and_only_the_widgets_routes(settings: Any) -> None:
    shop, preflight = "https://shop.example", {"Access-Control-Request-Method": "POST"}
    asks = {"Access-Control-Request-Headers": "authorization,content-type", **preflight}
    with running(settings, widget_origins=[shop]) as server:
        for path, origin, granted in (
            ("/v1/feedback", shop, True),
            ("/v1/feedback/signals", shop, True),
            ("/v1/feedback/fbk_1", shop, True),
            ("/v1/feedback", "https://shop.example.evil.example", False),
            ("/v1/feedback", "http://shop.example", False),
            ("/v1/feedback", "null", False),
            ("/v1/feedback/tokens", shop, False),
            ("/v1/feedback/batch", shop, False),
            ("/v1/chat/completions", shop, False),
        ):
            answer = server.http.options(path, headers={"Origin": origin, **asks})
            got = answer.headers.get("access-control-allow-origin")
            assert got == (shop if granted else None), (path, origin)
            assert (answer.status_code == 200) == granted
            assert "access-control-allow-credentials" not in answer.headers
        completion = server.asked()
        held = token(server, completion)
        told = {"completion_id": completion, "rating": "up"}
        headers = {"Origin": shop, **bearer(held)}
        answer = server.http.post("/v1/feedback", json=told, headers=headers)
        assert answer.status_code == 201, answer.text
        assert answer.headers["access-control-allow-origin"] == shop
        refused = server.http.post("/v1/feedback", json={}, headers=headers)
        assert refused.headers["access-control-allow-origin"] == shop, "the page may read why"


@on_sqlite
def test_without_the_setting_no_page_elsewhere_may_ask(own: Server) -> None:
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    answer = own.http.options("/v1/feedback", headers=asks)
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["*", "shop.example", "https://shop.example/", "https://Shop.example", "null", ""]
)
def test_what_is_no_origin_is_refused_with_an_example(origin: str) -> None:
    with pytest.raises(ValueError, match=r"https://shop\.example"):
        ServingSettings(widget_origins=[origin])
    assert ServingSettings(widget_origins=["http://localhost:3000", "https://[::1]:8443"])


@on_sqlite
def test_servers_that_share_a_secret_take_each_others_tokens(settings: Any) -> None:
    with running(settings, token_secrets=f"{'a' * 32} {'b' * 32}") as server:
        grant = server.parts.tokens.read(token(server, server.asked()))
        assert grant.kinds == ("rating", "reasons", "comment", "correction", "signal")
        assert not (settings.data_dir / "tokens.key").exists()


@on_sqlite
def test_a_secret_that_is_too_short_keeps_the_server_from_starting(settings: Any) -> None:
    from serving.app import make_tokens
    from serving.settings import Settings

    short = Settings.model_validate({"feedback": settings, "serving": {"token_secrets": "short"}})
    with pytest.raises(Invalid, match=r"serving\.token_secrets"):
        make_tokens(short)
