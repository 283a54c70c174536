"""How fast a round learns, beside others on the same rows, and whether it learns as well.

    python -m benchmarks.training_speed [--models 10M,22M] [--rows 160,500] [--repeat 5] [--json]

Every contestant of a round runs in a process of its own, as a user would start it, on one thread, in
fp32 and without recomputing activations; all make the same passes over the same rows and take as many
optimizer steps. They alternate within each repeat, ratios are taken within a repeat, and medians are
shown with the lowest and the highest. CPU seconds are what neighbours on the machine disturb least.

LLaMA-Factory needs an environment of its own, since it wants an older TRL and transformers; without
--llamafactory PATH/bin/python its row is left out. `docs/benchmarks.md` says how to make one.
With --records FILE every measurement is kept as it is made, and an interrupted run goes on.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import models
from benchmarks.training_speed import contestants, material, processes, report
from benchmarks.training_speed.contestants import Race
from benchmarks.training_speed.records import Figures, Job, Records
from trainer.settings import Plan

SECTIONS = ("round", "start", "loop", "chat", "quality", "gpu")
GPU_MODEL, GPU_ROWS, START_ROWS = "160M", 500, 500
_START_SHARE = round(START_ROWS / material.SHARES["demonstration"])


class Run:
    """One run: what is asked for, where it computes, what it has found.

    Args:
        asked: the command line.
        scratch: an empty folder.
    """

    def __init__(self, asked: argparse.Namespace, scratch: Path) -> None:
        self._asked, self._scratch = asked, scratch
        self.records = Records(asked.records)
        self._races: dict[tuple[str, int, str], Race] = {}

    def jobs(self) -> list[Job]:
        """Everything that is still to be measured, in order."""
        asked = self._asked
        wanted: list[Job] = []
        for repeat in range(asked.repeat):
            for model in asked.models:
                for count in asked.rows if "round" in asked.only else ():
                    wanted += self._shuffled("round", model, count, repeat, self._contestants())
                if "start" in asked.only:
                    wanted += self._shuffled("start", model, START_ROWS, repeat, ["trl", "warm"])
                if "loop" in asked.only:
                    wanted.append(Job("loop", model, asked.rows[-1], repeat, "loop"))
            if "chat" in asked.only:
                wanted.append(Job("chat", "starter", 0, repeat, "chat"))
            if "gpu" in asked.only:
                wanted += self._shuffled("gpu", GPU_MODEL, GPU_ROWS, repeat, ["ours", "trl"])
        if "quality" in asked.only:
            # One job teaches both; what the other learned is kept beside it.
            wanted += [Job("quality", "starter", 0, seed, "ours") for seed in range(asked.seeds)]
        return [job for job in wanted if job not in self.records]

    def do(self, job: Job) -> None:
        """Measure one job."""
        if job.section == "quality":
            self._quality(job)
            return
        work = {
            "round": self._round,
            "gpu": self._round,
            "start": self._start,
            "loop": self._loop,
            "chat": self._chat,
        }[job.section]
        load = os.getloadavg()[0]
        self.records.add(job, {**work(job), "load": load})

    def _round(self, job: Job) -> Figures:
        race = self._race(job.model, job.rows, job.section)
        if job.contestant == "ours":
            ran = contestants.ours(race)
        elif job.contestant == "llamafactory":
            ran = contestants.factory(race, self._asked.llamafactory)
        else:
            ran = contestants.trl(race, grouped=job.contestant == "trl-grouped")
        return ran.figures()

    def _start(self, job: Job) -> Figures:
        from benchmarks.training_speed import warmth

        race = self._race(job.model, job.rows, job.section)
        if job.contestant == "trl":
            return contestants.first_step_of_trl(race).figures()
        seconds = warmth.first_step_seconds(race.folder / "task", race.folder / "warm.log")
        return {"first_step_seconds": seconds}

    def _loop(self, job: Job) -> Figures:
        race = self._race(job.model, job.rows, "round")
        command = processes.python("-m", "benchmarks.training_speed.loop", race.folder / "task")
        ran = processes.run(command, processes.environment(1), race.folder / "loop.log")
        found: Figures = json.loads(ran.said)
        return found

    def _chat(self, job: Job) -> Figures:
        from benchmarks.training_speed import chat

        folder = self._scratch / f"chat{job.repeat}"
        return chat.measure(folder, seconds=self._asked.seconds)

    def _quality(self, job: Job) -> None:
        from benchmarks.training_speed import quality

        found = quality.measure(self._scratch / f"quality{job.repeat}", job.repeat)
        for contestant in ("trl", "ours"):  # ours last: a job counts as done when it is there
            made = Job(job.section, job.model, job.rows, job.repeat, contestant)
            self.records.add(made, found[contestant])

    def _race(self, model: str, count: int, section: str) -> Race:
        """The rows of a race, everybody's files written."""
        key = (model, count, section)
        if key not in self._races:
            base = self._scratch / model
            if not base.exists():
                # Elsewhere, so that this process stays small: its memory would count as a child's.
                code = (
                    "import sys; from pathlib import Path; "
                    "from benchmarks.training_speed import material as m; "
                    "m.build(m.SIZES[sys.argv[1]], Path(sys.argv[2]))"
                )
                command = processes.python("-c", code, model, base)
                processes.run(command, processes.environment(1), self._scratch / "build.log")
            examples = material.rows(count)
            if section == "start":
                examples = material.of_kind(material.rows(_START_SHARE), "demonstration")
            plan = _plan(precision="auto" if section == "gpu" else "fp32")
            folder = self._scratch / f"{section}-{model}-{count}"
            race = Race(base, folder, tuple(examples), plan, on_gpu=section == "gpu")
            self._races[key] = contestants.prepare(race)
        return self._races[key]

    def _contestants(self) -> list[str]:
        others = ["llamafactory"] if self._asked.llamafactory else []
        return ["ours", "trl", "trl-grouped", *others]

    @staticmethod
    def _shuffled(
        section: str, model: str, count: int, repeat: int, names: Sequence[str]
    ) -> list[Job]:
        order = models.shuffled(names, repeat)
        return [Job(section, model, count, repeat, name) for name in order]


