"""Signing in by an OpenID provider: the authorization-code flow with PKCE. Knows no cookie, no table.

Two steps: `Provider.begin` says where a browser has to go, and `Provider.finish` learns from what it
brings back who that was. In between the browser keeps a signed note (`Pending`), which binds the
provider's answer to this browser (state), to this token (nonce) and to this server (PKCE).

OpenID Connect Core 1.0, Discovery 1.0; RFC 6749, RFC 7636 (PKCE), RFC 9207 (`iss` in the answer) and
the advice of RFC 9700. Extra: ``pip install 'heed[oidc]'``.
"""

import hashlib
import hmac
import importlib.util
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import jwt

from feedback.errors import Forbidden, Invalid, Unauthorized, Unavailable
from serving.oidc_addresses import is_confidential
from serving.oidc_asking import AGAIN, answered, asking
from serving.oidc_tokens import Keys, identity
from serving.settings import ServingSettings

CALLBACK = "/console/sign-in/oidc/callback"
PENDING_SECONDS = 600
"""Whoever takes longer to prove who they are begins again."""
KNOWN_SECONDS = 3600.0
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Pending:
    """What a browser keeps while it is at the provider's.

    Attributes:
        state: comes back in the provider's answer, and so proves that the answer is this browser's.
        nonce: has to be in the token, which so cannot be one that was made for another sign-in.
        verifier: the code is worth nothing to whoever does not know it (RFC 7636).
        to: the page of the console that was wanted.
    """

    state: str
    nonce: str
    verifier: str
    to: str


