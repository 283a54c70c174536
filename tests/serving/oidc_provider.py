"""A little OpenID provider on loopback: it keeps the rules, and breaks those that a test names."""

import base64
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.serving.conftest import wait_until

CLIENT = "heed at the shop"
SECRET = "a secret: with signs/+ of all kinds"
GOOD = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FOREIGN = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ADA = {"sub": "248289761001", "preferred_username": "ada", "groups": ["heed-admins", "all"]}


def signed(
    claims: dict[str, Any],
    key: Any = GOOD,
    algorithm: str = "RS256",
    kid: str | None = "first",
) -> str:
    """A token with these claims."""
    return jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else {})


def unsigned(claims: dict[str, Any]) -> str:
    """A token that nobody signed, whose head says just that."""
    return jwt.encode(claims, "", "none", headers={"kid": "first"})


@dataclass
class Idp:
    """What the provider knows and does.

    Attributes:
        url: its issuer.
        person: what it says of whoever signs in.
        told: what it says at its `userinfo_endpoint` alone.
        twist: changes the claims of a token before it is signed.
        sign: makes a token of claims.
        down: answers nothing but 503.
        keys: under which names its public keys are published.
        asked: every request's path.
    """

    url: str = ""
    person: dict[str, Any] = field(default_factory=lambda: dict(ADA))
    told: dict[str, Any] = field(default_factory=dict)
    twist: Callable[[dict[str, Any]], object] = lambda claims: None
    sign: Callable[[dict[str, Any]], str] = signed
    metadata: dict[str, Any] = field(default_factory=dict)
    down: bool = False
    forgets_codes: bool = True
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=lambda: {"first": GOOD})
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def again(self) -> "Idp":
        """As at the start."""
        fresh = Idp()
        for name in vars(fresh):
            if name != "url":
                setattr(self, name, getattr(fresh, name))
        return self

    async def discovery(self, request: Request) -> Response:
        told = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            **self.metadata,
        }
        return JSONResponse(told)

    async def authorize(self, request: Request) -> Response:
        """A page with one button, as a person who is known already sees it."""
        query = escape(request.url.query)
        return HTMLResponse(
            f"<!doctype html><html lang=en><link rel=icon href='data:,'><title>Provider</title>"
            f'<a href="/approve?{query}">Continue as Ada</a>'
        )

    async def approve(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        sent = {"code": code, "state": asked["state"]}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(sent)}", 303)

    async def token(self, request: Request) -> Response:
        sent = dict(parse_qsl((await request.body()).decode()))
        given = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if [unquote(each) for each in given.split(":")] != [CLIENT, SECRET]:
            return JSONResponse({"error": "invalid_client"}, 401)
        take = self.codes.pop if self.forgets_codes else self.codes.get
        asked = take(sent.get("code", ""), None)
        challenge = hashlib.sha256(sent["code_verifier"].encode()).digest()
        if (
            asked is None
            or asked["redirect_uri"] != sent["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).decode().rstrip("=") != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
        }
        self.twist(claims)
        return JSONResponse(
            {"access_token": "opaque", "token_type": "Bearer", "id_token": self.sign(claims)}
        )

    async def jwks(self, request: Request) -> Response:
        algorithm = jwt.algorithms.RSAAlgorithm
        keys = [
            {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}
            for name, key in self.keys.items()
        ]
        return JSONResponse({"keys": keys})

    async def userinfo(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer opaque"
        return JSONResponse({"sub": self.person["sub"], **self.told})


@contextmanager
def provider() -> Iterator[Idp]:
    """Run it until the block ends."""
    idp = Idp()
    routes = {
        "/.well-known/openid-configuration": idp.discovery,
        "/authorize": idp.authorize,
        "/approve": idp.approve,
        "/token": idp.token,
        "/jwks": idp.jwks,
        "/userinfo": idp.userinfo,
    }

    def held(act: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            idp.asked.append(request.url.path)
            if idp.down:
                return HTMLResponse("<h1>Under repair</h1>", 503)
            made: Response = await act(request)
            return made

        return answer

    app = Starlette(
        routes=[
            Route(path, held(act), methods=["POST" if path == "/token" else "GET"])
            for path, act in routes.items()
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    with socket.socket(proto=socket.IPPROTO_TCP) as door:
        door.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        idp.url = f"http://127.0.0.1:{door.getsockname()[1]}"
        try:
            yield idp
        finally:
            server.should_exit = True
            thread.join(30)
