"""Asking an engine, in the few words that tests need."""

from collections.abc import AsyncIterator, Sequence

from serving.engines.base import BASE, ChatMessage, Chunk, Engine, GenerationRequest, Sampling


def user(text: str) -> list[ChatMessage]:
    return [{"role": "user", "content": text}]


def begin(
    engine: Engine, text: str, sampling: Sampling, adapter: str = BASE
) -> AsyncIterator[Chunk]:
    return engine.generate(GenerationRequest("req", engine.prepare(user(text)), adapter, sampling))


async def ask(engine: Engine, text: str, sampling: Sampling, adapter: str = BASE) -> list[Chunk]:
    return [chunk async for chunk in begin(engine, text, sampling, adapter)]


def text_of(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)
