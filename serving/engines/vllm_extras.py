"""What a request may want of vLLM beyond a plain answer, in the words of vLLM's completions. Pure.

Tokens are asked for by their number: spelled out, half a character would be a question mark, and two
tokens that look alike would be one. Knows nothing of HTTP, of adapters or of how text is cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from feedback.errors import Invalid
from serving.engines.answer import Told
from serving.engines.base import Sampling

_NUMBER = "token_id:"
_UNKNOWN_LOGPROB = -9999.0
"""As vLLM says that a token was impossible."""


@dataclass(frozen=True)
class VllmConstraint:
    """What an answer has to be. vLLM keeps it, beside the model; here it is only on its way there.

    Attributes:
        response_format: as vLLM takes it.
    """

    response_format: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Never known here: vLLM ends the answer."""
        return False

    def mask(self, logits: Any) -> None:
        """Nothing: the logits are vLLM's."""

    def take(self, token: int) -> None:
        """Nothing: vLLM has chosen it."""


def constraint(
    kind: Literal["json_object", "json_schema"], schema: Mapping[str, Any] | None
) -> VllmConstraint:
    """Return a constraint that carries a schema which has been checked already."""
    if kind == "json_object":
        return VllmConstraint({"type": kind})
    return VllmConstraint({"type": kind, "json_schema": {"name": "answer", "schema": schema}})


def asked(sampling: Sampling) -> dict[str, Any]:
    """What of a request's wishes goes into the body, where it has any.

    Raises:
        Invalid: the constraint is another engine's.
    """
    body: dict[str, Any] = {}
    if sampling.top_logprobs is not None:
        body |= {"logprobs": sampling.top_logprobs, "return_tokens_as_token_ids": True}
    if sampling.constraint is not None:
        if not isinstance(sampling.constraint, VllmConstraint):
            raise Invalid(
                "`response_format` was prepared for another engine. Ask again.",
                param="response_format",
            )
        body["response_format"] = sampling.constraint.response_format
    return body


def told(choice: Mapping[str, Any], top: int) -> tuple[Told, ...]:
    """Return the log-probabilities in a piece of an answer, the end token's left out.

    Args:
        choice: of an event of a stream.
        top: so many of the likeliest at each place; vLLM adds the chosen one where it is not
            among them.
    """
    found = choice.get("logprobs")
    if not found:
        return ()
    made = []
    for name, logprob, others in zip(
        found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True
    ):
        likeliest = sorted((others or {}).items(), key=lambda each: -each[1])[:top]
        made.append(
            Told(
                _number(name),
                _UNKNOWN_LOGPROB if logprob is None else logprob,
                tuple((_number(other), chance) for other, chance in likeliest),
            )
        )
    if choice["finish_reason"] == "stop" and not is_cut(choice):
        made.pop()
    return tuple(made)


def is_cut(choice: Mapping[str, Any]) -> bool:
    """Whether a stop string has ended the answer, perhaps in the middle of its tokens."""
    return isinstance(choice.get("stop_reason"), str)


def _number(name: str) -> int:
    return int(name.removeprefix(_NUMBER))
