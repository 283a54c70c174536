"""ID tokens that do not hold: how each is made, and what is said of it."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.serving.oidc_provider import CLIENT, FOREIGN, GOOD, SECRET, signed, unsigned


def changed(**claims: Any) -> Callable[[dict[str, Any]], object]:
    """Overwrite claims of a token."""
    return lambda given: given.update(claims)


PEM = GOOD.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "another's nonce": ({"twist": changed(nonce="made up")}, "another attempt to sign in"),
    "no nonce": ({"twist": lambda claims: claims.pop("nonce")}, "a claim is missing"),
    "another audience": ({"twist": changed(aud="another shop")}, "made for another program"),
    "authorized for another": (
        {"twist": changed(aud=[CLIENT, "b"], azp="b")},
        "made for another program",
    ),
    "several audiences": ({"twist": changed(aud=[CLIENT, "b"])}, "made for another program"),
    "another issuer": ({"twist": changed(iss="https://evil.example")}, "another provider"),
    "expired": ({"twist": changed(exp=int(time.time()) - 120)}, "has expired"),
    "no end": ({"twist": lambda claims: claims.pop("exp")}, "a claim is missing"),
    "from the future": ({"twist": changed(iat=int(time.time()) + 900)}, "not good yet"),
    "no subject": ({"twist": changed(sub="")}, "whose it is"),
    "another key": ({"sign": lambda claims: signed(claims, FOREIGN)}, "its signature is not"),
    "an unknown key": ({"sign": lambda claims: signed(claims, kid="x")}, "not signed by one of"),
    "alg none": ({"sign": unsigned}, "not signed as it has to be"),
    "the client's secret": (
        {"sign": lambda claims: signed(claims, SECRET.ljust(32), "HS256")},
        "not signed as it has to be",
    ),
    "the public key as a secret": (
        {"sign": lambda claims: _hmac_with(PEM, claims)},
        "not signed as it has to be",
    ),
    "another kind of key": (
        {"sign": lambda claims: signed(claims, ec.generate_private_key(ec.SECP256R1()), "ES256")},
        "not signed as it has to be",
    ),
    "no token": ({"sign": lambda claims: "no.token"}, "it is none"),
}


def _hmac_with(secret: bytes, claims: dict[str, Any]) -> str:
    """Sign with HMAC and any secret; the library itself refuses a public key."""
    head = jwt.encode(claims, "x" * 32, "HS256", headers={"kid": "first"}).rpartition(".")[0]
    made = hmac.digest(secret, head.encode(), hashlib.sha256)
    return f"{head}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"
