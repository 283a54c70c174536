"""`/v1/rounds/{id}/pairs`: judged blind over HTTP, named once judging has ended."""

import json
from typing import Any

from sqlmodel import select

from serving.models import AuditEntry
from tests import compared
from tests.serving.conftest import Server, fault
from trainer.models import Round, RoundPair

PAIRS = [compared.pair(number) for number in range(12)]
TELLING = ("candidate", "incumbent", "adp_", "source", "suite", "item", "secret", "cluster")
"""What a blind answer may hold nowhere."""


def path(row: Round, more: str = "") -> str:
    return f"/v1/rounds/{row.id}/pairs{more}"


def judge(server: Server, row: Round, pair_id: str, verdict: str, **more: Any) -> Any:
    return server.http.post(path(row, f"/{pair_id}/verdict"), json={"verdict": verdict}, **more)


def preferring(server: Server, pair: dict[str, Any], wish: str = "candidate") -> str:
    """The side on which one model's answer stands, as only the database knows."""
    with server.store.session() as session:
        row = session.get_one(RoundPair, pair["id"])
    return "left" if pair["left"] == getattr(row, f"{wish}_answer") else "right"


def test_a_pair_is_shown_blind_and_always_on_the_same_sides(own: Server) -> None:
    row = compared.judged(own.store, PAIRS)
    first = own.http.get(path(row, "/next")).json()
    assert set(first["pair"]) == {
        "id",
        "object",
        "round",
        "messages",
        "left",
        "right",
        "verdict",
    }
    said = json.dumps([first, own.http.get(path(row)).json()])
    assert [word for word in TELLING if word in said] == []
    assert own.http.get(path(row, "/next")).json() == first
    listed = own.http.get(path(row)).json()
    assert len(listed["data"]) == 12 and listed["result"] is None
    sides = {each["left"].startswith(compared.AFTER) for each in listed["data"]}
    assert sides == {True, False}


def test_two_reviewers_see_other_sides_and_nothing_of_each_other(own: Server) -> None:
    row = compared.judged(own.store, PAIRS)
    headers = [own.key("reviewer")[1] for _ in range(2)]
    lists = [own.http.get(path(row), headers=each).json()["data"] for each in headers]
    lefts = [[pair["left"] for pair in each] for each in lists]
    assert lefts[0] != lefts[1]
    assert judge(own, row, lists[0][0]["id"], "tie", headers=headers[0]).status_code == 200
    after = own.http.get(path(row), headers=headers[1]).json()
    assert {each["verdict"] for each in after["data"]} == {None}
    assert after["judged"] == 1 and after["result"] is None
    mine = own.http.get(path(row), headers=headers[0]).json()["data"]
    assert [each["verdict"] for each in mine][:2] == ["tie", None]


def test_a_verdict_is_changed_and_taken_back(own: Server) -> None:
    row = compared.judged(own.store, PAIRS)
    name = own.http.get(path(row, "/next")).json()["pair"]["id"]
    done = judge(own, row, name, "left").json()
    assert (done["verdict"], done["judged"], done["needed"], done["left_to_judge"]) == (
        "left",
        1,
        3,
        11,
    )
    assert judge(own, row, name, "both_bad").json()["judged"] == 1
    assert "3 more pairs" in own.http.get(f"/v1/rounds/{row.id}").json()["message"]
    taken = own.http.delete(path(row, f"/{name}/verdict"))
    assert taken.status_code == 200 and taken.json()["judged"] == 0
    assert own.http.delete(path(row, f"/{name}/verdict")).status_code == 404
    assert judge(own, row, name, "candidate").status_code == 400
    assert judge(own, row, "pair_none", "tie").status_code == 404


def test_enough_verdicts_promote_the_round_and_name_the_answers(own: Server) -> None:
    row = compared.judged(own.store, PAIRS)
    for _ in range(4):
        pair = own.http.get(path(row, "/next")).json()["pair"]
        answer = judge(own, row, pair["id"], preferring(own, pair))
        assert answer.status_code == 200 and "adp_" not in answer.text
    assert own.http.get(f"/v1/rounds/{row.id}").json()["state"] == "pending"  # for a moment
    compared.look(own.store, in_seconds=61, grace_seconds=60)
    shown = own.http.get(f"/v1/rounds/{row.id}").json()
    assert shown["state"] == "promoted" and shown["adapter"] == row.candidate_id
    assert shown["pairs"]["result"]["wins"] == 4
    assert "4 for the candidate" in shown["pairs"]["result"]["sentence"]
    listed = own.http.get(path(row)).json()
    judged = [each for each in listed["data"] if each["verdicts"]]
    assert len(judged) == 4
    assert {each["verdicts"][0]["prefers"] for each in judged} == {"candidate"}
    assert judged[0]["candidate"].startswith(compared.AFTER)
    late = judge(own, row, listed["data"][0]["id"], "tie")
    assert late.status_code == 409 and "has ended" in fault(late)["message"]
    assert own.http.get(path(row, "/next")).json()["pair"] is None


def test_an_admin_may_look_before_and_judges_that_round_no_more(own: Server) -> None:
    row = compared.judged(own.store, PAIRS)
    key, admin = own.key("admin")
    _, reviewer = own.key("reviewer")
    refused = own.http.get(path(row), params={"reveal": True}, headers=reviewer)
    assert refused.status_code == 403 and "incumbent" not in refused.text
    shown = own.http.get(path(row), params={"reveal": True}, headers=admin).json()
    assert shown["data"][0]["incumbent"].startswith(compared.BEFORE)
    with own.store.session() as session:
        entry = session.exec(
            select(AuditEntry).where(AuditEntry.action == "round.pairs.reveal")
        ).one()
    assert (entry.actor, entry.subject) == (key, row.id)
    for answer in (
        own.http.get(path(row, "/next"), headers=admin),
        judge(own, row, shown["data"][0]["id"], "tie", headers=admin),
    ):
        assert answer.status_code == 409 and "somebody else judges" in fault(answer)["message"]
    assert own.http.get(path(row, "/next"), headers=reviewer).json()["pair"] is not None


def test_a_waiting_rounds_report_gives_no_answer_away(own: Server) -> None:
    row = compared.judged(own.store, PAIRS)
    with own.store.session(write=True) as session:
        found = session.get_one(Round, row.id)
        quoted = [{"candidate_answer": "gives it away"}]
        found.report = {**(found.report or {}), "caught": quoted}
        session.add(found)
        session.commit()
    for name in (f"/v1/rounds/{row.id}", "/v1/rounds", f"/v1/adapters/{row.candidate_id}/card"):
        answer = own.http.get(name)
        assert answer.status_code == 200 and "gives it away" not in answer.text


def test_a_round_without_pairs_has_an_empty_list(own: Server) -> None:
    row = compared.judged(own.store, [])
    listed = own.http.get(path(row)).json()
    assert listed["data"] == [] and listed["ended"] and listed["result"] is None
    assert own.http.get("/v1/rounds/rnd_none/pairs").status_code == 404
    assert own.http.get("/v1/rounds/rnd_none/pairs/next").status_code == 404
