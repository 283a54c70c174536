"""Forgetting somebody: nothing of theirs is left anywhere, others keep theirs, and it can be told."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel, select

from feedback import harvest, receipts, review
from feedback.errors import Conflict, Invalid
from feedback.models import Exchange, Feedback, Person, Review
from feedback.people import PeopleKey, people_key, rotate
from feedback.store import Store
from serving.models import AuditEntry
from tests import builders
from tests.serving.command_line import document, done
from tests.serving.conftest import Server, fault, on_sqlite
from tests.serving.forgotten_life import CANARY, Life, lived
from trainer import registry, snapshot
from trainer.models import PastExample, Retirement, Round
from trainer.progress import Running


@pytest.fixture
def life(store: Store) -> Life:
    return lived(store, people_key(store.settings.data_dir))


def test_nothing_of_theirs_is_left_in_any_table_or_file(life: Life) -> None:
    before = life.places()
    assert len(before) > 10, before
    done = life.forget()
    assert life.places() == []
    assert done["deleted"] is True and done["overwritten"] is True
    counted = {name: done[name] for name in ("exchanges", "feedback", "reviews", "past_examples")}
    assert counted == {"exchanges": 4, "feedback": 5, "reviews": 1, "past_examples": 1}
    assert (done["snapshot_rows"], done["audit_entries"]) == (2, 1)
    assert done["rounds"] == [life.round_id]


def test_the_adapters_that_learned_from_them_are_listed_with_those_that_descend(
    life: Life,
) -> None:
    done = life.forget()
    assert done["adapters"] == [
        {"id": life.child.id, "state": "live", "round": life.child.round_id, "how": "descends"},
        {"id": life.adapter.id, "state": "retired", "round": life.round_id, "how": "learned"},
    ]
    assert "retrain" in str(done["note"])
    with life.store.session() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "user.forget")).one()
        assert registry.verify(life.store.settings.data_dir, life.adapter)
    assert entry.subject == done["id"] and entry.detail == f"{life.child.id}, {life.adapter.id}"


def test_an_adapter_that_learned_from_them_and_that_no_list_names_is_removed(life: Life) -> None:
    hers, other = (builders.unrecorded(life.store, name) for name in (life.round_id, "rnd_other"))
    life.forget(dry_run=True)
    assert hers.exists()
    life.forget()
    assert other.exists() and not hers.exists()
    assert registry.verify(life.store.settings.data_dir, life.adapter)


def test_their_receipts_become_tombstones_that_still_name_round_and_adapter(life: Life) -> None:
    life.forget()
    for name in ("ana", "ana up", "of hers", "rather", "session"):
        receipt = builders.receipt_of(life.store, life.said[name])
        assert receipt.status == "forgotten"
        row = builders.feedback_of(life.store, life.said[name])
        assert (row.body, row.correction, row.rating) == ({}, None, None)
        assert row.event_id == row.id
    learned = builders.receipt_of(life.store, life.said["ana"])
    assert (learned.round_id, learned.adapter_id) == (life.round_id, life.adapter.id)
    with life.store.session() as session:
        waiting, _ = review.queue(session, status="forgotten")
        assert len(waiting) == 5  # and a reviewer can look at them without harm


def test_others_keep_what_is_theirs(life: Life) -> None:
    life.forget()
    with life.store.session() as session:
        assert len(session.exec(select(Person)).all()) == 2  # ben, and who sent the session's end
        theirs = session.exec(
            select(Exchange).where(Exchange.person_id == life.people.person_id("user:ben"))
        ).all()
        assert len(theirs) == 4 and all(each.messages for each in theirs)
        assert [each.correction for each in session.exec(select(Review))] == ["ben edited"]
        assert [each.target for each in session.exec(select(PastExample))] == ["ben edited"]
        assert {each.new_target for each in session.exec(select(Retirement))} == {"", "y"}
        row = session.get_one(Round, life.round_id)
    assert row.report is not None
    assert [item["prompt"] for item in row.report["caught"]] == ["forgotten", "p"]
    assert "Lost" not in row.message
    kept = builders.feedback_of(life.store, life.said["ben"])
    assert kept.correction == "harmless corrected"
    assert builders.receipt_of(life.store, life.said["ben"]).status == "used"


def test_a_snapshots_lineage_can_still_be_checked(life: Life) -> None:
    before = json.loads((life.folder / snapshot.MANIFEST).read_text())
    assert snapshot.lineage(life.folder) == snapshot.Lineage(rows=3, forgotten=0)
    life.forget()
    after = json.loads((life.folder / snapshot.MANIFEST).read_text())
    assert snapshot.lineage(life.folder) == snapshot.Lineage(rows=1, forgotten=2)
    assert after["sha256"] == before["sha256"]
    assert [row["sha256"] for row in after["rows"]] == [row["sha256"] for row in before["rows"]]
    rows = life.folder / snapshot.ROWS
    rows.write_text(rows.read_text().replace("ben edited", "ben changed"))
    with pytest.raises(Invalid):
        snapshot.lineage(life.folder)


def test_twice_is_the_same_as_once_and_a_stranger_is_nobody(life: Life) -> None:
    life.forget()
    with life.store.session() as session:
        rows = [session.execute(t.select()).all() for t in SQLModel.metadata.sorted_tables]
    again, stranger = life.forget(), life.forget("nobody at all")
    assert again == stranger
    assert again["deleted"] is False and again["id"] is None
    with life.store.session() as session:
        after = [session.execute(t.select()).all() for t in SQLModel.metadata.sorted_tables]
    names = [table.name for table in SQLModel.metadata.sorted_tables]
    same = {name: (a, b) for name, a, b in zip(names, rows, after, strict=True) if name != "lease"}
    assert all(a == b for a, b in same.values())


def test_a_dry_run_says_the_same_and_changes_nothing(life: Life) -> None:
    places = life.places()
    planned = life.forget(dry_run=True)
    assert life.places() == places
    done = life.forget()
    own = {"id", "deleted", "dry_run", "overwritten"}
    assert {k: v for k, v in planned.items() if k not in own} == {
        k: v for k, v in done.items() if k not in own
    }
    assert planned["deleted"] is False and planned["dry_run"] is True


def test_a_person_is_found_by_their_hash_and_under_a_key_that_was_rotated(store: Store) -> None:
    old = people_key(store.settings.data_dir)
    life = lived(store, old)
    key = rotate(store.settings.data_dir)
    assert key.id != old.id and key.older == (PeopleKey(old.secret),)
    assert people_key(store.settings.data_dir) == key
    life.people = key
    assert key.person_id("user:ana") not in {old.person_id("user:ana")}
    assert life.forget()["deleted"] is True
    assert life.places() == []
    assert life.forget(old.person_id("user:ben"))["deleted"] is True
    with store.session() as session:
        assert not session.exec(select(Exchange).where(Exchange.state != "forgotten")).all()


def test_while_a_round_runs_nothing_is_erased_and_the_refusal_names_it(life: Life) -> None:
    row = builders.opened_round(life.store)
    with life.store.session(write=True) as session:
        assert harvest.claim(session, life.store.settings, row.id)
        session.commit()
    places = life.places()
    with Running(life.store, row.id), pytest.raises(Conflict, match=row.id):
        life.forget()
    assert life.places() == places
    life.forget()  # its process is gone: when it is taken up again, it finds none of it
    assert life.places() == []
    with life.store.session() as session:
        left = harvest.words(session, row.id)
        assert [word.feedback_id for word in left] == [life.said["ben up"]]


def test_while_somebody_is_forgotten_no_round_starts(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = builders.opened_round(life.store)
    refused = []

    def erase(*arguments: object) -> int:
        with pytest.raises(Conflict):
            Running(life.store, row.id).__enter__()
        with pytest.raises(Conflict, match="Somebody is being forgotten"):
            life.forget("ben")
        refused.append(True)
        return 0

    monkeypatch.setattr("trainer.forget.erase_files", erase)
    life.forget()
    assert refused
    with Running(life.store, row.id):
        pass


def test_what_fails_midway_is_completed_by_the_same_call(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("power cut")

    with life.store.session(write=True) as session:  # as where the gate refused
        receipt = builders.receipt_of(life.store, life.said["ana"])
        receipt.status, receipt.adapter_id = "review", None
        session.add(receipt)
        session.commit()
    with monkeypatch.context() as patch:
        patch.setattr("feedback.forget.erase", fails)
        with pytest.raises(OSError, match="power cut"):
            life.forget()
    assert snapshot.lineage(life.folder).forgotten == 2
    done = life.forget()
    assert done["deleted"] is True and done["rounds"] == [life.round_id]
    assert {each["id"] for each in done["adapters"]} == {life.adapter.id, life.child.id}
    assert life.places() == []


def test_over_http_only_an_admin_forgets_and_late_feedback_finds_nothing(own: Server) -> None:
    completion = own.asked(f"{CANARY} please", user="ana/with a slash")
    feedback_id = own.told(completion_id=completion, rating="up", user="ana/with a slash")
    planned = own.http.delete("/v1/users/ana%2Fwith%20a%20slash?dry_run=true").json()
    assert (planned["exchanges"], planned["feedback"], planned["deleted"]) == (1, 1, False)
    answer = own.http.delete("/v1/users/ana%2Fwith%20a%20slash")
    assert answer.status_code == 200 and answer.json()["deleted"] is True
    assert CANARY not in own.everything()
    receipt = own.http.get(f"/v1/feedback/{feedback_id}").json()
    assert (receipt["status"], receipt["completion_id"]) == ("forgotten", completion)
    assert fault(own.tell(completion_id=completion, rating="down"))["param"] == "completion_id"
    assert own.http.get(f"/v1/chat/completions/{completion}").status_code == 404
    assert own.http.delete("/v1/users/ana%2Fwith%20a%20slash").json()["deleted"] is False
    assert own.http.delete("/v1/users/").status_code in (400, 404)
    again = own.tell(completion_id=completion, rating="up", user="ana/with a slash", event_id="e")
    assert again.status_code == 404
    with own.store.session() as session:
        assert session.exec(select(Person)).all() == []
    # Who comes back is somebody new.
    assert own.told(completion_id=own.asked(user="ana/with a slash"), rating="up")


@on_sqlite
def test_with_keys_whoever_holds_the_id_can_still_ask_what_became_of_it(own: Server) -> None:
    key_id, client = own.key("client")
    _, admin = own.key("admin")
    asked = {"model": "heed", "messages": [{"role": "user", "content": CANARY}]}
    made = own.http.post("/v1/chat/completions", json=asked, headers=client).json()["id"]
    body = {"completion_id": made, "rating": "up"}
    told = own.http.post("/v1/feedback", json=body, headers=client).json()["id"]
    assert own.http.delete(f"/v1/users/{key_id}", headers=client).status_code == 403
    assert own.http.delete(f"/v1/users/{key_id}", headers=admin).json()["feedback"] == 1
    receipt = own.http.get(f"/v1/feedback/{told}", headers=client)
    assert receipt.json()["status"] == "forgotten"
    withdrawn = own.http.delete(f"/v1/feedback/{told}", headers=client)
    assert (withdrawn.status_code, withdrawn.json()) == (200, receipt.json())
    asked_for = {"completion_id": made}
    token = own.http.post("/v1/feedback/tokens", json=asked_for, headers=client)
    assert token.status_code == 404 and fault(token)["param"] == "completion_id"
    with own.store.session() as session:
        assert receipts.totals(session)["people"] == 0


@on_sqlite
def test_a_round_that_runs_is_a_409_over_http(own: Server) -> None:
    own.told(completion_id=own.asked(user="ana"), rating="up", user="ana")
    row = builders.opened_round(own.store)
    with Running(own.store, row.id):
        answer = own.http.delete("/v1/users/ana")
    assert answer.status_code == 409
    assert row.id in fault(answer)["message"] and "cancel" in fault(answer)["message"]


def test_people_who_are_served_meanwhile_lose_nothing(own: Server) -> None:
    """Reading and writing go on beside it, the database's compaction included."""
    for _ in range(20):
        own.told(completion_id=own.asked(CANARY, user="ana"), rating="up", user="ana")
    ended = threading.Event()
    told: list[Any] = []
    errors: list[Any] = []

    def others() -> None:
        while not ended.is_set():
            answer = own.tell(completion_id=own.asked("ben's"), rating="up", user="ben")
            (told if answer.status_code == 201 else errors).append(answer.json())

    crowd = threading.Thread(target=others)
    crowd.start()
    assert own.http.delete("/v1/users/ana").json()["feedback"] == 20
    ended.set()
    crowd.join()
    assert told and not errors
    with own.store.session() as session:
        kept = session.exec(select(Feedback).where(Feedback.person_id != "forgotten")).all()
    assert len(kept) == len(told)
    own.http.delete("/v1/users/ana")  # with nobody reading, the log is emptied too
    assert CANARY not in own.everything()


def test_the_command_says_what_was_erased_and_who_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.serving.command_line import store_at

    store = store_at(tmp_path / "data", monkeypatch)
    life = lived(store, people_key(store.settings.data_dir))
    assert "nothing to erase" in done("forget", "nobody")
    planned = document("forget", "ana", "--dry-run")
    assert planned["dry_run"] is True and planned["feedback"] == 5
    assert "would be erased" in done("forget", "ana", "--dry-run")
    told = done("forget", "ana")
    assert life.adapter.id in told and life.child.id in told and "descends" in told
    assert document("forget", "ana")["deleted"] is False
    assert document("receipt", life.said["ana"])["status"] == "forgotten"
    assert "forgotten" in done("receipt", life.said["ana"])
    assert life.places() == []
    store.close()
