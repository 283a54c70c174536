"""Rounds by the clock on the starter model, with no hand on them, and a recount of what they wrote.

    python -m benchmarks.five_rounds [--rounds 5] [--schedule "*/20 * * * * *"] [--bad 3] [--seed 0]
                                     [--data FOLDER] [--out FOLDER] [--json]

A server is started as a user would, with a schedule that is due every few seconds. Simulated people
chat, vote and correct over HTTP while the shop changes its facts; a reviewer decides; nobody starts
a round. One wave of feedback is lies that a careless reviewer accepts. When as many rounds have
ended as were asked for, the server is stopped, and three things are held against what it says of
itself: that every verdict follows from its report, that no request failed, and that the ledger is
what `benchmarks.ledger_recount` finds by asking every adapter again from disk. Exits with 1 where
one of them does not hold.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.ledger_recount import Recount, recounted
from serving.demo import shop as shops
from serving.demo.people import Chatter, Crowd, questions
from serving.demo.sabotage import spread
from serving.demo.server import Server, started
from trainer.starter.world import shop

SCHEDULE = "*/20 * * * * *"
PER_CHANGE, OTHERS = 10, 52
MINIMUM_MATERIAL = 60
"""Fewer pieces than a wave brings, so that a round does not start on the first handful of one."""
POLL_SECONDS = 0.5
QUIET_SECONDS = 25.0
"""More than the schedule's own period: what a round left over has had its round, too."""
ROUND_SECONDS = 1_800.0


@dataclass(frozen=True)
class Life:
    """What happened while the server ran.

    Attributes:
        rounds: that ended, oldest first, as the API shows them.
        suites: since when (Unix seconds) which protected items were in force, oldest first.
        requests: chats and feedback that people sent.
        failed: those that were not answered.
    """

    rounds: list[dict[str, Any]]
    suites: list[tuple[float, list[dict[str, Any]]]]
    requests: int
    failed: int


async def live(server: Server, *, rounds: int, bad: int, seed: int) -> Life:
    """Let the shop and its people go on until so many rounds have ended.

    Args:
        server: that is up.
        rounds: so many waves of feedback, one for each round.
        bad: the wave that is lies; 0 for none.
        seed: draws changes, people and mistakes.

    Raises:
        TimeoutError: no round ended in time.
    """
    crowd, world = Crowd(server.url), shop()
    shops.write_general(server.data_dir)
    life = Life([], [], 0, 0)
    requests = failed = 0
    keys: dict[str, str] = {}
    try:
        for number, change in enumerate(shops.changes(seed, rounds), start=1):
            if number != bad:
                world = world.changed(change)
            shops.write_suite(server.data_dir, world)
            suite = (server.data_dir / "suites" / "protected.jsonl").read_text()
            life.suites.append((time.time(), [json.loads(line) for line in suite.splitlines()]))
            async with Chatter(crowd, world, seed * 1000 + number) as chatter:
                if number == bad:
                    tally = await spread(crowd, world, seed)
                    await shops.review(crowd.http, world, {}, careless=True)
                else:
                    wave = seed * 1000 + number
                    asked = questions(
                        world, list(change), seed=wave, per_change=PER_CHANGE, others=OTHERS
                    )
                    tally = await crowd.live_through(asked, world, wave)
                    keys |= {each.text: each.key for each in asked}
                    await shops.review(crowd.http, world, keys)
                life.rounds[:] = await _settled(crowd, number)
            requests += tally.asked + tally.feedback + chatter.requests
            failed += tally.failed + chatter.failed
    finally:
        await crowd.close()
    return Life(life.rounds, life.suites, requests, failed)


async def _settled(crowd: Crowd, least: int) -> list[dict[str, Any]]:
    """The rounds, oldest first, once there are so many and no other begins for a while."""
    until = time.monotonic() + ROUND_SECONDS
    quiet_since = time.monotonic()
    while time.monotonic() < until:
        page = (await crowd.http.get("/v1/rounds", params={"limit": "100"})).raise_for_status()
        rows: list[dict[str, Any]] = page.json()["data"][::-1]
        if len(rows) < least or any(row["state"] == "open" for row in rows):
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > QUIET_SECONDS:
            return rows
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"Round {least} did not end within {ROUND_SECONDS:.0f} s.")


