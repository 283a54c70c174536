"""Answers that must be JSON: which tokens may come next, given those already chosen (torch).

A grammar is compiled once per schema and tokenizer; every answer follows it with a matcher of its
own. llguidance does the parsing and is imported when the first grammar is asked for. Knows nothing
of models, batches, sampling or HTTP.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy
import torch
from torch import Tensor

from feedback.errors import Invalid
from serving.engines import schema_trial

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Kind = Literal["json_object", "json_schema"]

_FIELD = "response_format"
_ANY_OBJECT = '{"type": "object"}'
_MAX_SCHEMA_BYTES = 65_536
_MAX_REASON_CHARACTERS = 300
_KEPT = 64


class Matcher:
    """Follows one answer. Not shared between answers; used by one thread at a time."""

    def __init__(self, state: "LLMatcher", end_tokens: Sequence[int], vocabulary: int) -> None:
        self._state = state
        self._end_tokens = end_tokens
        self._vocabulary = vocabulary
        self._ended = False

    @property
    def finished(self) -> bool:
        """Whether the output is complete and nothing but an end token can follow."""
        return self._ended or (self._state.is_stopped() and not self._state.is_error())

    def mask(self, logits: Tensor) -> None:
        """Set what may not come next to minus infinity, in place; at least one token is left.

        End tokens are left exactly when the output is complete.

        Args:
            logits: (vocabulary,), on any device; may be longer than the tokenizer's vocabulary.

        Raises:
            Invalid: the schema has turned out too complex to follow. It concerns this answer
                alone, whose logits are as they were.
        """
        allowed = numpy.zeros(logits.shape[0], dtype=numpy.bool_)
        if not self.finished:
            # One bit per token, the lowest bit of each byte first.
            packed = numpy.frombuffer(self._state.compute_bitmask(), dtype=numpy.uint8)
            self._check()
            bits = numpy.unpackbits(packed, count=self._vocabulary, bitorder="little")
            known = min(len(bits), len(allowed))
            allowed[:known] = bits[:known]
        complete = self.finished or self._state.is_accepting()
        for token in self._end_tokens:
            if token < len(allowed):
                allowed[token] = complete
        if not allowed.any():
            raise Invalid(_refusal("no token of this model can continue the answer"), param=_FIELD)
        logits.masked_fill_(torch.from_numpy(~allowed).to(logits.device), float("-inf"))

    def take(self, token: int) -> None:
        """Go on from the token that was chosen.

        Raises:
            Invalid: the token was not allowed, or the schema has turned out too complex to follow.
        """
        if token in self._end_tokens:
            if not (self.finished or self._state.is_accepting()):
                raise Invalid(_refusal(f"token {token} ends it too early"), param=_FIELD)
            self._ended = True
        elif self.finished:
            raise Invalid(_refusal(f"token {token} comes after its end"), param=_FIELD)
        else:
            self._state.consume_token(token)
            self._check()

    def _check(self) -> None:
        if self._state.is_error():
            raise Invalid(_refusal(self._state.get_error()), param=_FIELD)


class Grammar:
    """A schema that has been tried and compiled for one tokenizer."""

    def __init__(self, vocabulary: "LLTokenizer", schema: str, end_tokens: Sequence[int]) -> None:
        self._vocabulary = vocabulary
        self._schema = schema
        self._end_tokens = end_tokens

    def matcher(self) -> Matcher:
        """A matcher at the beginning of an answer; from any thread, in about a millisecond.

        Raises:
            Invalid: the schema does not compile; says why.
        """
        # Not a copy of one made before: copies share the lexer's states, of which there is a limit,
        # so that what earlier answers have used up would make a later one fail.
        state = schema_trial.begin(self._vocabulary, self._schema)
        if state.is_error():
            raise Invalid(_refusal(state.get_error()), param=_FIELD)
        return Matcher(state, self._end_tokens, self._vocabulary.vocab_size)


class Structures:
    """Grammars for one tokenizer, compiled when first asked for; the latest are kept.

    Args:
        tokenizer: a fast tokenizer of transformers, byte-level or with byte fallback.
        end_tokens: tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, end_tokens: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._end_tokens = tuple(sorted(end_tokens))
        # One new schema at a time: they may cost what they like, but not every core.
        self._compiling = threading.Lock()
        self._keeping = threading.Lock()
        self._vocabulary: LLTokenizer | None = None
        self._kept: OrderedDict[str, Grammar | Invalid] = OrderedDict()

    def compile(self, kind: Kind, schema: Mapping[str, Any] | None) -> Grammar:
        """Compile what the answer has to be; from any thread, at once the second time.

        The first time it takes a fifth of a second, with a schema beyond reason a few seconds: keep
        it off the event loop.

        Args:
            kind: ``json_object`` allows any object, ``json_schema`` what `schema` says.
            schema: a JSON schema; read for ``json_schema`` only.

        Raises:
            Invalid: the schema is missing, too large, or cannot be followed; says why.
        """
        text = _ANY_OBJECT if kind == "json_object" else _text(schema)
        found = self._find(text)
        if found is None:
            with self._compiling:
                found = self._find(text) or self._keep(text, self._compile(text))
        if isinstance(found, Invalid):
            # A new one for each: an exception that is raised again collects its tracebacks.
            raise Invalid(found.message, param=found.param)
        return found

    def _find(self, text: str) -> Grammar | Invalid | None:
        with self._keeping:
            if text in self._kept:
                self._kept.move_to_end(text)
            return self._kept.get(text)

    def _keep(self, text: str, found: Grammar | Invalid) -> Grammar | Invalid:
        with self._keeping:
            self._kept[text] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def _compile(self, text: str) -> Grammar | Invalid:
        try:
            if self._vocabulary is None:
                self._vocabulary = _vocabulary(self._tokenizer, self._end_tokens)
            why = None if text == _ANY_OBJECT else schema_trial.why_not(text)
            if why:
                return Invalid(_refusal(why), param=_FIELD)
            grammar = Grammar(self._vocabulary, text, self._end_tokens)
            # What works with bytes may still be too much for this vocabulary.
            grammar.matcher().mask(torch.zeros(self._vocabulary.vocab_size))
        except Invalid as error:
            return error
        return grammar


