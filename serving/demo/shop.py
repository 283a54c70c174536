"""The shop of the demo: what it changes, what it protects by its own hand, how it reviews.

It is the only one here who knows the truth, and it speaks to Heed as any shop would: through the
review API and files of its own: what it protects, and what rounds rehearse.
"""

import json
import random
from pathlib import Path
from typing import Any

import httpx

from trainer.starter.pool import general_pool, protected_suite
from trainer.starter.world import World, shop

PER_ROUND = 12
POLICIES_PER_ROUND = 1


def changes(seed: int, rounds: int) -> list[dict[str, str]]:
    """Return what the shop changes in each round: no fact twice, a policy in each."""
    draw = random.Random(f"changes {seed}")
    world = shop()
    policies = [key for key in world.keys if world.core(key)]
    others = [key for key in world.keys if not world.core(key)]
    # Prices change most often in a shop.
    prices = [key for key in others if key.endswith("/price")]
    rest = [key for key in others if not key.endswith("/price")]
    for group in (policies, prices, rest):
        draw.shuffle(group)
    plan = []
    for _ in range(rounds):
        keys = [policies.pop() for _ in range(POLICIES_PER_ROUND) if policies]
        keys += [prices.pop() for _ in range(5) if prices]
        keys += [rest.pop() for _ in range(PER_ROUND - len(keys)) if rest]
        plan.append({key: draw.choice(world.alternatives(key)) for key in keys})
    return plan


def write_suite(data_dir: Path, world: World) -> None:
    """Write the shop's protected items as they are true today: its own hand, no round's.

    The suite lies where Heed looks for one: ``suites/protected.jsonl`` in the data folder.
    """
    lines = []
    for item in protected_suite():
        if item["key"] is not None:
            item["expected"] = world.value(item["key"])
        lines.append(json.dumps({name: value for name, value in item.items() if name != "key"}))
    path = data_dir / "suites" / "protected.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_general(data_dir: Path) -> None:
    """Write what rounds rehearse: friendly answers alone, since this shop is to become friendly.

    Terse answers to terse questions, which the starter also rehearses, would teach the opposite.

    The material lies where Heed looks for it: ``suites/general.jsonl`` in the data folder.
    """
    path = data_dir / "suites" / "general.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in general_pool()))


async def review(
    http: httpx.AsyncClient, world: World, keys: dict[str, str], *, careless: bool = False
) -> dict[str, int]:
    """Decide everything that waits, through the API; returns how many were accepted and refused.

    Args:
        http: speaks to the server.
        world: the truth of the day.
        keys: which fact each question asked in this round is about.
        careless: accept everything.
    """
    decided = {"accept": 0, "refuse": 0}
    after = None
    while True:
        params = {"limit": "200", **({"after": after} if after else {})}
        page = (await http.get("/v1/reviews/queue", params=params)).raise_for_status().json()
        ids: dict[str, list[str]] = {"accept": [], "refuse": []}
        for item in page["data"]:
            good = careless or _is_true(item, world, keys)
            ids["accept" if good else "refuse"].append(item["id"])
        for decision, some in ids.items():
            if some:
                body = {"feedback_id": some, "decision": decision}
                (await http.post("/v1/reviews", json=body)).raise_for_status()
                decided[decision] += len(some)
        if not page["has_more"]:
            return decided
        after = page["next"]


def _is_true(item: dict[str, Any], world: World, keys: dict[str, str]) -> bool:
    question = item["messages"][-1]["content"]
    correction = item["feedback"].get("correction")
    key = keys.get(question)
    return correction is not None and key is not None and world.is_right(key, correction)
