"""Several answers to one prompt, read together: each piece as it comes. Knows no HTTP, no engine."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from serving.engines.base import Chunk, close


async def merged(answers: Sequence[AsyncIterator[Chunk]]) -> AsyncIterator[tuple[int, Chunk]]:
    """Yield (index of the answer, piece). The first error ends them all; so does closing this."""
    if len(answers) == 1:
        try:
            async for chunk in answers[0]:
                yield 0, chunk
        finally:
            await close(answers[0])
        return
    pieces: asyncio.Queue[tuple[int, Chunk | BaseException | None]] = asyncio.Queue()
    tasks = []
    for index, answer in enumerate(answers):
        tasks.append(asyncio.create_task(_read(index, answer, pieces)))
        tasks[-1].add_done_callback(partial(_ended, index, pieces))
    try:
        left = len(tasks)
        while left:
            index, piece = await pieces.get()
            if piece is None:
                left -= 1
            elif isinstance(piece, BaseException):
                raise piece
            else:
                yield index, piece
    finally:
        for task in tasks:
            task.cancel()


async def _read(
    index: int,
    answer: AsyncIterator[Chunk],
    pieces: "asyncio.Queue[tuple[int, Chunk | BaseException | None]]",
) -> None:
    async for chunk in answer:
        pieces.put_nowait((index, chunk))


def _ended(
    index: int,
    pieces: "asyncio.Queue[tuple[int, Chunk | BaseException | None]]",
    task: "asyncio.Task[None]",
) -> None:
    """Tell whoever reads that an answer is over, and what error ended it."""
    if not task.cancelled():
        pieces.put_nowait((index, task.exception()))