def unexplained(row: Mapping[str, Any]) -> list[str]:
    """What of a round's verdict does not follow from its own report.

    Args:
        row: the round, as the API shows it.
    """
    report = row["report"]
    if report is None:
        return [f"{row['id']}: {row['state']} without a report ({row['message']})"]
    said = [rule["outcome"] for rule in report["rules"]]
    verdict = "refuse" if "refuse" in said else "abstain" if "abstain" in said else "promote"
    for looked_for in (("superiority", "perplexity"), ("non-inferiority",)):
        own = [rule["outcome"] for rule in report["rules"] if rule["name"] in looked_for]
        # Nobody looked for a gain, or for harm: that is no reason to promote.
        if verdict == "promote" and set(own) <= {"not checked"}:
            verdict = "abstain"
    found = []
    if verdict != report["outcome"]:
        found.append(f"the rules say {verdict}, the report {report['outcome']}")
    if row["state"] != {"refuse": "refused", "abstain": "abstained"}.get(verdict, "promoted"):
        found.append(f"the rules say {verdict}, and it was {row['state']}")
    for rule in report["rules"]:
        told = rule["sentence"] in row["message"]
        if rule["outcome"] == verdict and verdict != "promote" and not told:
            found.append(f"the message is silent about {rule['name']} of {rule['suite']}")
        if rule["unit"] == "points" and rule["outcome"] == "holds":
            least = rule["margin"] if rule["name"] == "superiority" else -rule["margin"]
            if rule["lower"] <= least:
                found.append(f"{rule['name']} of {rule['suite']} holds below its margin")
    return [f"{row['id']}: {each}" for each in found]


def ledgers(data_dir: Path, round_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What `heed ledger --round ID --json` says, by round."""
    return {each: _heed(data_dir, "ledger", "--round", each)["data"] for each in round_ids}


def main() -> int:
    """Play, recount, print, and say whether everything holds."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--schedule", default=SCHEDULE, help="cron, seconds first")
    reader.add_argument("--bad", type=int, default=3, help="the wave that is lies; 0 for none")
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--data", type=Path, help="an empty folder to keep all of it in")
    reader.add_argument("--out", type=Path, help="folder that receives five_rounds.json")
    reader.add_argument("--json", action="store_true")
    asked = reader.parse_args()
    with tempfile.TemporaryDirectory(prefix="heed-rounds-") as scratch:
        data_dir = (asked.data or Path(scratch)).absolute()
        data_dir.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with started(
            data_dir,
            None,
            HEED_TRAINER__SCHEDULE=asked.schedule,
            HEED_TRAINER__MINIMUM_MATERIAL=str(MINIMUM_MATERIAL),
            HEED_TRAINER__NEW_MATERIAL="1000000",
            HEED_SERVING__TICK_SECONDS="1",
        ) as server:
            server.wait_until_ready()
            life = asyncio.run(live(server, rounds=asked.rounds, bad=asked.bad, seed=asked.seed))
        seconds = time.monotonic() - began
        written = ledgers(data_dir, [row["id"] for row in life.rounds])
        recount = recounted(data_dir, life.suites, written)
    told = _told(life, recount, seconds)
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "five_rounds.json").write_text(json.dumps(told, indent=1))
    print(json.dumps(told, indent=1) if asked.json else _shown(told))
    return 0 if told["holds"] else 1


def _heed(data_dir: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from serving.cli import main; main()", *arguments, "--json"],
        env={**os.environ, "HEED_FEEDBACK__DATA_DIR": str(data_dir)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def _told(life: Life, recount: Recount, seconds: float) -> dict[str, Any]:
    wrong = [each for row in life.rounds for each in unexplained(row)]
    by_hand = [row["id"] for row in life.rounds if not row["trigger"].startswith("schedule")]
    return {
        "rounds": [
            {name: row[name] for name in ("id", "trigger", "state", "adapter", "message")}
            for row in life.rounds
        ],
        "requests": life.requests,
        "failed": life.failed,
        "unexplained": wrong,
        "started_otherwise": by_hand,
        "recount": asdict(recount),
        "seconds": round(seconds, 1),
        "holds": not (wrong or by_hand or life.failed or recount.differ) and recount.marks > 0,
    }


def _shown(told: dict[str, Any]) -> str:
    recount = told["recount"]
    lines = [f"{row['id']}  {row['state']:<9}  {row['message']}" for row in told["rounds"]]
    lines.append(
        f"{len(told['rounds'])} rounds in {told['seconds']:.0f} s, all by the schedule: "
        f"{not told['started_otherwise']}; {told['failed']} of {told['requests']} requests failed; "
        f"verdicts that do not follow from their report: {told['unexplained'] or 'none'}."
    )
    lines.append(
        f"Recount: {recount['marks']} marks of {recount['items']} items under "
        f"{recount['adapters']} adapters, {len(recount['differ'])} differ from the ledger"
        f"{': ' + ', '.join(recount['differ'][:5]) if recount['differ'] else ''}; "
        f"{recount['unknown']} could not be asked again."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