class Provider:
    """One OpenID provider, asked only while somebody signs in.

    Args:
        settings: with an issuer, a client and an address of ours.
    """

    def __init__(self, settings: ServingSettings) -> None:
        assert settings.oidc_issuer and settings.oidc_client_id and settings.oidc_client_secret
        self.settings = settings
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret.get_secret_value()
        self._signing = hmac.digest(
            self._secret.encode(), b"heed sign-in that is pending", "sha256"
        )
        self._metadata: dict[str, Any] = {}
        self._keys: Keys | None = None
        self._known_at = -KNOWN_SECONDS
        self._used: dict[str, float] = {}

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self.settings.public_url}{CALLBACK}"

    async def begin(self, to: str) -> tuple[str, str]:
        """Return where the browser has to go, and the note that it keeps meanwhile.

        Raises:
            Unavailable: the provider does not answer, or not as one.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        pending = Pending(state, nonce, verifier, to)
        async with asking() as http:
            found = await self._discovered(http)
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.settings.oidc_scopes,
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": _challenge(pending.verifier),
            "code_challenge_method": "S256",
        }
        where = found["authorization_endpoint"]
        address = f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}"
        claims = {**asdict(pending), "exp": int(time.time()) + PENDING_SECONDS}
        return address, jwt.encode(claims, self._signing, "HS256")

    def pending(self, note: str, state: str) -> Pending:
        """Return what a browser's note says, if the provider's answer belongs to it; once.

        Raises:
            Forbidden: it does not, is too old, or was used before.
        """
        try:
            claims = jwt.decode(
                note, self._signing, algorithms=["HS256"], options={"require": ["exp"]}
            )
        except jwt.ExpiredSignatureError as late:
            raise Forbidden(
                f"Signing in took longer than {PENDING_SECONDS // 60} minutes. {AGAIN}"
            ) from late
        except jwt.PyJWTError as fault:
            raise Forbidden(
                "This browser did not begin to sign in here, or not lately. Open the console at "
                f"{self.settings.public_url}/console/, allow its cookies, and sign in there."
            ) from fault
        until = float(claims.pop("exp"))
        known = Pending(**claims)
        if not hmac.compare_digest(known.state.encode(), state.encode(errors="replace")):
            raise Forbidden(f"This answer belongs to another attempt to sign in. {AGAIN}")
        now = time.time()
        self._used = {each: end for each, end in self._used.items() if end > now}
        if known.state in self._used:
            raise Forbidden(f"This answer of the provider was used before. {AGAIN}")
        self._used[known.state] = until
        return known

    async def finish(self, pending: Pending, answer: Mapping[str, str]) -> dict[str, Any]:
        """Return what the provider says of whoever signed in: the claims of a token that holds.

        Args:
            pending: of this browser, and of this answer's state.
            answer: the query with which the browser came back.

        Raises:
            Forbidden: the provider let nobody in, or the answer is another's.
            Unauthorized: the code or the token does not hold.
            Unavailable: the provider does not answer, or not as one.
        """
        async with asking() as http:
            found = await self._discovered(http)
            named = answer.get("iss")
            promised = found.get("authorization_response_iss_parameter_supported") is True
            if named != self._issuer and (named is not None or promised):
                raise Forbidden(f"This answer is not from {self._issuer}. {AGAIN}")
            if "error" in answer:
                told = answer.get("error_description") or answer["error"]
                raise Forbidden(f"The provider let nobody in: {told[:200]}. {AGAIN}")
            if not answer.get("code"):
                raise Forbidden(f"The provider's answer holds no code. {AGAIN}")
            tokens = await self._redeem(http, found, answer["code"], pending.verifier)
            assert self._keys is not None
            claims = await identity(
                tokens.get("id_token"),
                self._keys,
                http,
                issuer=self._issuer,
                client_id=self._client_id,
                nonce=pending.nonce,
            )
            return await self._completed(http, found, claims, tokens.get("access_token"))

    async def _discovered(self, http: httpx.AsyncClient) -> dict[str, Any]:
        if time.monotonic() - self._known_at < KNOWN_SECONDS:
            return self._metadata
        address = f"{self._issuer.removesuffix('/')}/.well-known/openid-configuration"
        found = await answered(http, "GET", address)
        if found.get("issuer") != self._issuer:
            raise Unavailable(
                f"The provider calls itself {found.get('issuer')!r}; serving.oidc_issuer has to be "
                f"exactly that, and is {self._issuer!r}."
            )
        for each in _ENDPOINTS:
            if not is_confidential(found.get(each)):
                raise Unavailable(f"The provider's `{each}` is no https:// address: {address}.")
        self._metadata, self._known_at = found, time.monotonic()
        self._keys = Keys(found["jwks_uri"])
        return found

    async def _redeem(
        self, http: httpx.AsyncClient, found: Mapping[str, Any], code: str, verifier: str
    ) -> dict[str, Any]:
        """Return the tokens that a code is worth (RFC 6749, 4.1.3)."""
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }
        ways = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        auth = None
        if "client_secret_basic" in ways:  # encoded as forms are, before Basic encodes it again
            auth = httpx.BasicAuth(quote(self._client_id, safe=""), quote(self._secret, safe=""))
        else:
            sent |= {"client_id": self._client_id, "client_secret": self._secret}
        return await answered(http, "POST", found["token_endpoint"], data=sent, auth=auth)

    async def _completed(
        self,
        http: httpx.AsyncClient,
        found: Mapping[str, Any],
        claims: dict[str, Any],
        access_token: object,
    ) -> dict[str, Any]:
        """Add what many providers tell only where it is asked for, with the access token."""
        wanted = (self.settings.oidc_name_claim, self.settings.oidc_role_claim.partition(".")[0])
        where = found.get("userinfo_endpoint")
        if all(each in claims for each in wanted) or not is_confidential(where):
            return claims
        told = await answered(
            http, "GET", str(where), headers={"Authorization": f"Bearer {access_token}"}
        )
        if told.get("sub") != claims["sub"]:
            raise Unauthorized(f"The provider told of somebody else than signed in. {AGAIN}")
        return {**told, **claims}


def provider(settings: ServingSettings) -> Provider | None:
    """Return the provider that the settings name; None where they name none.

    Raises:
        Invalid: they do, and the extra is not installed.
    """
    if settings.oidc_issuer is None:
        return None
    if importlib.util.find_spec("cryptography") is None:
        raise Invalid(
            "serving.oidc_issuer needs what checks a provider's signatures, which is not installed: "
            "`pip install 'heed[oidc]'`, or leave serving.oidc_issuer unset.",
            param="serving.oidc_issuer",
        )
    return Provider(settings)


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
