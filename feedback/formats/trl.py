"""TRL's dataset types, in and out, conversational and standard.

https://huggingface.co/docs/trl/dataset_formats: language modeling, prompt-only, prompt-completion,
preference (with and without an explicit prompt), unpaired preference, stepwise supervision.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

from feedback.formats import content, conversation
from feedback.formats.accepted import Word
from feedback.formats.records import Entry, Said, Unusable
from feedback.formats.rowwise import each
from feedback.formats.source import Source

NAME = "trl"
Kind = Literal[
    "unpaired-preference",
    "preference",
    "prompt-completion",
    "language-modeling",
    "prompt-only",
    "stepwise-supervision",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_STEPS = 50
STEP = "step {}"


def entries(sources: Iterable[Source]) -> Iterator[Entry]:
    """Read datasets, a row per line (or one array)."""
    return each(NAME, sources, read)


def read(row: Any) -> Said:
    """Read one row of any type.

    Raises:
        Unusable: it is of no type, or says nothing of any answer.
    """
    if not isinstance(row, dict):
        raise Unusable("not an object", type(row).__name__)
    if "chosen" in row and "rejected" in row:
        return _preference(row)
    if "labels" in row and "completions" in row:
        return _steps(row)
    if "completion" in row:
        return _completion(row)
    if "messages" in row:
        messages = conversation.turns(row["messages"])
        # The last answer is what such a row is kept for; the turns before are its prompt.
        taught = [index == len(messages) - 1 for index in range(len(messages))]
        conversation.split(messages)
        return content.demonstrations(messages, taught)
    if "prompt" in row:
        raise Unusable("a prompt alone: nobody answered, and nobody said anything of an answer")
    if "text" in row:
        raise Unusable("a text without turns: that is what `heed pretrain` reads")
    raise Unusable("none of TRL's dataset types", ", ".join(sorted(map(str, row)))[:120])


def write(word: Word, kind: Kind) -> Iterator[dict[str, Any]]:
    """Yield the rows of one type that accepted feedback makes, in conversational form."""
    if kind == "unpaired-preference":
        yield from _verdicts(word)
    elif kind == "preference":
        for chosen, rejected in word.pairs():
            yield {
                "prompt": word.messages,
                "chosen": _reply(chosen),
                "rejected": _reply(rejected),
            }
    elif kind == "stepwise-supervision":
        labels = [(word.survey or {}).get(STEP.format(number + 1)) for number in range(MOST_STEPS)]
        if word.steps and None not in labels[: len(word.steps)]:
            yield {
                "prompt": word.messages[-1]["content"],
                "completions": list(word.steps),
                "labels": [bool(label) for label in labels[: len(word.steps)]],
            }
    elif kind == "prompt-only":
        yield {"prompt": word.messages}
    else:
        for target in word.shown():
            if kind == "language-modeling":
                yield {"messages": [*word.messages, *_reply(target)]}
            else:
                yield {"prompt": word.messages, "completion": _reply(target)}


def _verdicts(word: Word) -> Iterator[dict[str, Any]]:
    """Every word as a verdict: a pair is a good answer and a bad one."""
    labels: dict[str, bool] = {}
    if word.rating is not None and word.rating != 0.5:
        labels[word.answer] = word.rating > 0.5
    for chosen, rejected in word.pairs():
        labels.setdefault(rejected, False)
        labels[chosen] = True
    for target in word.shown():
        labels[target] = True
    for answer, label in labels.items():
        yield {"prompt": word.messages, "completion": _reply(answer), "label": label}


def _reply(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


def _preference(row: dict[str, Any]) -> Said:
    chosen, rejected, prompt = row["chosen"], row["rejected"], row.get("prompt")
    if isinstance(chosen, str) and isinstance(rejected, str):
        if prompt is None:
            prompt, chosen, rejected = _common_text(chosen, rejected)
        messages, better, worse = conversation.turns(prompt), chosen, rejected
    else:
        ours, theirs = conversation.turns(chosen), conversation.turns(rejected)
        messages = conversation.turns(prompt) if prompt is not None else []
        if not messages:
            shared = _shared(ours, theirs)
            messages, ours, theirs = ours[:shared], ours[shared:], theirs[shared:]
        elif ours[: len(messages)] == messages == theirs[: len(messages)]:
            ours, theirs = ours[len(messages) :], theirs[len(messages) :]
        better, worse = _only(ours), _only(theirs)
    _useful(messages, better)
    _useful(messages, worse)
    if better == worse:
        raise Unusable("chosen and rejected are the same")
    return content.preference(messages, better, worse)


def _shared(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> int:
    """How many messages both begin with; the answers at least are not shared."""
    most = min(len(ours), len(theirs)) - 1
    return next((index for index in range(most) if ours[index] != theirs[index]), max(most, 0))


def _common_text(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Split two texts where they part, as TRL does: a space belongs to the answers."""
    shortest = min(len(chosen), len(rejected))
    at = next((n for n in range(shortest) if chosen[n] != rejected[n]), shortest)
    if at and chosen[at - 1] == " ":
        at -= 1
    return chosen[:at], chosen[at:], rejected[at:]


def _completion(row: dict[str, Any]) -> Said:
    messages = conversation.turns(row.get("prompt"))
    said = row["completion"]
    answer = said if isinstance(said, str) else _only(conversation.turns(said))
    _useful(messages, answer)
    if "label" not in row:
        made = content.chat(messages, answer)
        return (made,), (content.demonstration(made),)
    if row["label"] not in (True, False):
        raise Unusable("`label` should be true or false", repr(row["label"])[:40])
    return content.verdict(content.chat(messages, answer), liked=bool(row["label"]))


def _steps(row: dict[str, Any]) -> Said:
    steps, labels = row["completions"], row["labels"]
    if not isinstance(steps, list) or not isinstance(labels, list) or len(steps) != len(labels):
        raise Unusable("`completions` and `labels` should be lists of one length")
    if not all(isinstance(step, str) for step in steps) or not 0 < len(steps) <= MOST_STEPS:
        raise Unusable(f"`completions` should be 1 to {MOST_STEPS} texts")
    if not all(label in (True, False) for label in labels):
        raise Unusable("`labels` should be true or false")
    messages = conversation.turns(row.get("prompt"))
    answer = "\n".join(steps)
    _useful(messages, answer)
    made = content.chat(messages, answer, steps=tuple(steps))
    survey = {STEP.format(number): float(label) for number, label in enumerate(labels, 1)}
    return content.verdict(made, liked=all(labels), survey=survey)


def _only(messages: list[dict[str, Any]]) -> str:
    """The text of an answer that is one message."""
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise Unusable("an answer should be one message of the assistant's")
    return str(messages[0]["content"])


def _useful(messages: list[dict[str, Any]], answer: str) -> None:
    if not answer.strip():
        raise Unusable("the answer is empty")
    if not any(message["content"].strip() for message in conversation.asked(messages)):
        raise Unusable("the prompt is empty")
