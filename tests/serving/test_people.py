"""Accounts, keys, the audit log and the settings over HTTP."""

import pytest
from sqlmodel import select

from serving import accounts
from serving.models import AuditEntry
from tests.serving.conftest import CHEAP_MIB, PASSWORD, Server, fault, on_sqlite

NEW = "another four plain words"


@pytest.fixture
def admin(console: Server) -> dict[str, str]:
    """The headers of an admin's page."""
    return console.signed_in("admin")


def actions(server: Server) -> list[str]:
    """What was done, in no order."""
    with server.store.session() as session:
        return sorted(row.action for row in session.exec(select(AuditEntry)))


def opens(server: Server, name: str, password: str) -> bool:
    """Whether this is the password."""
    with server.store.session() as session:
        return accounts.verify(accounts.find(session, name), password, CHEAP_MIB)


def test_an_account_is_made_with_a_password_that_is_shown_once(
    console: Server, admin: dict[str, str]
) -> None:
    made = console.http.post("/v1/people", json={"name": "lin"}, headers=admin)
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["name"], body["role"]) == ("lin", "viewer")
    assert opens(console, "lin", body["password"])
    assert body["password"] not in console.everything()
    listed = console.http.get("/v1/people", headers=admin).json()["data"]
    assert [(row["name"], row["role"]) for row in listed] == [
        ("lin", "viewer"),
        ("test admin", "admin"),
    ]
    assert "password" not in str(listed)
    given = {"name": "a/b c", "role": "operator", "password": PASSWORD}
    chosen = console.http.post("/v1/people", json=given, headers=admin).json()
    assert "password" not in chosen and opens(console, "a/b c", PASSWORD)
    again = console.http.post("/v1/people", json={"name": "lin"}, headers=admin)
    assert again.status_code == 409
    assert actions(console) == ["account.create"] * 2


def test_a_role_and_a_password_are_changed_and_hold_at_once(
    console: Server, admin: dict[str, str]
) -> None:
    theirs = console.signed_in("viewer")
    path = "/v1/people/test viewer"
    changed = console.http.patch(path, json={"role": "reviewer"}, headers=admin)
    assert changed.json()["role"] == "reviewer" and "password" not in changed.json()
    assert console.http.get("/v1/adapters", headers=theirs).status_code == 200
    body = console.http.patch(path, json={"generate_password": True}, headers=admin).json()
    assert opens(console, "test viewer", body["password"])
    assert not opens(console, "test viewer", PASSWORD)
    assert console.http.get("/v1/models", headers=theirs).status_code == 401
    for wrong in ({}, {"role": "owner"}, {"password": NEW, "generate_password": True}):
        assert console.http.patch(path, json=wrong, headers=admin).status_code == 400
    short = console.http.patch(path, json={"role": "admin", "password": "short"}, headers=admin)
    assert short.status_code == 400
    listed = console.http.get("/v1/people", headers=admin).json()["data"]
    assert [row["role"] for row in listed] == ["admin", "reviewer"], "all of it or nothing"
    assert actions(console) == ["account.password", "account.role"]


def test_an_account_is_removed_and_its_name_with_a_slash_is_found(
    console: Server, admin: dict[str, str]
) -> None:
    console.account("viewer", "a/b")
    theirs = console.http.delete("/v1/people/a%2Fb", headers=admin)
    assert theirs.json()["removed"] is True
    gone = console.http.delete("/v1/people/a/b", headers=admin)
    assert gone.status_code == 404 and "heed people list" in fault(gone)["message"]


def test_the_last_admin_stays(console: Server, admin: dict[str, str]) -> None:
    console.account("viewer")
    for answer in (
        console.http.delete("/v1/people/test admin", headers=admin),
        console.http.patch("/v1/people/test admin", json={"role": "viewer"}, headers=admin),
    ):
        assert answer.status_code == 409
        assert "last admin" in fault(answer)["message"]
    assert actions(console) == []


def test_the_first_account_is_an_admins(console: Server) -> None:
    answer = console.http.post("/v1/people", json={"name": "lin", "role": "operator"})
    assert answer.status_code == 409 and "first account" in fault(answer)["message"]
    assert console.http.post("/v1/people", json={"name": "ada", "role": "admin"}).is_success
    assert console.http.get("/v1/people").status_code == 401


def test_people_change_their_own_password_and_end_their_own_sessions(console: Server) -> None:
    theirs = console.signed_in("viewer")
    assert console.http.get("/v1/account", headers=theirs).json()["name"] == "test viewer"
    path = "/v1/account/password"
    wrong = {"current": "not this one", "password": NEW}
    assert console.http.post(path, json=wrong, headers=theirs).status_code == 401
    short = {"current": PASSWORD, "password": "short"}
    assert console.http.post(path, json=short, headers=theirs).status_code == 400
    assert accounts.verify(None, "half \ud83d", CHEAP_MIB) is False
    right = {"current": PASSWORD, "password": NEW}
    assert console.http.post(path, json=right, headers=theirs).status_code == 200
    assert console.http.get("/v1/account", headers=theirs).status_code == 401
    assert opens(console, "test viewer", NEW)
    others = console.signed_in("reviewer")
    assert console.http.delete("/v1/account/sessions", headers=others).status_code == 200
    assert console.http.get("/v1/account", headers=others).status_code == 401
    _, key = console.key("client")
    assert console.http.get("/v1/account", headers=key).json()["role"] == "client"
    refused = console.http.delete("/v1/account/sessions", headers=key)
    assert refused.status_code == 409


