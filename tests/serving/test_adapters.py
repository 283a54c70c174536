"""Versions over HTTP: listed, promoted, rolled back, and never swapped for a damaged one."""

import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

from sqlmodel import select

from serving.models import AuditEntry
from tests.serving.conftest import Server, fault, wait_until
from trainer import registry


def test_adapters_are_listed_newest_first_with_what_is_deployed(own: Server) -> None:
    first = own.publish()
    second = own.publish(parent=first)
    listed = own.http.get("/v1/adapters").json()
    assert [row["id"] for row in listed["data"]] == [second, first]
    assert listed["data"][0].keys() >= {"id", "state", "parent", "digest", "round", "created_at"}
    assert (listed["object"], listed["has_more"], listed["next"]) == ("list", False, None)
    assert listed["deployment"]["live"] == "base"
    shown = own.http.get(f"/v1/adapters/{second}").json()
    assert (shown["parent"], shown["state"]) == (first, "candidate")
    assert own.http.get("/v1/adapters/adp_none").status_code == 404


def test_an_adapter_is_downloaded_whole_and_nothing_of_it_is_left_behind(own: Server) -> None:
    name = own.publish()
    answer = own.http.get(f"/v1/adapters/{name}/export")
    assert answer.headers["content-type"] == "application/zip"
    assert f'filename="{name}.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = ("README.md", *registry.FILES)
        assert sorted(archive.namelist()) == sorted(f"{name}/{each}" for each in files)
        assert archive.read(f"{name}/{registry.FILES[1]}") == name.encode()
    own.damage(name)
    broken = own.http.get(f"/v1/adapters/{name}/export")
    assert broken.status_code == 400 and "differs from its digest" in fault(broken)["message"]
    wait_until(lambda: not list(own.store.settings.data_dir.glob("export-*")))


def test_promote_answers_once_the_next_request_gets_the_new_version(own: Server) -> None:
    name = own.publish()
    assert own.chat("hi").headers["x-heed-adapter"] == "base"
    deployed = own.promote(name, reason="it is better")
    assert deployed.status_code == 200
    assert (deployed.json()["live"], deployed.json()["generation"]) == (name, 1)
    answer = own.chat("hi")
    assert answer.headers["x-heed-adapter"] == answer.json()["system_fingerprint"] == name
    assert answer.json()["choices"][0]["message"]["content"] == f"[{name}] hi"
    assert own.exchange(answer.json()["id"]).adapter_id == name
    assert own.http.get(f"/v1/adapters/{name}").json()["state"] == "live"


def test_promoting_again_changes_nothing(own: Server) -> None:
    name = own.publish()
    first, second = own.promote(name), own.promote(name)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()


def test_rolling_back_serves_the_parent_and_then_the_base(own: Server) -> None:
    first = own.publish()
    second = own.publish(parent=first)
    assert own.promote(first).status_code == own.promote(second).status_code == 200
    for parent in (first, "base"):
        answer = own.http.post("/v1/adapters/rollback", json={"reason": "worse"})
        assert answer.status_code == 200
        assert (answer.json()["live"], answer.json()["reason"]) == (parent, "worse")
        assert own.chat().headers["x-heed-adapter"] == parent
    refused = own.http.post("/v1/adapters/rollback")
    assert refused.status_code == 409
    assert "nothing to roll back" in fault(refused)["message"]
    assert own.chat().headers["x-heed-adapter"] == "base"
    assert own.promote(second).json()["live"] == second
    assert own.chat().headers["x-heed-adapter"] == second


def test_a_damaged_adapter_is_refused_and_the_old_one_goes_on(own: Server) -> None:
    old = own.publish()
    new = own.publish(parent=old)
    assert own.promote(old).status_code == 200
    own.damage(new)
    answer = own.promote(new)
    assert answer.status_code == 400
    assert "differs from its digest" in fault(answer)["message"]
    assert own.chat().headers["x-heed-adapter"] == old
    ready = own.http.get("/readyz")
    assert (ready.status_code, ready.json()["live"]) == (200, old)
    assert ready.json()["generation"] == ready.json()["deployed_generation"] == 1
    assert own.http.get("/v1/adapters").json()["deployment"]["live"] == old