def _plan(*, precision: str) -> Plan:
    """What all are given; TRL's trainers know no weight between objectives, so all weigh 1."""
    return Plan(
        base_model="benchmark",
        rank=16,
        alpha=32,
        epochs=1,
        minimum_steps=0,
        learning_rate=2e-4,
        preference_weight=1.0,
        verdict_weight=1.0,
        threads=1,
        precision=precision,
    )


def _has_gpu() -> bool:
    code = "import torch; print(int(torch.cuda.is_available()))"
    return (
        subprocess.run(processes.python("-c", code), check=True, capture_output=True).stdout.strip()
        == b"1"
    )


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", default="10M,22M", help=f"of {', '.join(material.SIZES)}")
    parser.add_argument("--rows", default="160,500", help="sizes of a round")
    parser.add_argument("--repeat", type=int, default=5, help="alternations; medians are kept")
    parser.add_argument("--seeds", type=int, default=3, help="of the comparison of quality")
    parser.add_argument("--seconds", type=float, default=30.0, help="of chat, in each period")
    parser.add_argument("--only", default=",".join(SECTIONS), help="some of the default")
    parser.add_argument("--llamafactory", type=Path, help="the python that LLaMA-Factory lives in")
    parser.add_argument("--records", type=Path, help="keeps measurements; a run goes on from it")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args(arguments)
    asked.models, asked.only = asked.models.split(","), asked.only.split(",")
    asked.rows = [int(count) for count in asked.rows.split(",")]
    for unknown in {*asked.only} - {*SECTIONS}:
        parser.error(f"--only {unknown}: choose from {', '.join(SECTIONS)}")
    for unknown in {*asked.models} - {*material.SIZES}:
        parser.error(f"--models {unknown}: choose from {', '.join(material.SIZES)}")
    return asked


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    asked = _asked(arguments)
    console = Console(stderr=True)
    if "gpu" in asked.only and not _has_gpu():
        asked.only.remove("gpu")
        console.print("No CUDA device: the row of the GPU is left out.")
    if "round" in asked.only and not asked.llamafactory:
        console.print("No --llamafactory: its row is left out.")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(*columns, TimeElapsedColumn(), console=console) as progress,
    ):
        run = Run(asked, Path(folder))
        jobs = run.jobs()
        bar = progress.add_task("", total=len(jobs))
        for job in jobs:
            said = f"{job.section} {job.model} {job.rows or ''} {job.contestant} #{job.repeat + 1}"
            progress.update(bar, description=said)
            run.do(job)
            progress.advance(bar)
    rows, learned = report.rows(run.records), report.learned(run.records)
    if asked.json:
        raw = [{"job": vars(job), "figures": figures} for job, figures in run.records]
        document = {"ratios": [row.told() for row in rows], "quality": learned, "records": raw}
        print(json.dumps(document))
        return
    for row in rows:
        print(row.line())
    for each in learned:
        print(f"  {each['measure']}: ours {models.shown(each['ours'])}, TRL "
              f"{models.shown(each['trl'])}"
              f"{'' if each['within_spread'] else '  FALLS SHORT'}")  # fmt: skip


if __name__ == "__main__":
    main()
