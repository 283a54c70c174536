"""Other ways to put the same question, by patterns that move or add words and never change one. Pure.

Patterns are for English; a question in another language only loses its capitals and its question
mark. Knows no example, no model and no network.
"""

import random
import re

from feedback.words import content_words, words

# Words that other languages do not have. Two of them, and a question is taken for English.
_ENGLISH = frozenset(
    words(
        "the what how does did is are can could who where when which why of my your you and it to "
        "do i for with there this that much many"
    )
)
_BEFORE = (
    "Hello! {q}",
    "Hi there, {q_low}",
    "Please tell me: {q_low}",
    "Could you tell me this, please? {q}",
    "I have a question. {q}",
    "Quick question: {q_low}",
    "One more thing: {q_low}",
    "I would like to know: {q_low}",
    "Sorry to bother you. {q}",
)
_AFTER = ("{q} Thanks!", "{q} Thank you.", "{q} Please tell me.", "{q} I am not sure.")
_CLAUSE = re.compile(
    r"^(?P<main>\w[^,;:?.!]{6,}?) (?P<clause>(?:if|when|while|before|after|because|unless) "
    r"[^,;:?.!]{4,})\?$",
    re.IGNORECASE,
)
_FIRST = re.compile(
    r"^(?P<clause>(?:if|when|while|before|after|because|unless|in|on|at|for|during) [^,;:?.!]{3,}), "
    r"(?P<main>(?:what|who|where|how|which|why|can|could|do|does|is|are|will|may)\b[^,;:?.!]+)\?$",
    re.IGNORECASE,
)
_IS = re.compile(
    r"^(?P<asked>what|who|where) (?P<verb>is|are|was|were) "
    r"(?P<thing>(?:the|a|an|my|your|our|this|that)\b[^,;:?.!]+)\?$",
    re.IGNORECASE,
)
_MOST_INDIRECT_WORDS = 7
_SHORT_FORMS = {
    "what is ": "what's ",
    "where is ": "where's ",
    "who is ": "who's ",
    "how is ": "how's ",
}
_ADDED = frozenset(
    word
    for pattern in (*_BEFORE, *_AFTER, *_SHORT_FORMS.values(), "Do you know")
    for word in words(pattern.replace("{q_low}", "").replace("{q}", ""))
)
_STARTS = frozenset(
    words("if when while before after because unless in on at for during will may was were")
)


def paraphrases(question: str, *, count: int, rng: random.Random) -> list[str]:
    """Return up to so many other ways to put a question; fewer where there are no more.

    Every content word of the question is in each of them, unchanged, and no other comes in but
    those of manners.

    Args:
        question: as somebody asked it.
        count: so many at most.
        rng: decides which.
    """
    asked = question.strip()
    if not asked:
        return []
    found = [*_rewritten(asked), asked.rstrip("?.! "), _lowered(asked).rstrip("?.! ")]
    if asked[1:] == asked[1:].lower():  # else there are names
        found.append(asked.lower())
    if is_english(asked):
        slots = {"q": asked, "q_low": _lowered(asked)}
        found += [pattern.format(**slots) for pattern in (*_BEFORE, *_AFTER)]
    different = [text for text in dict.fromkeys(found) if text and text != asked]
    kept = [text for text in different if says_the_same(asked, text)]
    return rng.sample(kept, min(count, len(kept)))


def is_english(text: str) -> bool:
    """Whether a text has two of the words that only English has."""
    return len(_ENGLISH.intersection(words(text))) >= 2


def says_the_same(question: str, other: str) -> bool:
    """Whether all content words stay, and nothing but manners is added."""
    ours, theirs = content_words(question), content_words(other)
    return ours <= theirs and theirs - ours <= _ADDED


def _rewritten(asked: str) -> list[str]:
    """The parts of the question in another order."""
    if not is_english(asked):
        return []
    made = []
    if found := _CLAUSE.match(asked):
        made.append(f"{_raised(found['clause'])}, {_lowered(found['main'])}?")
    if found := _FIRST.match(asked):
        made.append(f"{_raised(found['main'])} {_lowered(found['clause'])}?")
    if (found := _IS.match(asked)) and len(words(asked)) <= _MOST_INDIRECT_WORDS:
        indirect = f"{found['asked'].lower()} {found['thing']} {found['verb'].lower()}"
        made += [f"Tell me {indirect}.", f"Do you know {indirect}?"]
    for long, short in _SHORT_FORMS.items():
        if asked.lower().startswith(long):
            made.append(_raised(short) + asked[len(long) :])
    return made


def _lowered(text: str) -> str:
    """With a small first letter, unless the first word is a name, a shorthand or "I"."""
    first = text.split(maxsplit=1)[0]
    small = first.casefold().strip(",") in _ENGLISH - {"i"} or first.casefold() in _STARTS
    return text[0].lower() + text[1:] if small else text


def _raised(text: str) -> str:
    return text[0].upper() + text[1:]
