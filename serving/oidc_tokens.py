"""Whether an ID token holds: its signature, and every claim that says for whom it is.

OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725. Only signatures by a provider's private key are
taken: neither none, nor one by a secret that both sides know. Knows no flow and no account.
"""

import hmac
from typing import Any

import httpx
import jwt

from feedback.errors import Unauthorized, Unavailable
from serving.oidc_asking import answered

ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
LEEWAY_SECONDS = 60
"""By so much two clocks may differ."""
_REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.InvalidSignatureError: "its signature is not the provider's",
    jwt.InvalidAlgorithmError: "it is not signed as it has to be",
    jwt.InvalidAudienceError: "it was made for another program",
    jwt.InvalidIssuerError: "another provider made it",
    jwt.ImmatureSignatureError: "it is not good yet; look whether this server's clock is right",
    jwt.MissingRequiredClaimError: "a claim is missing in it",
}
_REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nonce"]


class Keys:
    """The keys with which a provider signs; asked for again where one is not known.

    Args:
        address: where they are published.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._keys: list[jwt.PyJWK] = []

    async def find(self, http: httpx.AsyncClient, key_id: object) -> jwt.PyJWK:
        """Return the key that a token names; where it names none, the only one there is.

        Raises:
            Unauthorized: there is no such key.
            Unavailable: the provider does not tell its keys.
        """
        for _ in range(2):
            named = [each for each in self._keys if key_id in (None, each.key_id)]
            if len(named) == 1:
                return named[0]
            if key_id is None and named:
                break
            told = await answered(http, "GET", self._address)
            try:
                found = jwt.PyJWKSet.from_dict(told)
            except (jwt.PyJWTError, ValueError, TypeError) as fault:
                raise Unavailable(
                    f"The sign-in provider's keys at {self._address} cannot be read."
                ) from fault
            self._keys = [each for each in found.keys if each.public_key_use in (None, "sig")]
        raise Unauthorized("The provider's token is not signed by one of its keys.")


async def identity(
    token: object,
    keys: Keys,
    http: httpx.AsyncClient,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
) -> dict[str, Any]:
    """Return the claims of an ID token that holds.

    Args:
        token: as the provider sent it.
        keys: the provider's.
        http: to ask for the keys.
        issuer: who has to have made it.
        client_id: for whom.
        nonce: for which attempt to sign in.

    Raises:
        Unauthorized: it does not hold; says in what, and quotes nothing of it.
        Unavailable: the provider does not tell its keys.
    """
    if not isinstance(token, str):
        raise Unauthorized("The provider sent no ID token; serving.oidc_scopes needs `openid`.")
    try:
        key = await keys.find(http, jwt.get_unverified_header(token).get("kid"))
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=ALGORITHMS.get(str(key.key_type), ()),
            audience=client_id,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": _REQUIRED},
        )
    except jwt.ExpiredSignatureError as late:
        raise Unauthorized(
            "The provider's token has expired; look whether this server's clock is right."
        ) from late
    except jwt.PyJWTError as fault:
        raise Unauthorized(f"The provider's token does not hold ({_reason(fault)}).") from fault
    if not hmac.compare_digest(str(claims["nonce"]).encode(errors="replace"), nonce.encode()):
        raise Unauthorized("The provider's token was made for another attempt to sign in.")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else client_id) != client_id:
        raise Unauthorized("The provider's token was made for another program.")
    if not claims["sub"]:
        raise Unauthorized("The provider's token does not say whose it is.")
    return claims


def _reason(fault: jwt.PyJWTError) -> str:
    """In what a token does not hold; the library's own words could quote the token."""
    for kind, said in _REASONS.items():
        if isinstance(fault, kind):
            return said
    return "it is none"