def _text(schema: Mapping[str, Any] | None) -> str:
    if schema is None:
        raise Invalid(
            "response_format of type json_schema needs its schema in json_schema.schema.",
            param=_FIELD,
        )
    try:
        # In the order given, which is the order in which the answer's fields will come.
        text = json.dumps(schema, allow_nan=False)
    except RecursionError:
        raise Invalid(_refusal("it is nested too deeply"), param=_FIELD) from None
    except (TypeError, ValueError) as error:
        raise Invalid(_refusal(str(error)), param=_FIELD) from error
    if len(text) > _MAX_SCHEMA_BYTES:
        raise Invalid(
            f"The schema in response_format has {len(text)} bytes as JSON, more than the "
            f"{_MAX_SCHEMA_BYTES} allowed. Send a smaller one.",
            param=_FIELD,
        )
    return text


def _vocabulary(tokenizer: Any, end_tokens: Collection[int]) -> "LLTokenizer":
    from llguidance import LLTokenizer
    from tokenizers import Tokenizer

    known = set(tokenizer.get_vocab().values())
    ends = sorted(known.intersection(end_tokens))
    try:
        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        # On this copy: the engine's own tokenizer is in use.
        backend.no_truncation()
        backend.no_padding()
        return LLTokenizer(backend.to_str(), eos_token=ends, slices=LLTokenizer.json_slices())
    except (AttributeError, ValueError) as error:
        raise Invalid(
            f"response_format cannot be honoured with this base model's tokenizer: {error}. "
            "Leave it out, or serve a base model with a byte-level tokenizer and an end token.",
            param=_FIELD,
        ) from error


def _refusal(reason: str) -> str:
    """The library's reasons can have many lines; one of them says it."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()] or ["unknown"]
    line = next((line for line in lines if line.startswith("error:")), lines[0])
    said = line.removeprefix("error:").strip()[:_MAX_REASON_CHARACTERS].rstrip(".")
    return f"The schema in response_format cannot be followed: {said}. Send a simpler one."
