"""Reviewing over HTTP, as a program does: how long a decision takes where no browser shares the cores.

The times are the client's: the request, the server's work, its commit to the disk and the answer.
"""

from functools import partial
from typing import Any

import httpx

from benchmarks import console_server
from benchmarks.timed import Timed
from feedback.store import Store
from serving import staffing

TARGET_SECONDS = {"decide": 0.05, "next": 0.05, "decide and next": 0.05}


def measure(store: Store, *, decisions: int) -> dict[str, Any]:
    """Review by the API's routes alone; returns seconds.

    Args:
        store: with a queue that is in order; a server is started on it.
        decisions: so many are made, each of the next item.
    """
    timed = Timed(TARGET_SECONDS)
    with store.session(write=True) as session:
        _, token = staffing.make_key(session, actor="cli", role="reviewer", name="a reviewer's")
        session.commit()
    with (
        console_server.running(store, new_material=10 * decisions + 1000) as (url, _),
        httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        ) as http,
    ):

        def following() -> dict[str, Any]:
            found = http.get("/v1/reviews/next").raise_for_status().json()
            item: dict[str, Any] = found["item"]
            return item

        def decide(item: dict[str, Any]) -> None:
            told = {"feedback_id": item["id"], "decision": "accept", "version": item["version"]}
            http.post("/v1/reviews", json=told).raise_for_status()

        def decide_and_next(item: dict[str, Any]) -> dict[str, Any]:
            timed("decide", partial(decide, item))
            return timed("next", following)

        item = timed("first item", following)
        for _ in range(decisions):
            item = timed("decide and next", partial(decide_and_next, item))
    timed.busy.clear()  # the client's own, which says nothing of the server
    return {"seconds": timed.report()}
