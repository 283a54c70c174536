"""Typing errors as people make them, in a question whose answer stays right. Pure and seeded.

Knows no example and no model. Errors of the kinds that typists make most: a neighbouring key, a
letter left out, two letters in the wrong order. Training on them makes a model read them (Belinkov
and Bisk 2018, "Synthetic and natural noise both break neural machine translation").
"""

import random
import re
from collections.abc import Collection
from functools import lru_cache

ERRORS_PER_WORD = 0.15
SHORTEST = 4
"""Shorter words carry the grammar, and one error makes another word of them."""
_ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))
# What is no word of a language: links, addresses, placeholders, code.
_OPAQUE = re.compile(r"://|www\.|[@<>{}`$#/\\_=]|\w\.\w")
_WORD = re.compile(r"[^\W\d_]+")


def with_errors(text: str, *, protected: Collection[str], rng: random.Random) -> str:
    """The text with at least one typing error, or as it is where nothing in it may be touched.

    Never touched: numbers, links, addresses, names (capitals within a sentence), and the protected
    words. A word keeps its first letter, as typists do, and has one error at most.

    Args:
        text: what somebody asked.
        protected: words that stay as they are, casefolded.
        rng: decides where, and which error.
    """
    parts = re.split(r"(\s+)", text)
    open_to = [at for at, part in enumerate(parts) if _may_err(part, parts[:at], protected)]
    if not open_to:
        return text
    wanted = max(1, round(ERRORS_PER_WORD * sum(bool(part.strip()) for part in parts)))
    for at in rng.sample(open_to, min(wanted, len(open_to))):
        parts[at] = _WORD.sub(lambda found: _erred(found.group(), rng), parts[at], count=1)
    return "".join(parts)


def _may_err(part: str, before: list[str], protected: Collection[str]) -> bool:
    found = _WORD.findall(part)
    if len(found) != 1 or len(found[0]) < SHORTEST:
        return False  # blanks, contractions, hyphenated names
    word = found[0]
    starts = not "".join(before).strip() or "".join(before).rstrip().endswith((".", "!", "?", ":"))
    named = word[1:] != word[1:].lower() or (word[0].isupper() and not starts)
    known = word.casefold() in protected
    return not (named or known or any(c.isdigit() for c in part) or _OPAQUE.search(part))


def _erred(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word))
    kinds = ["dropped"]
    if neighbours := _neighbours().get(word[at]):
        kinds.append("neighbour")
    if swappable := [i for i in range(1, len(word) - 1) if word[i] != word[i + 1]]:
        kinds.append("swapped")
    kind = rng.choice(kinds)
    if kind == "neighbour":
        return word[:at] + rng.choice(neighbours or word[at]) + word[at + 1 :]
    if kind == "swapped":
        at = rng.choice(swappable)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :]


@lru_cache(maxsize=1)
def _neighbours() -> dict[str, str]:
    """The letters around each letter on a keyboard of the common layout."""
    places = {
        letter: (column + shift, row)
        for row, (letters, shift) in enumerate(_ROWS)
        for column, letter in enumerate(letters)
    }
    return {
        one: "".join(
            other
            for other, (x, y) in places.items()
            if other != one and abs(x - left) <= 1 and abs(y - top) <= 1
        )
        for one, (left, top) in places.items()
    }