def test_damage_is_seen_where_the_adapter_is_loaded_already(own: Server) -> None:
    name = own.publish()
    assert own.chat(model=name).status_code == 200
    own.damage(name)
    assert own.promote(name).status_code == 400
    assert own.http.get("/readyz").json()["deployed_generation"] == 0


def test_a_damaged_parent_is_not_rolled_back_to(own: Server) -> None:
    old = own.publish()
    new = own.publish(parent=old)
    assert own.promote(old).status_code == own.promote(new).status_code == 200
    own.damage(old)
    answer = own.http.post("/v1/adapters/rollback")
    assert answer.status_code == 400
    assert old in fault(answer)["message"]
    assert own.http.get("/v1/adapters").json()["deployment"]["live"] == new
    assert own.chat().headers["x-heed-adapter"] == new


def test_what_the_gate_refused_is_not_promoted(own: Server) -> None:
    answer = own.promote(own.publish(state="rejected"))
    assert answer.status_code == 409
    assert "gate" in fault(answer)["message"]
    for missing in ("adp_none", "base", "%00", "..%2f.."):
        assert own.promote(missing).status_code in (400, 404)
    assert own.http.get("/v1/adapters").json()["deployment"]["generation"] == 0


def test_a_version_for_another_base_model_is_not_promoted(own: Server) -> None:
    answer = own.promote(own.publish(base_hash="b" * 64))
    assert answer.status_code == 400
    assert "base model" in fault(answer)["message"]
    assert own.chat().headers["x-heed-adapter"] == "base"


def test_two_promotes_at_once_end_with_one_of_them_served(own: Server) -> None:
    names = [own.publish() for _ in range(2)]
    start = threading.Barrier(2)

    def promote(name: str) -> int:
        start.wait()
        return own.promote(name).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(promote, names))
    assert 200 in answers
    assert set(answers) <= {200, 409}
    deployed = own.http.get("/v1/adapters").json()["deployment"]
    assert deployed["live"] in names
    assert deployed["generation"] == answers.count(200)
    assert own.chat().headers["x-heed-adapter"] == deployed["live"]
    states = [own.http.get(f"/v1/adapters/{name}").json()["state"] for name in names]
    assert states.count("live") == 1


def test_a_canary_answers_its_share_and_each_person_keeps_their_version(own: Server) -> None:
    live = own.publish()
    canary = own.publish(parent=live)
    assert own.promote(live).status_code == 200
    deployed = own.promote(canary, canary_share=0.3).json()
    assert (deployed["live"], deployed["canary"], deployed["canary_share"]) == (live, canary, 0.3)
    people = [f"person {number}" for number in range(60)]
    first = [own.chat("hi", user=who, store=False).headers["x-heed-adapter"] for who in people]
    again = [own.chat("hi", user=who, store=False).headers["x-heed-adapter"] for who in people]
    assert first == again
    assert set(first) == {live, canary}
    assert 6 <= first.count(canary) <= 32  # 18 expected
    assert own.chat(model="base").headers["x-heed-adapter"] == "base"
    rolled_back = own.http.post("/v1/adapters/rollback").json()
    assert (rolled_back["live"], rolled_back["canary"]) == (live, None)
    for share in (1, 1.5, -0.1, "some"):
        answer = own.promote(canary, canary_share=share)
        assert answer.status_code == 400
        assert fault(answer)["param"] == "canary_share"


def test_deployments_are_in_the_audit_log(own: Server) -> None:
    key_id, headers = own.key("admin")
    name = own.publish()
    own.http.post(f"/v1/adapters/{name}/promote", headers=headers)
    own.http.post("/v1/adapters/rollback", headers=headers)
    with own.store.session() as session:
        lines = session.exec(select(AuditEntry).order_by(AuditEntry.id)).all()
        deployment = registry.live(session)
    said = [(line.actor, line.action, line.subject) for line in lines]
    assert said == [(key_id, "adapter.promote", name), (key_id, "adapter.rollback", name)]
    assert deployment is not None
    assert deployment.actor == key_id
