"""Several answers read together: nothing is lost, and an error of one is everybody's."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from feedback.errors import Unavailable
from serving.engines.base import Chunk, close
from serving.several import merged


async def saying(*texts: str, then: Exception | None = None) -> AsyncIterator[Chunk]:
    for made, text in enumerate(texts, start=1):
        await asyncio.sleep(0)
        yield Chunk(text, made)
    if then is not None:
        raise then


async def read(*answers: AsyncIterator[Chunk]) -> list[str]:
    said = [""] * len(answers)
    async for index, chunk in merged(answers):
        said[index] += chunk.text
    return said


@pytest.mark.parametrize("others", [0, 1, 3])
def test_every_piece_reaches_its_own_answer(others: int) -> None:
    answers = [saying("a", "b", "c"), *(saying("x") for _ in range(others))]
    assert asyncio.run(read(*answers)) == ["abc", *["x"] * others]


@pytest.mark.parametrize("others", [0, 1, 3])
def test_an_answer_that_fails_fails_them_all(others: int) -> None:
    answers = [saying("a", then=Unavailable("gone")), *(saying("x") for _ in range(others))]
    with pytest.raises(Unavailable, match="gone"):
        asyncio.run(read(*answers))


def test_closing_early_ends_every_answer() -> None:
    ended = []

    async def endless(name: str) -> AsyncIterator[Chunk]:
        try:
            while True:
                await asyncio.sleep(0)
                yield Chunk(name, 1)
        finally:
            ended.append(name)

    async def play() -> None:
        async for _, _ in (both := merged([endless("a"), endless("b")])):
            break
        await close(both)
        await asyncio.sleep(0.01)
        assert sorted(ended) == ["a", "b"]

    asyncio.run(play())
