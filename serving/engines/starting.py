"""What engines have in common when they start. Knows none of them by name."""

from feedback.errors import HeedError
from serving.engines.base import BASE, ChatMessage, Engine, GenerationRequest, Sampling

_GREETING: ChatMessage = {"role": "user", "content": "Hello"}


async def greet(engine: Engine) -> None:
    """Let the base model answer with one token.

    Raises:
        HeedError: it cannot.
    """
    prompt = engine.prepare([_GREETING])
    async for _ in engine.generate(
        GenerationRequest("warm-up", prompt, BASE, Sampling(max_tokens=1))
    ):
        pass


def told(error: BaseException, otherwise: str | None = None) -> str:
    """What an error says; of one that is not ours `otherwise`, or as Python shows it."""
    return error.message if isinstance(error, HeedError) else otherwise or repr(error)
