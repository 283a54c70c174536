"""`heed people`: making, listing, changing and removing accounts."""

from pathlib import Path
from typing import get_args

import pytest
from sqlmodel import select

from serving import accounts, sessions
from serving.auth import ACCOUNT_ROLES, hashed
from serving.commands.people import RoleName
from serving.models import AuditEntry
from serving.settings import ServingSettings
from tests.serving.command_line import document, done, fault, heed, store_at

SETTINGS = ServingSettings()


def test_the_roles_are_those_of_accounts() -> None:
    assert get_args(RoleName) == ACCOUNT_ROLES


def test_an_account_is_made_changed_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path, monkeypatch)
    assert "Nobody signs in yet" in done("people", "list")
    password = done("people", "create", "ada", "--role", "admin", "--generate").strip()
    made = document("people", "create", "lin")
    assert made["role"] == "viewer" and len(made["password"]) > 20
    listed = document("people", "list")["data"]
    assert [(row["name"], row["role"]) for row in listed] == [("ada", "admin"), ("lin", "viewer")]
    assert password not in str(listed)
    token = sessions.sign_in(store, SETTINGS, name="ada", password=password, address="::1")
    assert document("people", "role", "lin", "operator")["role"] == "operator"
    again = document("people", "password", "ada")["password"]
    with store.session() as session:
        assert sessions._of(session, hashed(token)) is None, "signed out everywhere"
        ada = accounts.named(session, "ada")
        assert accounts.verify(ada, again) and not accounts.verify(ada, password)
        assert ada.password_hash.startswith("$argon2id$")
    assert "last admin" in fault("people", "remove", "ada")
    assert "last admin" in fault("people", "role", "ada", "viewer")
    done("people", "remove", "lin")
    assert "No account 'lin'" in fault("people", "role", "lin", "viewer")
    with store.session() as session:
        actions = [row.action for row in session.exec(select(AuditEntry))]
    for action in ("create", "role", "password", "remove"):
        assert f"account.{action}" in actions


def test_a_name_is_free_again_once_its_account_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_at(tmp_path, monkeypatch)
    first = document("people", "create", "ada")["id"]
    assert "already" in fault("people", "create", "ada", "--generate")
    done("people", "remove", "ada")
    assert document("people", "create", "ada")["id"] != first


def test_a_short_password_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_at(tmp_path, monkeypatch)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "short")
    result = heed("people", "create", "ada")
    assert result.exit_code == 1
    assert "at least 10 characters" in result.stderr
