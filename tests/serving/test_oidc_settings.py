"""What a provider needs before Heed starts, and whom its claims make somebody here."""

import sys
from typing import Any

import pytest

from feedback.errors import Invalid
from serving import oidc_people
from serving.app import create_app
from serving.engines.echo import EchoEngine
from serving.oidc_addresses import is_confidential
from serving.settings import ServingSettings, load

WHOLE: dict[str, Any] = {
    "public_url": "https://heed.example",
    "oidc_issuer": "https://idp.example",
    "oidc_client_id": "heed",
    "oidc_client_secret": "secret",
    "oidc_roles": {"admins": "admin", "staff": "reviewer"},
}


@pytest.mark.parametrize("lacking", ["public_url", "oidc_client_id", "oidc_client_secret"])
def test_an_issuer_alone_is_not_enough(lacking: str) -> None:
    with pytest.raises(Invalid, match=f"oidc_issuer needs more: set {lacking}"):
        load(serving={name: said for name, said in WHOLE.items() if name != lacking})


def test_without_any_role_nobody_could_get_in() -> None:
    with pytest.raises(Invalid, match=r"oidc_roles \(or oidc_default_role\)"):
        load(serving={**WHOLE, "oidc_roles": {}})
    assert load(serving={**WHOLE, "oidc_roles": {}, "oidc_default_role": "viewer"})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("oidc_issuer", "http://idp.example"),
        ("oidc_issuer", "idp.example"),
        ("oidc_issuer", "https://idp.example/?tenant=1"),
        ("oidc_issuer", "https://me:word@idp.example"),
        ("public_url", "heed.example"),
        ("public_url", "https://heed.example/console"),
        ("oidc_scopes", "profile email"),
        ("oidc_roles", {"admins": "owner"}),
        ("oidc_default_role", "client"),
        ("oidc_client_secret", ""),
    ],
)
def test_what_does_not_fit_is_named(name: str, wrong: object) -> None:
    with pytest.raises(Invalid, match=f"serving.{name}"):
        load(serving={**WHOLE, name: wrong})


def test_roles_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, said in WHOLE.items():
        monkeypatch.setenv(f"HEED_SERVING__{name.upper()}", str(said).replace("'", '"'))
    assert load().serving.oidc_roles == WHOLE["oidc_roles"]


def test_secrets_are_sent_to_nobody_in_the_clear() -> None:
    assert is_confidential("https://idp.example/token?tenant=1")
    assert is_confidential("http://127.0.0.1:8/token") and is_confidential("http://[::1]/token")
    for wrong in (
        "http://idp.example",
        "ftp://idp.example",
        "https://",
        "//x",
        "http://[",
        None,
        7,
    ):
        assert not is_confidential(wrong), wrong


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["staff", "admins"]}, "admin"),
        ({"groups": "staff"}, "reviewer"),
        ({"groups": ["Admins", 7, None]}, "viewer"),
        ({"groups": {"admins": 1}}, "viewer"),
        ({}, "viewer"),
    ],
)
def test_of_several_values_the_highest_role_counts(claims: dict[str, Any], role: str) -> None:
    settings = ServingSettings(**WHOLE, oidc_default_role="viewer")
    assert oidc_people.role_of(settings, claims) == role
    if role == "viewer":
        assert oidc_people.role_of(ServingSettings(**WHOLE), claims) is None


def test_a_claim_may_lie_within_another_and_may_have_dots_in_its_name() -> None:
    settings = ServingSettings(**WHOLE, oidc_role_claim="realm_access.roles")
    assert oidc_people.role_of(settings, {"realm_access": {"roles": ["staff"]}}) == "reviewer"
    assert oidc_people.role_of(settings, {"realm_access": ["staff"]}) is None
    assert oidc_people.role_of(settings, {"realm_access.roles": "staff"}) == "reviewer"


def test_a_name_is_one_that_accounts_may_have() -> None:
    settings = ServingSettings(**WHOLE, oidc_name_claim="email")
    assert oidc_people.name_of(settings, {"email": " ada@shop.example "}) == "ada@shop.example"
    for wrong, said in (
        ({}, "there is no text `email`"),
        ({"email": 7}, "there is no text `email`"),
        ({"email": "a" * 61}, "1 to 60 printable"),
        ({"email": "a\u202eb"}, "1 to 60 printable"),
        ({"email": "ada@shop.example", "email_verified": False}, "has not confirmed"),
    ):
        with pytest.raises(Invalid, match=said):
            oidc_people.name_of(settings, wrong)


def test_without_the_extra_a_console_with_a_provider_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)  # as where it is not installed
    settings = load(serving={"engine": "echo", **WHOLE})
    with pytest.raises(Invalid, match=r"`pip install 'heed\[oidc\]'`"):
        create_app(settings, engine=EchoEngine(), roles=("api", "console"))
    create_app(settings, engine=EchoEngine(), roles=("api",))
    create_app(load(), engine=EchoEngine(), roles=("api", "console"))
