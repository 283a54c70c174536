"""Feedback tokens: what a browser holds in place of a key. Knows no route and no table.

A token is a JSON Web Token (RFC 7519) behind the mark ``hft_``, signed with HMAC-SHA-256. It says
which answer may be spoken of, for which person, with which kinds of feedback and until when; it
gives no other right. The rules of RFC 8725 that concern it are kept: one algorithm, a type and an
audience of its own, a random secret of 256 bits.
"""

import contextlib
import hashlib
import math
import os
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import jwt

from feedback.durable import staged_secret
from feedback.errors import Busy, Forbidden, Invalid, Unauthorized
from feedback.settings import PROJECT
from feedback.submission import TEACHING, Submission

Kind = Literal["rating", "reasons", "comment", "correction", "survey", "signal"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What a token may allow. A preference names a second answer, to which no token is bound."""
MARK = "hft_"
KEY_FILE = "tokens.key"
MOST_SECONDS = 86_400
SECRET_BYTES = 32
_MOST_CHARACTERS = 4096
_ALGORITHM = "HS256"
_TYPE = "heed-feedback+jwt"
_AUDIENCE = "heed-feedback"


@dataclass(frozen=True)
class Grant:
    """What one token allows.

    Attributes:
        people_key_id: under which key `person_id` was hashed.
        key_id: the API key that asked for the token, None while there were none.
        expires_at: Unix seconds.
    """

    completion_id: str
    person_id: str
    people_key_id: str
    key_id: str | None
    kinds: tuple[Kind, ...]
    expires_at: int

    def admit(self, said: Submission, named: str | None) -> Submission:
        """Return what a holder of the token sends, as it is taken in.

        Its event id is made this person's and this answer's own: a page could else use up the
        ids under which a backend is going to send.

        Args:
            named: the person that it names itself, if any.

        Raises:
            Forbidden: it is about something else, of another kind, or somebody else's word.
        """
        if said.completion_id != self.completion_id or said.conversation_id is not None:
            raise Forbidden(
                f"This token is for feedback on {self.completion_id} alone; ask for one for each "
                "answer.",
                param="completion_id" if said.conversation_id is None else "conversation_id",
            )
        if named not in (None, self.person_id):
            raise Forbidden(
                "This token speaks for another person; leave `user` out, since the token says who "
                "it is.",
                param="user",
            )
        for kind in TEACHING:
            if getattr(said, kind) is not None and kind not in self.kinds:
                allowed = ", ".join(f"`{each}`" for each in self.kinds)
                raise Forbidden(f"This token does not allow `{kind}`, but {allowed}.", param=kind)
        if said.event_id is None:
            return said
        own = f"{self.completion_id}\n{self.person_id}\n{said.event_id}"
        digest = hashlib.sha256(own.encode(errors="surrogatepass")).hexdigest()
        return said.model_copy(update={"event_id": f"{MARK}{digest}"})


class Tokens:
    """Signs tokens and reads them; of several secrets the first signs and all are accepted.

    Args:
        given: the secrets of the settings; without, those of a file.
        file: read, or made where it is not there and no secrets are given.

    Raises:
        Invalid: no secret in it, or too short a one.
    """

    def __init__(self, given: str | None, file: Path) -> None:
        self._given = given
        self._file = file
        self._secrets: dict[str, bytes] = {}
        self._load()

    def issue(self, grant: Grant) -> str:
        """Return a token."""
        kid, secret = next(iter(self._secrets.items()))
        claims = {
            "aud": _AUDIENCE,
            "project": PROJECT,
            "sub": grant.person_id,
            "people_key": grant.people_key_id,
            "key": grant.key_id,
            "completion": grant.completion_id,
            "kinds": list(grant.kinds),
            "iat": int(time.time()),
            "exp": grant.expires_at,
        }
        return MARK + jwt.encode(claims, secret, _ALGORITHM, headers={"kid": kid, "typ": _TYPE})

    def read(self, token: str) -> Grant:
        """Return what a token allows.

        Raises:
            Unauthorized: it was not signed here, was changed, or is too old.
        """
        signed = token.removeprefix(MARK)
        forged = Unauthorized("This feedback token was not made here, or was changed on its way.")
        if signed == token or not signed.isascii() or len(token) > _MOST_CHARACTERS:
            raise forged
        try:
            head = jwt.get_unverified_header(signed)
            secret = self._secret(head.get("kid"))
            if secret is None or head.get("typ") != _TYPE:
                raise forged
            claims = jwt.decode(
                signed,
                secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                options={"require": ["aud", "sub", "iat", "exp"]},
            )
        except jwt.ExpiredSignatureError as late:
            raise Unauthorized(
                "This feedback token has expired; have the page's own server ask for a new one."
            ) from late
        except jwt.PyJWTError as fault:  # nothing is believed of what it quotes
            raise forged from fault
        if claims["project"] != PROJECT:
            raise forged
        return _grant(claims)

    def _secret(self, kid: Any) -> bytes | None:
        if kid not in self._secrets and self._given is None:
            # Another process may have put a new one into use.
            with contextlib.suppress(Invalid):
                self._load()
        return self._secrets.get(kid)

    def _load(self) -> None:
        named = "serving.token_secrets" if self._given is not None else str(self._file)
        found = (self._given if self._given is not None else _kept(self._file)).split()
        if not found or any(len(each.encode()) < SECRET_BYTES for each in found):
            raise Invalid(
                f"{named} must hold secrets of {SECRET_BYTES} bytes or more, separated by blanks; "
                "`openssl rand -hex 32` makes one.",
                param="serving.token_secrets",
            )
        self._secrets = {_key_id(each): each.encode() for each in found}


class Tally:
    """How often each token's answer was spoken of lately; memory of this process alone.

    One vote counts whatever is sent, but everything that is sent is kept: a page must not fill
    the disk.
    """

    MOST = 120
    SECONDS = 3600.0
    KEPT = 10_000

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def count(self, grant: Grant) -> None:
        """Count one request.

        Raises:
            Busy: there were too many.
        """
        who, now = (grant.completion_id, grant.person_id), time.monotonic()
        began, count = self._counts.get(who, (now, 0))
        if now - began >= self.SECONDS:
            began, count = now, 0
        if count >= self.MOST:
            raise Busy(
                f"{self.MOST} pieces of feedback on one answer within an hour are enough; come "
                "back later.",
                after_seconds=math.ceil(began + self.SECONDS - now),
            )
        self._counts[who] = began, count + 1
        self._counts.move_to_end(who)
        while len(self._counts) > self.KEPT:
            self._counts.popitem(last=False)


def rotate(file: Path) -> str:
    """Put a fresh secret before those of a file and return its id; the one before stays accepted.

    Those older still are dropped: no token of theirs is valid any longer, unless secrets are
    rotated more than once a day.

    Raises:
        Invalid: the file holds none.
    """
    before = _kept(file).split()
    if not before:
        raise Invalid(f"{file} holds no secret; remove it, and Heed makes another at its start.")
    fresh = secrets.token_hex(SECRET_BYTES)
    os.replace(staged_secret(file, f"{fresh}\n{before[0]}\n"), file)
    return _key_id(fresh)


def _kept(file: Path) -> str:
    """Read the secrets of a file, or make one where there is no file."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = staged_secret(file, secrets.token_hex(SECRET_BYTES) + "\n")
        try:
            os.link(fresh, file)  # atomic, and never overwrites what another process made
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return file.read_text()


def _key_id(secret: str) -> str:
    """Names a secret without giving it away."""
    return hashlib.sha256(b"heed token key id" + secret.encode()).hexdigest()[:12]


def _grant(claims: dict[str, Any]) -> Grant:
    return Grant(
        completion_id=claims["completion"],
        person_id=claims["sub"],
        people_key_id=claims["people_key"],
        key_id=claims["key"],
        kinds=tuple(claims["kinds"]),
        expires_at=claims["exp"],
    )
