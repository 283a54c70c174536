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


def test_an_unknown_round_has_no_ledger(own: Server) -> None:
    answer = own.http.get("/v1/rounds/rnd_none/ledger")
    assert answer.status_code == 404 and fault(answer)["code"] == "not_found"


def test_a_card_is_markdown(own: Server) -> None:
    _, adapter, _ = a_round(own.store, PAIRS)
    answer = own.http.get(f"/v1/adapters/{adapter}/card")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert f"# {adapter}" in answer.text
    assert own.http.get("/v1/adapters/adp_none/card").status_code == 404
