"""A process that enqueues until it is killed, and says which event ids it was promised."""

import asyncio
import sys

from heed_client import AsyncHeed, Heed, HeedError


def say(event_id: str) -> None:
    """Tell the test, at once."""
    sys.stdout.write(f"{event_id}\n")
    sys.stdout.flush()


def blocking(url: str, folder: str, completion_id: str) -> None:
    """With the blocking client."""
    with Heed(url, queue_dir=folder, linger_seconds=0.01) as heed:
        while True:
            say(heed.enqueue(completion_id, signal="copy"))


async def awaited(url: str, folder: str, completion_id: str) -> None:
    """With the awaited client, many at a time."""

    async def speak(heed: AsyncHeed) -> None:
        while True:
            say(await heed.enqueue(completion_id, signal="copy"))

    async with AsyncHeed(url, queue_dir=folder, linger_seconds=0.01) as heed:
        await asyncio.gather(*(speak(heed) for _ in range(4)))


def unclosed(url: str, folder: str, completion_id: str) -> None:
    """A script that enqueues a little and ends without a word."""
    heed = Heed(url, queue_dir=folder, linger_seconds=60)
    for _ in range(3):
        say(heed.enqueue(completion_id, signal="copy"))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    try:
        if what == "awaited":
            asyncio.run(awaited(*arguments))
        else:
            {"blocking": blocking, "unclosed": unclosed}[what](*arguments)
    except HeedError as fault:
        sys.exit(fault.message)
