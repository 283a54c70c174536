"""Examples become rows of token ids: one prompt and the answers that branch off it.

Knows no torch and no loss; a tokenizer is whatever renders a chat and turns text into ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from feedback.errors import Invalid
from trainer import template
from trainer.examples import Example, Kind, Message, Source
from trainer.template import Refused

Pair = tuple[Sequence[Message], str]
Ids = list[int]
Branched = tuple[Ids, list[Ids]]


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
    prompt: Ids
    branches: list[Ids]
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

    def prompts(self, conversations: Sequence[Sequence[Message]]) -> list[Ids]:
        """Ids of each conversation up to where the assistant starts to answer.

        Raises:
            Refused: the template takes one of them in no way.
        """
        return [_accepted(each) for each in self.try_prompts(conversations)]

    def try_prompts(self, conversations: Sequence[Sequence[Message]]) -> list[Ids | Refused]:
        """The same, with why in the place of each that the template refuses."""
        return self._ids(self._render(conversations, answering=True))

    def pairs(self, pairs: Sequence[Pair]) -> list[tuple[Ids, Ids]]:
        """Ids of each prompt and of its answer, end token included.

        Where the template writes an answered conversation differently from one that waits for an
        answer, the answer starts where the two part, as in TRL.

        Raises:
            Refused: the template takes one of them in no way.
            Invalid: nothing stands before an answer.
        """
        return [_accepted(each) for each in self.try_pairs(pairs)]

    def try_pairs(self, pairs: Sequence[Pair]) -> list[tuple[Ids, Ids] | Refused]:
        """The same, with why in the place of each that the template refuses.

        Raises:
            Invalid: nothing stands before an answer.
        """
        prompts = self.try_prompts([messages for messages, _ in pairs])
        answered = [
            [*messages, Message(role="assistant", content=answer)] for messages, answer in pairs
        ]
        fulls = self._ids(self._render(answered, answering=False))
        encoded: list[tuple[Ids, Ids] | Refused] = []
        for prompt, full in zip(prompts, fulls, strict=True):
            if isinstance(prompt, Refused):
                encoded.append(prompt)
            elif isinstance(full, Refused):
                encoded.append(full)
            else:
                encoded.append(self._parted(prompt, full))
        return encoded

    def _parted(self, prompt: Ids, full: Ids) -> tuple[Ids, Ids]:
        start = len(prompt)
        if full[:start] != prompt:
            start = next(
                (i for i, (a, b) in enumerate(zip(prompt, full, strict=False)) if a != b),
                min(len(prompt), len(full)),
            )
        if start == 0:
            raise Invalid("The chat template writes nothing before an answer.")
        return prompt[:start], self._closed(full[start:])

    def texts(self, texts: Sequence[str]) -> list[tuple[Ids, Ids]]:
        """Ids of what stands before each text and of the text, without a chat template around.

        Every token is to be predicted, the first one too: what stands before it is the token that
        begins a text, or the one that ended the last.
        """
        begin = self._tokenizer.bos_token_id
        start = self._tokenizer.eos_token_id if begin is None else begin
        return [([start], ids) for ids in self._tokenized(list(texts))]

    def _closed(self, answer: Ids) -> Ids:
        """The answer up to its last end token: what a template writes after it is never said."""
        for at in range(len(answer) - 1, -1, -1):
            if answer[at] in self._ends:
                return answer[: at + 1]
        return [*answer, self._tokenizer.eos_token_id]

    def _render(
        self, conversations: Sequence[Sequence[Message]], *, answering: bool
    ) -> list[str | Refused]:
        def write(conversations: Sequence[Any]) -> list[str]:
            texts: list[str] = self._tokenizer.apply_chat_template(
                conversations, add_generation_prompt=answering, tokenize=False
            )
            return texts

        if not conversations:
            return []
        try:
            return list(write([list(messages) for messages in conversations]))
        except template.refusals():  # of one at least: each for itself
            rendered: list[str | Refused] = []
            for messages in conversations:
                try:
                    rendered += template.written(lambda turns: write([turns]), messages)
                except Refused as refused:
                    rendered.append(refused)
            return rendered

    def _ids(self, texts: Sequence[str | Refused]) -> list[Ids | Refused]:
        ids = iter(self._tokenized([each for each in texts if isinstance(each, str)]))
        return [next(ids) if isinstance(each, str) else each for each in texts]

    def _tokenized(self, texts: list[str]) -> list[Ids]:
        if not texts:
            return []
        ids: list[Ids] = self._tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False
        )["input_ids"]
        return ids


Encoded = TypeVar("Encoded")


def _accepted(tried: Encoded | Refused) -> Encoded:
    if isinstance(tried, Refused):
        raise tried
    return tried


@dataclass(frozen=True)
class LeftOut:
    """How many examples cannot be learned, and why.

    Attributes:
        too_long: they do not fit the context.
        refused: the chat template takes them in no way.
        why: what it says of the first of those.
    """

    too_long: int = 0
    refused: int = 0
    why: str = ""


class TooLong(Invalid):
    """An example does not fit the context."""


def build(
    examples: Sequence[Example],
    encoder: Encoder,
    *,
    context_tokens: int,
    objective_weights: Mapping[Kind, float],
) -> tuple[list[Row], LeftOut]:
    """Rows of the examples that count, in their order, and how many cannot be learned.

    An example whose weight, or whose objective's weight, is zero has no effect on training, not
    even on a denominator. One that is too long is skipped whole: a conversation without its first
    turns may teach the opposite of what was meant. One that the chat template refuses is skipped, too.

    Raises:
        Invalid: a preference without a rejected answer or a verdict without its verdict.
    """
    counted = [e for e in examples if e.weight > 0 and objective_weights[e.kind] > 0]
    for example in counted:
        if example.kind == "verdict" and example.liked is None:
            raise Invalid(f"A verdict {example.feedback_ids} does not say whether it was liked.")
    rows: list[Row] = []
    faults: list[Refused | TooLong] = []
    encoded = encode(counted, encoder, context_tokens=context_tokens)
    for example, found in zip(counted, encoded, strict=True):
        if isinstance(found, Invalid):
            faults.append(found)
            continue
        prompt, branches = found
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
    refused = [fault for fault in faults if isinstance(fault, Refused)]
    return rows, LeftOut(
        too_long=len(faults) - len(refused),
        refused=len(refused),
        why=refused[0].message if refused else "",
    )


def encode(
    examples: Sequence[Example], encoder: Encoder, *, context_tokens: int
) -> list[Branched | Refused | TooLong]:
    """Ids of each example's prompt and of its answers, with why in the place of what cannot be learned.

    Raises:
        Invalid: a preference without a rejected answer.
    """
    pairs: list[Pair] = []
    for example in examples:
        if example.text:
            continue
        pairs.append((example.messages, example.target))
        if example.kind == "preference":
            if example.rejected is None:
                raise Invalid(f"A preference {example.feedback_ids} has no rejected answer.")
            pairs.append((example.messages, example.rejected))
    answers = iter(encoder.try_pairs(pairs))
    texts = iter(encoder.texts([example.target for example in examples if example.text]))
    encoded: list[Branched | Refused | TooLong] = []
    for example in examples:
        found = [next(texts if example.text else answers)]
        if example.kind == "preference":
            found.append(next(answers))
        try:
            prompt, branches = _branched([_accepted(each) for each in found])
        except Refused as why:
            encoded.append(why)
            continue
        tokens = len(prompt) + max(map(len, branches))
        encoded.append(
            (prompt, branches)
            if tokens <= context_tokens
            else TooLong(
                f"It is {tokens:,} tokens long, and the model's context holds {context_tokens:,}."
            )
        )
    return encoded


def _branched(pairs: Sequence[tuple[Ids, Ids]]) -> Branched:
    """One prompt and the answers that branch off the same ids of it."""
    (prompt, answer), *others = pairs
    if not others:
        return prompt, [answer]
    [(other, rejected)] = others
    if other == prompt:
        return prompt, [answer, rejected]
    shared = min(len(prompt), len(other))
    return prompt[:shared], [prompt[shared:] + answer, other[shared:] + rejected]


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
