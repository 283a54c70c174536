"""Signing feedback tokens: what is accepted, what is not, and secrets that change."""

import base64
import json
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from feedback.errors import Busy, Invalid, Unauthorized
from serving.tokens import KEY_FILE, MARK, Grant, Tally, Tokens, rotate
from tests.serving.command_line import document, done, fault, store_at

GIVEN = "a" * 32
OTHER = "b" * 32
GRANT = Grant(
    completion_id="chatcmpl-1",
    person_id="per_1",
    people_key_id="key_of_people",
    key_id="key_1",
    kinds=("rating", "signal"),
    expires_at=int(time.time()) + 86_400,  # a run of all tests may take a while
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / KEY_FILE


@pytest.fixture
def tokens(file: Path) -> Tokens:
    return Tokens(GIVEN, file)


def claims(token: str) -> dict[str, Any]:
    """What a token says, believed without a look at its signature."""
    found: dict[str, Any] = jwt.decode(
        token.removeprefix(MARK), options={"verify_signature": False}
    )
    return found


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def resigned(token: str, secret: str = GIVEN, **head: Any) -> str:
    """The same claims, signed anew with other words in the head."""
    kept = jwt.get_unverified_header(token.removeprefix(MARK))
    return MARK + jwt.encode(claims(token), secret, "HS256", headers={**kept, **head})


def test_a_token_says_again_what_it_was_made_for(tokens: Tokens) -> None:
    assert tokens.read(tokens.issue(GRANT)) == GRANT
    without_key = replace(GRANT, key_id=None)
    assert tokens.read(tokens.issue(without_key)) == without_key


def test_no_letter_of_a_token_can_be_changed(tokens: Tokens) -> None:
    token = tokens.issue(GRANT)
    last = len(token) - 1  # its lowest bits mean nothing in base 64
    for place in range(last):
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(Unauthorized):
            tokens.read(f"{token[:place]}{other}{token[place + 1 :]}")


def test_claims_are_not_believed_without_their_signature(tokens: Tokens) -> None:
    token = tokens.issue(GRANT)
    head, _, signature = token.removeprefix(MARK).split(".")
    forged = [
        MARK + ".".join((head, encoded({**claims(token), "sub": "per_2"}), signature)),
        MARK + ".".join((encoded({"alg": "none"}), encoded(claims(token)), "")),
        MARK + jwt.encode(claims(token), "", "none", headers={"kid": "a", "typ": "JWT"}),
        resigned(token, OTHER),
        resigned(token, typ="JWT"),
        resigned(token, kid="unknown"),
    ]
    for each in forged:
        with pytest.raises(Unauthorized, match="not made here"):
            tokens.read(each)
    assert tokens.read(resigned(token)) == GRANT  # what the forgeries above lack is all they lack


def test_a_token_of_another_kind_that_has_the_same_secret_is_none_of_ours(tokens: Tokens) -> None:
    token = tokens.issue(GRANT)
    head = jwt.get_unverified_header(token.removeprefix(MARK))
    for other in ({"aud": "sessions"}, {"project": "another"}, {"aud": None}):
        forged = jwt.encode({**claims(token), **other}, GIVEN, "HS256", headers=head)
        with pytest.raises(Unauthorized):
            tokens.read(MARK + forged)


@pytest.mark.parametrize(
    "token",
    [
        "",
        MARK,
        f"{MARK}.",
        f"{MARK}..",
        f"{MARK}a.b.c",
        f"{MARK}é.b.c",
        f"{MARK}\ud800.b.c",
        f"{MARK}{'a' * 5000}",
        f"{MARK}{base64.urlsafe_b64encode(b'[' * 2900).decode()}.e30.e30",
        f"{MARK}{encoded([])}.e30.e30",
        f"{MARK}{encoded({'alg': 'HS256', 'kid': 5})}.e30.e30",
        f"{MARK}{encoded({'alg': 'HS256', 'kid': ['a']})}.e30.e30",
        jwt.encode({"sub": "a"}, GIVEN, "HS256"),
    ],
    ids=lambda token: ascii(token)[:24],
)
def test_what_is_no_token_is_refused_and_breaks_nothing(tokens: Tokens, token: str) -> None:
    with pytest.raises(Unauthorized):
        tokens.read(token)


def test_a_token_ends_when_it_says(tokens: Tokens) -> None:
    token = tokens.issue(replace(GRANT, expires_at=int(time.time())))
    with pytest.raises(Unauthorized, match="expired"):
        tokens.read(token)


def test_a_secret_is_made_once_and_for_its_owner_alone(file: Path) -> None:
    token = Tokens(None, file).issue(GRANT)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Tokens(None, file).read(token) == GRANT
    assert [path.name for path in file.parent.iterdir()] == [KEY_FILE]


def test_processes_that_start_together_sign_with_one_secret(file: Path) -> None:
    made: list[Tokens] = []
    starting = [threading.Thread(target=lambda: made.append(Tokens(None, file))) for _ in range(8)]
    for each in starting:
        each.start()
    for each in starting:
        each.join()
    assert len(made) == 8
    assert {one.read(other.issue(GRANT)) for one in made for other in made} == {GRANT}


def test_after_a_rotation_the_new_secret_signs_and_the_one_before_is_accepted(file: Path) -> None:
    running = Tokens(None, file)
    first = running.issue(GRANT)
    new_id = rotate(file)
    restarted = Tokens(None, file)
    second = restarted.issue(GRANT)
    assert jwt.get_unverified_header(second.removeprefix(MARK))["kid"] == new_id
    assert jwt.get_unverified_header(first.removeprefix(MARK))["kid"] != new_id
    assert restarted.read(first) == running.read(second) == GRANT  # without a restart, too
    rotate(file)
    with pytest.raises(Unauthorized):
        Tokens(None, file).read(first)


def test_given_secrets_sign_with_the_first_and_accept_all(file: Path) -> None:
    old, both, new = Tokens(OTHER, file), Tokens(f"{GIVEN} {OTHER}", file), Tokens(GIVEN, file)
    assert both.read(old.issue(GRANT)) == new.read(both.issue(GRANT)) == GRANT
    with pytest.raises(Unauthorized):
        new.read(old.issue(GRANT))
    assert not file.exists()


def test_secrets_that_are_none_or_too_short_are_refused(file: Path) -> None:
    for given in ("", "  ", "short", f"{GIVEN} short"):
        with pytest.raises(Invalid, match="openssl rand"):
            Tokens(given, file)
    file.write_text("short\n")
    with pytest.raises(Invalid, match=KEY_FILE):
        Tokens(None, file)
    file.write_text("")
    with pytest.raises(Invalid):
        rotate(file)


def test_a_secret_that_is_spoilt_while_it_is_used_changes_nothing(file: Path) -> None:
    tokens = Tokens(None, file)
    token = tokens.issue(GRANT)
    file.write_text("short\n")
    with pytest.raises(Unauthorized):
        tokens.read(resigned(token, kid="unknown"))
    assert tokens.read(token) == GRANT


def test_one_answer_is_spoken_of_so_often_and_then_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("serving.tokens.time", SimpleNamespace(monotonic=lambda: now))
    tally = Tally()
    for _ in range(Tally.MOST):
        tally.count(GRANT)
    with pytest.raises(Busy):
        tally.count(GRANT)
    tally.count(replace(GRANT, person_id="per_2"))
    tally.count(replace(GRANT, completion_id="chatcmpl-2"))
    now += Tally.SECONDS
    tally.count(GRANT)


def test_the_tally_of_many_answers_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "KEPT", 3)
    tally = Tally()
    for number in range(10):
        tally.count(replace(GRANT, completion_id=f"chatcmpl-{number}"))
    assert len(tally._counts) == 3


def test_the_command_rotates_and_says_what_happens_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    store_at(folder, monkeypatch).close()
    before = Tokens(None, folder / KEY_FILE).issue(GRANT)
    made = document("keys", "rotate-tokens")
    after = Tokens(None, folder / KEY_FILE)
    assert jwt.get_unverified_header(after.issue(GRANT).removeprefix(MARK))["kid"] == made["id"]
    assert after.read(before) == GRANT
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    said = done("keys", "rotate-tokens")
    assert "restarted" in said
    kept = (folder / KEY_FILE).read_text().split()
    assert not any(secret in said for secret in kept)
    monkeypatch.setenv("HEED_SERVING__TOKEN_SECRETS", GIVEN)
    assert "serving.token_secrets" in fault("keys", "rotate-tokens")
