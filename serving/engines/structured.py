"""Answers of a given form, JSON or calls of tools: which tokens may come next (torch).

A grammar is compiled once per form and tokenizer; every answer follows it with a matcher of its
own. llguidance does the parsing and is imported when the first grammar is asked for. Knows nothing
of models, batches, sampling or HTTP.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from feedback.errors import Invalid
from serving.engines import schema_trial, tool_frame, vocabulary
from serving.engines.base import ConstraintKind

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_FIELD = "response_format"
_TOOLS = "tools"
_SUBJECT = {_FIELD: "The schema in response_format", _TOOLS: "The parameters of these tools"}
_ANY_OBJECT = '{"type": "object"}'
_MAX_BYTES = {_FIELD: 65_536, _TOOLS: 262_144}
_MAX_REASON_CHARACTERS = 300
_KEPT = 64


class Matcher:
    """Follows one answer. Not shared between answers; used by one thread at a time."""

    def __init__(
        self, state: "LLMatcher", end_tokens: Sequence[int], vocabulary: int, field: str
    ) -> None:
        self._state = state
        self._field = field
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
            raise _refusal("no token of this model can continue the answer", self._field)
        logits.masked_fill_(torch.from_numpy(~allowed).to(logits.device), float("-inf"))

    def take(self, token: int) -> None:
        """Go on from the token that was chosen.

        Raises:
            Invalid: the token was not allowed, or the schema has turned out too complex to follow.
        """
        if token in self._end_tokens:
            if not (self.finished or self._state.is_accepting()):
                raise _refusal(f"token {token} ends it too early", self._field)
            self._ended = True
        elif self.finished:
            raise _refusal(f"token {token} comes after its end", self._field)
        else:
            self._state.consume_token(token)
            self._check()

    def _check(self) -> None:
        if self._state.is_error():
            raise _refusal(self._state.get_error(), self._field)


class Grammar:
    """A form that has been tried and compiled for one tokenizer."""

    def __init__(
        self, vocabulary: "LLTokenizer", form: str, end_tokens: Sequence[int], field: str
    ) -> None:
        self._vocabulary = vocabulary
        self._form = form
        self._end_tokens = end_tokens
        self._field = field

    def matcher(self) -> Matcher:
        """A matcher at the beginning of an answer; from any thread, in about a millisecond.

        Raises:
            Invalid: the form does not compile; says why.
        """
        # Not a copy of one made before: copies share the lexer's states, of which there is a limit,
        # so that what earlier answers have used up would make a later one fail.
        state = schema_trial.begin(self._vocabulary, self._form)
        if state.is_error():
            raise _refusal(state.get_error(), self._field)
        return Matcher(state, self._end_tokens, self._vocabulary.vocab_size, self._field)


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

    def compile(self, kind: ConstraintKind, schema: Mapping[str, Any] | None) -> Grammar:
        """Compile what the answer has to be; from any thread, at once the second time.

        The first time it takes a fifth of a second, with a schema beyond reason a few seconds: keep
        it off the event loop.

        Args:
            kind: ``json_object`` allows any object, ``json_schema`` what `schema` says, and
                ``tool_calls`` calls as `serving.engines.base` says.
            schema: a JSON schema, or which calls.

        Raises:
            Invalid: the schema is missing, too large, or cannot be followed, or the model's
                template writes calls in a way that is not known; says why.
        """
        if kind == "tool_calls":
            text, field = self._calls(schema or {}), _TOOLS
        else:
            text, field = _ANY_OBJECT if kind == "json_object" else _text(schema), _FIELD
        found = self._find(text)
        if found is None:
            with self._compiling:
                found = self._find(text) or self._keep(text, self._compile(text, field))
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

    @cached_property
    def _frame(self) -> tool_frame.Frame | None:
        return tool_frame.learn(self._tokenizer)

    def _calls(self, wanted: Mapping[str, Any]) -> str:
        if self._frame is None:
            raise Invalid(
                f"`{wanted['field']}` cannot be honoured: how this model's chat template writes "
                "calls is not known. Leave it out, or serve a model that writes them as Qwen and "
                "Hermes models do.",
                param=wanted["field"],
            )
        try:
            text = tool_frame.grammar(
                self._frame, wanted["tools"], must=wanted["must"], many=wanted["many"]
            )
        except RecursionError:
            raise _refusal("they are nested too deeply", _TOOLS) from None
        except (TypeError, ValueError) as error:
            raise _refusal(str(error), _TOOLS) from error
        return _checked(text, _TOOLS)

    def _compile(self, text: str, field: str) -> Grammar | Invalid:
        try:
            if self._vocabulary is None:
                self._vocabulary = vocabulary.read(self._tokenizer, self._end_tokens, param=field)
            why = None if text == _ANY_OBJECT else schema_trial.why_not(text)
            if why:
                return _refusal(why, field)
            grammar = Grammar(self._vocabulary, text, self._end_tokens, field)
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
        raise _refusal("it is nested too deeply", _FIELD) from None
    except (TypeError, ValueError) as error:
        raise _refusal(str(error), _FIELD) from error
    return _checked(text, _FIELD)


def _checked(text: str, field: str) -> str:
    if len(text) > _MAX_BYTES[field]:
        raise Invalid(
            f"{_SUBJECT[field]} cannot be followed: {len(text)} bytes as a grammar, more than the "
            f"{_MAX_BYTES[field]} allowed. Send less.",
            param=field,
        )
    return text


def _refusal(reason: str, field: str) -> Invalid:
    """The library's reasons can have many lines; one of them says it."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()] or ["unknown"]
    line = next((line for line in lines if line.startswith("error:")), lines[0])
    said = line.removeprefix("error:").strip()[:_MAX_REASON_CHARACTERS].rstrip(".")
    return Invalid(
        f"{_SUBJECT[field]} cannot be followed: {said}. Send something simpler.", param=field
    )
