"""Seconds from the start of ``heed up`` to a ``/readyz`` that says 200, and where they go.

    python -m benchmarks.time_to_ready [--base starter|FOLDER|random:100M] [--json]

The time is that of an untouched ``heed up`` on a data folder that is migrated and has one adapter
live; a first start, on an empty folder, is given beside it. Where the time goes is seen in further
starts that alternate with these, in which the imports come first and a clock is on every step; what
their sum leaves over is the interpreter, the listening, and whatever has no name here.
"""

import argparse
import contextlib
import functools
import importlib
import inspect
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import models, server_process
from benchmarks.models import Base

TARGET_SECONDS = 8.0
IMPORTS = {
    "importing the server, no torch": "serving.commands.server",
    "importing torch": "torch",
    "importing transformers": "serving.engines.opening",
    "importing transformers' tokenizers": "transformers.models.auto.tokenization_auto",
}
STEPS = {
    "migrating the database": ("serving.schema", "upgrade"),
    "hashing the base model": ("trainer.base_folder", "base_hash"),
    "loading the tokenizer": ("transformers", "AutoTokenizer.from_pretrained"),
    "loading the model": ("serving.engines.opening", "_load"),
    "checking the own loop": ("serving.engines.opening", "disagreement"),
    "warming up": ("serving.engines.local", "LocalEngine._warm_up"),
    "verifying, loading, probing the live adapter": ("serving.swap", "Swap.sync"),
}
"""What is timed → module and name; one that is gone is left out, and the output says so."""


def start(command: Sequence[str], base: Base, data: Path, threads: int) -> float:
    """Start Heed on a data folder, wait until it is ready, end it; returns the seconds to ready."""
    data.mkdir(exist_ok=True)
    port = server_process.free_port()
    environment = server_process.heed_environment(base, data, threads)
    with (data / "log.txt").open("wb") as log:
        begun = time.perf_counter()
        arguments = [*command, "--port", str(port)]
        with subprocess.Popen(arguments, env=environment, stdout=log, stderr=log) as process:
            try:
                server_process.wait(f"http://127.0.0.1:{port}/readyz", process)
                return time.perf_counter() - begun
            except RuntimeError as error:
                raise RuntimeError(f"{error}\n{(data / 'log.txt').read_text()[-2000:]}") from error
            finally:
                process.terminate()


def steps(base: Base, data: Path, threads: int) -> dict[str, float]:
    """A start with a clock on every step: name → seconds."""
    file = data / "steps.txt"
    command = [sys.executable, "-P", "-m", "benchmarks.time_to_ready", "--inside", str(file)]
    seconds = start([*command, "--begun", str(time.time())], base, data, threads)
    found: dict[str, float] = {}
    for line in file.read_text().splitlines():
        name, took = json.loads(line)
        found.setdefault(name, took)  # the first time: what is done again is not the start
    file.unlink()
    return {**found, "the rest": seconds - sum(found.values())}


def inside(file: Path, begun: float, port: int) -> None:
    """In the process that is looked into: import, put the clocks on, and be ``heed up``."""
    _note(file, "the interpreter and this benchmark's own imports", time.time() - begun)
    for name, module in IMPORTS.items():
        with _noting(file, name):
            importlib.import_module(module)
    for name, (module, path) in STEPS.items():
        with contextlib.suppress(ImportError, AttributeError):
            _put_clock_on(
                path, importlib.import_module(module), functools.partial(_noting, file, name)
            )
    from serving.commands import server
    from serving.settings import load

    server.run(load(serving={"port": port}), roles=("api",))


@contextlib.contextmanager
def _noting(file: Path, name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    _note(file, name, time.perf_counter() - begun)


def _note(file: Path, name: str, seconds: float) -> None:
    with file.open("a") as out:
        out.write(json.dumps([name, seconds]) + "\n")


def _put_clock_on(
    path: str, module: Any, noting: Callable[[], contextlib.AbstractContextManager[None]]
) -> None:
    *holders, last = path.split(".")
    holder = functools.reduce(getattr, holders, module)
    real = getattr(holder, last)

    def timed(*args: Any, **kwargs: Any) -> Any:
        with noting():
            return real(*args, **kwargs)

    async def timed_async(*args: Any, **kwargs: Any) -> Any:
        with noting():
            return await real(*args, **kwargs)

    setattr(holder, last, timed_async if inspect.iscoroutinefunction(real) else timed)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    models.add_arguments(parser, repeat=3)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside is not None:
        inside(asked.inside, asked.begun, asked.port)
        return
    up = [*server_process.HEED, "up", "--role", "api"]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        base = models.prepare(asked.base, scratch)
        adapters = models.build_adapters(base, scratch, 1)
        data = scratch / "data"
        server_process.data_folder(base, data, adapters)
        first, again, parts = [], [], []
        for repeat in range(asked.repeat):
            again.append(start(up, base, data, asked.threads))
            parts.append(steps(base, data, asked.threads))
            first.append(start(up, base, scratch / f"empty{repeat}", asked.threads))
    found: dict[str, Any] = {
        **models.head(base, asked),
        "seconds_to_ready": models.median(again),
        "seconds_to_ready_on_an_empty_folder": models.median(first),
        "where_seconds": {
            name: models.median([each[name] for each in parts])["median"] for name in parts[0]
        },
        "not_found": [name for name in STEPS if name not in parts[0]],
    }
    if asked.json:
        print(json.dumps(found))
        return
    print(
        f"{base.name}, {base.parameters / 1e6:.1f}M parameters; {asked.threads} thread(s); median "
        f"of {asked.repeat} (lowest–highest)"
    )
    print(f"  start to ready: {models.shown(models.median(again))} s  target ≤{TARGET_SECONDS:g} "
          "on the starter")  # fmt: skip
    print(f"  on an empty data folder, without adapter: {models.shown(models.median(first))} s")
    for name, seconds in found["where_seconds"].items():
        print(f"    {seconds:>6.2f} s  {name}")
    for name in found["not_found"]:
        print(f"           not found: {name}")


if __name__ == "__main__":
    main()
