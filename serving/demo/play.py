"""Playing the demo: a folder, a server, the story, and what is printed of it."""

import asyncio
import contextlib
import json
import os
import sys
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from rich.console import Console

from feedback.errors import HeedError
from serving.demo import show
from serving.demo.server import started
from serving.demo.told import Told
from serving.settings import load


def play(*, rounds: int = 3, seed: int = 0, exit_after: bool = False, as_json: bool = False) -> int:
    """Play the demo; returns the exit code, 0 where the loop improved the chatbot.

    Args:
        rounds: how many times the shop changes and the chatbot learns.
        seed: draws the changes, the people and the mistakes.
        exit_after: stop the server at the end instead of leaving it up.
        as_json: print one JSON document on standard output; the story goes to standard error.

    Raises:
        HeedError: the settings do not hold, or the server does not start.
    """
    console = Console(stderr=as_json, highlight=False)
    settings = load()
    given = "data_dir" in settings.feedback.model_fields_set
    data_dir = settings.feedback.data_dir if given else _fresh_folder()
    if (data_dir / "heed.sqlite3").exists():
        raise HeedError(
            f"{data_dir} holds a database already. The demo wants a fresh folder: unset "
            "HEED_FEEDBACK__DATA_DIR, or name an empty one."
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    told = Told(str(data_dir.absolute()), seed)
    show.opening(console, data_dir, rounds)
    with started(data_dir.absolute(), None) as server:
        with console.status("Starting the server and loading the starter model"):
            # While it starts: the client that people use takes a second to load.
            from serving.demo.story import Story

            server.wait_until_ready()
        asyncio.run(Story(server, console, told, seed).tell(rounds))
        told.seconds_total = round(time.monotonic() - began, 1)
        show.closing(console, told.improved, told.seconds_total, server, stays=not exit_after)
        if as_json:
            print(json.dumps(asdict(told), indent=1))
            sys.stdout.flush()
        if not exit_after:
            with contextlib.suppress(KeyboardInterrupt):
                server.process.wait()
    return 0 if told.improved else 1


def _fresh_folder() -> Path:
    return Path.cwd() / f"heed-demo-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
