"""`GET /v1/rounds/{id}/ledger` and an adapter's card over HTTP."""

from tests.serving.conftest import Server, fault
from tests.trainer.test_ledger import PAIRS, a_round


def test_a_rounds_ledger_is_read_item_by_item(own: Server) -> None:
    round_id, adapter, _ = a_round(own.store, PAIRS)
    page = own.http.get(f"/v1/rounds/{round_id}/ledger").json()
    assert page["object"] == "list" and len(page["data"]) == len(PAIRS)
    lost = own.http.get(f"/v1/rounds/{round_id}/ledger", params={"forgotten": True}).json()
    assert [row["item"] for row in lost["data"]] == ["old-0", "old-1", "lost"]
    assert {row["adapter"] for row in lost["data"]} == {adapter}
    first = own.http.get(f"/v1/rounds/{round_id}/ledger", params={"limit": 2}).json()
    assert len(first["data"]) == 2 and first["has_more"]


def test_what_a_round_forgot_is_put_back_into_replay(own: Server) -> None:
    round_id, _, _ = a_round(own.store, PAIRS)
    asked = own.http.post(f"/v1/rounds/{round_id}/ledger/replay")
    assert asked.status_code == 200, asked.text
    assert {row["item"] for row in asked.json()["data"]} == {"old-0", "old-1", "lost"}
    rows = own.http.get(f"/v1/rounds/{round_id}/ledger").json()["data"]
    assert {row["item"] for row in rows if row["replay"] == "asked"} == {"old-0", "old-1", "lost"}
    clean, _, _ = a_round(own.store, PAIRS[:3])
    assert own.http.post(f"/v1/rounds/{clean}/ledger/replay").status_code == 409
    assert own.http.post("/v1/rounds/rnd_none/ledger/replay").status_code == 404


def test_an_unknown_round_has_no_ledger(own: Server) -> None:
    answer = own.http.get("/v1/rounds/rnd_none/ledger")
    assert answer.status_code == 404 and fault(answer)["code"] == "not_found"


def test_a_card_is_markdown(own: Server) -> None:
    _, adapter, _ = a_round(own.store, PAIRS)
    answer = own.http.get(f"/v1/adapters/{adapter}/card")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert f"# {adapter}" in answer.text
    assert own.http.get("/v1/adapters/adp_none/card").status_code == 404
