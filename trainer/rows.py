"""Examples become rows of token ids: one prompt and the answers that branch off it.

Knows no torch and no loss; a tokenizer is whatever renders a chat and turns text into ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feedback.errors import Invalid
from trainer.examples import Example, Kind, Message, Source

Pair = tuple[Sequence[Message], str]


@dataclass
class Row:
    """One example as token ids.

    Attributes:
        kind: the objective that it belongs to.
        prompt: ids up to where the answer starts, as the model sees them when it answers.
        branches: answers with their end token. A demonstration has one; a preference has the
            chosen and the rejected one; a verdict has the judged one and, for the estimate of the
            divergence, somebody else's answer.
        weight: how much it counts.
        liked: the verdict.
        source: new, past or general.
        reference: log-probability of each branch before training, in nats; filled in by the
            trainer where the objective needs it.
        reference_beyond: of that, what the tokens beyond the shorter branch of a preference have;
            filled in where length is desensitised.
        noise: the probability that the preference or verdict is the wrong way round.
        repeats: how often a pass shows it.
        in_turn: it is shown in one of so many passes.
    """

    kind: Kind
    prompt: list[int]
    branches: list[list[int]]
    weight: float = 1.0
    liked: bool = True
    source: Source = "new"
    reference: list[float] = field(default_factory=list)
    reference_beyond: list[float] = field(default_factory=list)
    noise: float = 0.0
    repeats: int = 1
    in_turn: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of the row, its prompt counted once."""
        return len(self.prompt) + sum(map(len, self.branches))


class Encoder:
    """Renders conversations with the model's chat template and tokenizes them in one call.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        ends: ids that end an answer.

    Raises:
        Invalid: the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: Any, ends: frozenset[int]) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise Invalid(
                "The base model's tokenizer has no chat template, so Heed cannot know how a "
                "conversation is written. Use a model that was made for chat.",
                param="base_model",
            )
        self._tokenizer = tokenizer
        self._ends = ends

    def prompts(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Ids of each conversation up to where the assistant starts to answer."""
        return self._ids(self._render(conversations, answering=True))

    def pairs(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        """Ids of each prompt and of its answer, end token included.

        Where the template writes an answered conversation differently from one that waits for an
        answer, the answer starts where the two part, as in TRL.

        Raises:
            Invalid: nothing stands before an answer.
        """
        prompts = self.prompts([messages for messages, _ in pairs])
        answered = [
            [*messages, Message(role="assistant", content=answer)] for messages, answer in pairs
        ]
        fulls = self._ids(self._render(answered, answering=False))
        encoded = []
        for prompt, full in zip(prompts, fulls, strict=True):
            start = len(prompt)
            if full[:start] != prompt:
                start = next(
                    (i for i, (a, b) in enumerate(zip(prompt, full, strict=False)) if a != b),
                    min(len(prompt), len(full)),
                )
            if start == 0:
                raise Invalid("The chat template writes nothing before an answer.")
            encoded.append((prompt[:start], self._closed(full[start:])))
        return encoded

    def texts(self, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        """Ids of what stands before each text and of the text, without a chat template around.

        Every token is to be predicted, the first one too: what stands before it is the token that
        begins a text, or the one that ended the last.
        """
        begin = self._tokenizer.bos_token_id
        start = self._tokenizer.eos_token_id if begin is None else begin
        return [([start], ids) for ids in self._ids(list(texts))]

    def _closed(self, answer: list[int]) -> list[int]:
        """The answer up to its last end token: what a template writes after it is never said."""
        for at in range(len(answer) - 1, -1, -1):
            if answer[at] in self._ends:
                return answer[: at + 1]
        return [*answer, self._tokenizer.eos_token_id]

    def _render(self, conversations: Sequence[Sequence[Message]], *, answering: bool) -> list[str]:
        if not conversations:
            return []
        rendered: list[str] = self._tokenizer.apply_chat_template(
            [list(messages) for messages in conversations],
            add_generation_prompt=answering,
            tokenize=False,
        )
        return rendered

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        ids: list[list[int]] = self._tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False
        )["input_ids"]
        return ids


def build(
    examples: Sequence[Example],
    encoder: Encoder,
    *,
    context_tokens: int,
    objective_weights: Mapping[Kind, float],
) -> tuple[list[Row], int]:
    """Rows of the examples that count, in their order, and how many did not fit the context.

    An example whose weight, or whose objective's weight, is zero has no effect on training, not
    even on a denominator. One that is too long is skipped whole: a conversation without its first
    turns may teach the opposite of what was meant.

    Raises:
        Invalid: a preference without a rejected answer or a verdict without its verdict.
    """
    counted = [e for e in examples if e.weight > 0 and objective_weights[e.kind] > 0]
    pairs: list[Pair] = []
    for example in counted:
        if example.text:
            continue
        pairs.append((example.messages, example.target))
        if example.kind == "preference":
            if example.rejected is None:
                raise Invalid(f"A preference {example.feedback_ids} has no rejected answer.")
            pairs.append((example.messages, example.rejected))
        if example.kind == "verdict" and example.liked is None:
            raise Invalid(f"A verdict {example.feedback_ids} does not say whether it was liked.")
    encoded = iter(encoder.pairs(pairs))
    texts = iter(encoder.texts([example.target for example in counted if example.text]))
    rows = []
    for example in counted:
        prompt, answer = next(texts if example.text else encoded)
        branches = [answer]
        if example.kind == "preference":
            other, rejected = next(encoded)
            if other != prompt:  # both answers must branch off the same ids
                shared = min(len(prompt), len(other))
                branches = [prompt[shared:] + answer, other[shared:] + rejected]
                prompt = prompt[:shared]
            else:
                branches.append(rejected)
        if len(prompt) + max(map(len, branches)) > context_tokens:
            continue
        rows.append(
            Row(
                kind=example.kind,
                prompt=prompt,
                branches=branches,
                weight=example.weight,
                liked=bool(example.liked),
                source=example.source,
                noise=example.noise,
                repeats=example.repeats,
                in_turn=example.in_turn,
            )
        )
    _mismatch([row for row in rows if row.kind == "verdict"], context_tokens)
    return rows, len(counted) - len(rows)


def _mismatch(verdicts: list[Row], context_tokens: int) -> None:
    """Give every verdict somebody else's answer, the previous one's where it fits.

    KTO (https://arxiv.org/abs/2402.01306, section 4.1) estimates the divergence from answers that
    do not belong to their prompts. TRL takes the previous one's, too.
    """
    answers = [row.branches[0] for row in verdicts]
    for at, row in enumerate(verdicts):
        for back in range(1, len(verdicts)):
            other = answers[at - back]
            if other != answers[at] and len(row.prompt) + len(other) <= context_tokens:
                row.branches.append(other)
                break
