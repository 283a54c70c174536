"""The story of the demo: rounds that learn, a bad batch that is refused, a rollback and back."""

import asyncio
import time
from dataclasses import asdict
from typing import Any

from rich.console import Console

from serving.demo import shop as shops
from serving.demo import show
from serving.demo.people import Chatter, Crowd, questions
from serving.demo.probes import Measured, Probe, measure, probes
from serving.demo.sabotage import lies, spread
from serving.demo.server import Server
from serving.demo.told import Scores, Told
from trainer.starter.world import shop

CORRECTIONS_PER_CHANGE = 10
OTHER_QUESTIONS = 52
POLL_SECONDS = 0.3


class Story:
    """What happens, in order."""

    def __init__(self, server: Server, console: Console, told: Told, seed: int) -> None:
        self.server = server
        self.console = console
        self.told = told
        self.seed = seed
        self.world = shop()
        self.asked: list[Probe] = []
        self.keys: dict[str, str] = {}
        self.measured: Measured | None = None
        self.crowd = Crowd(server.url)

    async def tell(self, rounds: int) -> None:
        """Play every step."""
        shops.write_suite(self.server.data_dir, self.world)
        shops.write_general(self.server.data_dir)
        plan = shops.changes(self.seed, rounds)
        changing = {key for change in plan for key in change}
        self.asked = probes(self.world, sorted(changing))
        try:
            with self.console.status(f"Asking {len(self.asked)} held-out questions"):
                self.measured = await measure(self.crowd, self.asked)
            for number, change in enumerate(plan, start=1):
                await self._round(number, change)
            await self._bad_batch()
            await self._roll_back_and_forward()
            last = plan[-1] if plan else {}
            self.told.probes = [
                {
                    "prompt": probe.prompt,
                    "expected": self.world.value(probe.key),
                    "kind": "changed" if probe.key in last else "unchanged",
                }
                for probe in self.asked
            ]
        finally:
            await self.crowd.close()

    async def _round(self, number: int, change: dict[str, str]) -> None:
        began = time.monotonic()
        before = self._measured()
        show.changes(self.console, number, self.world, change)
        self.world = self.world.changed(change)
        shops.write_suite(self.server.data_dir, self.world)
        seed = self.seed * 1000 + number
        asked = questions(
            self.world,
            list(change),
            seed=seed,
            per_change=CORRECTIONS_PER_CHANGE,
            others=OTHER_QUESTIONS,
        )
        with self.console.status(f"{len({q.person for q in asked})} people ask and react"):
            tally = await self.crowd.live_through(asked, self.world, seed)
        self.keys |= {each.text: each.key for each in asked}
        with self.console.status("A reviewer decides"):
            decided = await shops.review(self.crowd.http, self.world, self.keys)
        show.people(self.console, tally, decided)
        outcome, chatter = await self._learn(seed)
        after = await self._measure_again()
        scores = self._scores(list(change), before, after)
        self._note(scores, chatter, outcome, began)
        self.told.rounds.append(asdict(scores))
        show.table(self.console, f"Round {number}", scores, outcome)

    async def _bad_batch(self) -> None:
        began = time.monotonic()
        before = self._measured()
        seed = self.seed * 1000 + 999
        show.bad_batch(self.console, lies(self.world, seed))
        with self.console.status("Strangers spread it, and a careless reviewer accepts it all"):
            tally = await spread(self.crowd, self.world, seed)
            decided = await shops.review(self.crowd.http, self.world, {}, careless=True)
        show.people(self.console, tally, decided)
        outcome, chatter = await self._learn(seed)
        after = await self._measure_again()
        attacked = [key for key in self.world.keys if self.world.core(key)]
        scores = self._scores(attacked, before, after)
        self._note(scores, chatter, outcome, began)
        report = outcome["report"] or {"caught": []}
        self.told.refused = {
            "reason": outcome["message"],
            "items": [
                {
                    "id": item["item_id"],
                    "suite": item["suite"],
                    "prompt": item["prompt"],
                    "expected": item["expected"],
                    "answer": item["candidate_answer"],
                }
                for item in report["caught"]
            ],
            **asdict(scores),
        }
        show.table(self.console, "The bad batch", scores, outcome)
        show.caught(self.console, self.told.refused["items"])

    async def _roll_back_and_forward(self) -> None:
        live = (await self._ready())["live"]
        if live == "base":
            return
        began = time.monotonic()
        http = self.crowd.http
        back = (await http.post("/v1/adapters/rollback", json={})).raise_for_status().json()
        seconds = time.monotonic() - began
        some = self.asked[::3]
        rolled = await measure(self.crowd, some)
        began = time.monotonic()
        (await http.post(f"/v1/adapters/{live}/promote", json={})).raise_for_status()
        forward_seconds = time.monotonic() - began
        again = await measure(self.crowd, some)
        self.told.rollback = {
            "from": live,
            "to": back["live"],
            "seconds": round(seconds, 3),
            "forward_seconds": round(forward_seconds, 3),
            "right_before": self._measured().only(some).right(self.world, self.world.keys),
            "right_rolled_back": rolled.right(self.world, self.world.keys),
            "right_rolled_forward": again.right(self.world, self.world.keys),
        }
        show.rollback(self.console, self.told.rollback)

    async def _learn(self, seed: int) -> tuple[dict[str, Any], Chatter]:
        """Run a round while people keep chatting; returns it, once its outcome is served."""
        http = self.crowd.http
        async with Chatter(self.crowd, self.world, seed) as chatter:
            row = (await http.post("/v1/rounds")).raise_for_status().json()
            with show.progress(self.console) as tell:
                while row["state"] == "open":
                    tell(row)
                    await asyncio.sleep(POLL_SECONDS)
                    row = (await http.get(f"/v1/rounds/{row['id']}")).raise_for_status().json()
                tell(row)
            while row["state"] == "promoted" and (await self._ready())["live"] != row["adapter"]:
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(2 * POLL_SECONDS)  # people also chat after the swap
        return row, chatter

    async def _ready(self) -> dict[str, Any]:
        state: dict[str, Any] = (await self.crowd.http.get("/readyz")).raise_for_status().json()
        return state

    async def _measure_again(self) -> Measured:
        with self.console.status(f"Asking the {len(self.asked)} held-out questions again"):
            self.measured = await measure(self.crowd, self.asked)
        return self.measured

    def _measured(self) -> Measured:
        if self.measured is None:
            raise RuntimeError("nothing has been measured yet")
        return self.measured

    def _scores(self, keys: list[str], before: Measured, after: Measured) -> Scores:
        others = [key for key in self.world.keys if key not in keys]
        return Scores(
            changed_before=before.right(self.world, keys),
            changed_after=after.right(self.world, keys),
            unchanged_before=before.right(self.world, others),
            unchanged_after=after.right(self.world, others),
            polite_before=before.polite(),
            polite_after=after.polite(),
        )

    def _note(
        self, scores: Scores, chatter: Chatter, outcome: dict[str, Any], began: float
    ) -> None:
        """Add what happened meanwhile."""
        scores.requests = chatter.requests
        scores.failed = chatter.failed
        scores.seconds = round(time.monotonic() - began, 1)
        scores.promoted = outcome["state"] == "promoted"
        scores.adapter = outcome["adapter"]
