"""Several answers to one prompt, read together: each piece as it comes. Knows no HTTP, no engine."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from serving.engines.base import Chunk


async def merged(answers: Sequence[AsyncIterator[Chunk]]) -> AsyncIterator[tuple[int, Chunk]]:
    """Yield (index of the answer, piece). The first error ends them all; so does closing this."""
    if len(answers) == 1:
        try:
            async for chunk in answers[0]:
                yield 0, chunk
        finally:
            await _close(answers[0])
        return
    pieces: asyncio.Queue[tuple[int, Chunk | Exception | None]] = asyncio.Queue()
    tasks = [
        asyncio.create_task(_read(index, answer, pieces)) for index, answer in enumerate(answers)
    ]
    try:
        left = len(tasks)
        while left:
            index, piece = await pieces.get()
            if piece is None:
                left -= 1
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield index, piece
    finally:
        for task in tasks:
            task.cancel()


async def _read(
    index: int,
    answer: AsyncIterator[Chunk],
    pieces: "asyncio.Queue[tuple[int, Chunk | Exception | None]]",
) -> None:
    try:
        async for chunk in answer:
            pieces.put_nowait((index, chunk))
        pieces.put_nowait((index, None))
    # Raised again where it is read.
    except Exception as error:  # noqa: BLE001
        pieces.put_nowait((index, error))


async def _close(answer: AsyncIterator[Chunk]) -> None:
    """Free its place now, not when the collector comes by; waits for nothing."""
    close = getattr(answer, "aclose", None)
    if close is not None:
        await close()