def test_guessing_ones_own_password_is_stopped_too(
    console: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.sessions.MOST_OF_A_NAME", 2)
    theirs = console.signed_in("viewer")
    bodies = [{"current": each, "password": NEW} for each in ("wrong", "wrong", PASSWORD)]
    said = [
        console.http.post("/v1/account/password", json=each, headers=theirs).status_code
        for each in bodies
    ]
    assert said == [401, 401, 429]


def test_a_key_is_shown_once_and_revoked_for_good(console: Server, admin: dict[str, str]) -> None:
    body = {"role": "reviewer", "name": "the shop"}
    made = console.http.post("/v1/keys", json=body, headers=admin)
    assert made.status_code == 201
    token = made.json()["key"]
    assert token not in console.everything()
    listed = console.http.get("/v1/keys", headers=admin).json()["data"]
    assert [(row["name"], row["revoked_at"]) for row in listed] == [("the shop", None)]
    assert token not in str(listed)
    key = {"Authorization": f"Bearer {token}"}
    assert console.http.get("/v1/adapters", headers=key).status_code == 200
    for _ in range(2):
        gone = console.http.delete(f"/v1/keys/{made.json()['id']}", headers=admin)
        assert gone.json()["revoked_at"]
    assert console.http.get("/v1/adapters", headers=key).status_code == 401
    assert console.http.delete("/v1/keys/key_none", headers=admin).status_code == 404
    assert actions(console) == ["key.create", "key.revoke", "key.revoke"]


def test_the_audit_log_is_paged_and_filtered(console: Server, admin: dict[str, str]) -> None:
    for name in ("a", "b", "c"):
        console.http.post("/v1/people", json={"name": name}, headers=admin)
    console.http.post("/v1/keys", json={}, headers=admin)
    found, after = [], ""
    while True:
        page = console.http.get(f"/v1/audit?limit=3{after}", headers=admin).json()
        found += page["data"]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert sorted(row["action"] for row in found) == ["account.create"] * 3 + ["key.create"]
    assert [row["id"] for row in found] == sorted((row["id"] for row in found), reverse=True)
    assert {row["actor_name"] for row in found} == {"test admin"}
    assert {row["subject_name"] for row in found} >= {"a", "b", "c"}

    def count(query: str) -> int:
        return len(console.http.get(f"/v1/audit?{query}", headers=admin).json()["data"])

    assert count("action=key.create") == 1
    assert count("action=account.") == 3
    assert count("action=account%25") == 0
    assert count("actor=test admin") == 4
    assert count("actor=cli") == 0
    assert console.http.get("/v1/audit?after=nonsense", headers=admin).status_code == 400


def test_the_settings_in_force_are_told_without_their_secrets(
    console: Server, admin: dict[str, str]
) -> None:
    rows = console.http.get("/v1/settings", headers=admin).json()["data"]
    found = {row["name"]: row for row in rows}
    assert found["serving.engine"]["value"] == "echo"
    assert found["serving.engine"]["source"] == "flag"
    assert found["serving.port"]["source"] == "default"
    url = console.parts.settings.feedback.database_url
    if url:
        assert url not in str(rows), "its password is masked"


@on_sqlite
def test_a_schedule_is_read_aloud(own: Server) -> None:
    asked = {"cron": "30 7 * * 1-5", "timezone": "Europe/Berlin"}
    said = own.http.get("/v1/schedule", params=asked).json()
    assert said["meaning"] == "At 07:30, Monday through Friday."
    assert len(said["next"]) == 5 and said["next"] == sorted(said["next"])
    assert own.http.get("/v1/schedule").json()["cron"] == "0 3 * * 1"
    for wrong in ({"cron": "soon"}, {"timezone": "Atlantis"}, {"cron": "0 3 * * 9"}):
        answer = own.http.get("/v1/schedule", params=wrong)
        assert answer.status_code == 400
        assert "no schedule" in fault(answer)["message"]


@on_sqlite
def test_a_schedule_is_chosen_and_taken_back(own: Server) -> None:
    before = own.http.get("/v1/schedule").json()
    assert before["chosen"] is None
    asked = {"cron": "30 7 * * 1-5", "timezone": "Europe/Berlin"}
    done = own.http.put("/v1/schedule", json=asked).json()
    assert (done["cron"], done["timezone"]) == ("30 7 * * 1-5", "Europe/Berlin")
    assert done["chosen"]["cron"] == "30 7 * * 1-5"
    assert own.http.get("/v1/schedule").json() == done
    later = own.http.put("/v1/schedule", json={"cron": "0 8 * * *"}).json()
    assert later["timezone"] == "Europe/Berlin", "what is not named stays"
    for wrong in ({"cron": "soon"}, {"cron": "0 3 30 2 *"}, {**asked, "timezone": "Atlantis"}):
        assert own.http.put("/v1/schedule", json=wrong).status_code == 400
    assert own.http.get("/v1/schedule").json() == later
    for _ in range(2):
        assert own.http.delete("/v1/schedule").json() == before
    entries = own.http.get("/v1/audit", params={"action": "schedule."}).json()["data"]
    assert [each["action"] for each in entries] == ["schedule.reset"] + ["schedule.choose"] * 2
    assert entries[-1]["detail"] == "30 7 * * 1-5 (Europe/Berlin)"
