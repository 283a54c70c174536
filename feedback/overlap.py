"""Texts that share most of their words and pairs of words, found without comparing all with all.

Pure: knows no database, no person and no trust.

A join by prefix (Chaudhuri, Ganti and Kaushik 2006, *A primitive operator for similarity joins in data
cleaning*; Bayardo, Ma and Srikant 2007, *Scaling up all pairs similarity search*): of two texts alike
even some of the rarest words and pairs are the same, so only texts that share such are compared,
and then exactly. Sketches with locality-sensitive hashing would compare every two answers that a chatbot
makes after one pattern ("The lamp costs 49 dollars."), which are half alike; here what the pattern
repeats is not rare.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING

from feedback.words import runs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]

ALIKE = 0.8
"""Texts whose words and pairs of words overlap this much (Jaccard) say the same."""
ENOUGH_WORDS = 64
"""Of a text with more words only what falls into a fixed half of all there is (or a quarter …) says
whether it is compared, and then …"""
ALIKE_SAMPLED = 0.7
"""… this much of it has to be the same: a sample is not quite like the whole."""
FEW = 16
"""So few texts are quicker compared each with each than put in order."""
MOST_MET = 1_000
"""So many texts that share a rare pair are counted, and …"""
MOST_COMPARED = 20
"""… so many of them, which share the most, compared: what bounds the time that a flood can take."""
_TEXT_BITS, _RARE_BITS, _CODE_BITS = 20, 10, 34
MOST_TEXTS = 1 << _TEXT_BITS


def groups(texts: Sequence[str]) -> list[int]:
    """Return, per text, the number of its group; near duplicates share one.

    The first text of a group leads it, and others are compared with the leaders alone: ten thousand
    variants of one sentence cost ten thousand comparisons, not their square.

    Args:
        texts: at most `MOST_TEXTS`, in a fixed order.

    Raises:
        ValueError: there are more.
    """
    if len(texts) > MOST_TEXTS:
        raise ValueError(f"{len(texts):,} texts are more than the {MOST_TEXTS:,} that fit.")
    if not texts:
        return []
    position = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    leader_of = _among_few(list(position)) if len(position) <= FEW else _among_many(position)
    numbers: dict[int, int] = {}
    number = [numbers.setdefault(leader, len(numbers)) for leader in leader_of]
    return [number[position[text]] for text in texts]


def _among_few(texts: Sequence[str]) -> list[int]:
    """Per text, the first that it is like, each compared with all that lead."""
    found = [runs(text) or [text] for text in texts]
    names = [frozenset(each) for each in found]
    sets: dict[int, frozenset[object]] = {}
    leaders: list[int] = []
    leader_of = []
    for at, words in enumerate(found):
        for leader in leaders:
            # A text has at most twice as many words and pairs as words, and these alone must not
            # be more than what may differ: most pairs are told apart by this, without the rest.
            most = 2 * (len(words) + len(found[leader])) * (1 - ALIKE) / (1 + ALIKE)
            if len(names[at] ^ names[leader]) > most:
                continue
            for each in (at, leader):
                if each not in sets:
                    sets[each] = _shingled(found[each])
            if alike(sets[at], sets[leader]):
                leader_of.append(leader)
                break
        else:
            leaders.append(at)
            leader_of.append(at)
    return leader_of


def alike(one: frozenset[object], other: frozenset[object], *, share: float = ALIKE) -> bool:
    """Whether of all that either holds this much is the same (Jaccard)."""
    shared = len(one & other)
    return shared >= share * (len(one) + len(other) - shared)


def _shingled(words: Sequence[object]) -> frozenset[object]:
    """The words and pairs of words of a text."""
    return frozenset(chain(words, pairwise(words)))


def _among_many(position: dict[str, int]) -> list[int]:
    """Per text, the first of those that it is like; only what shares something rare is compared."""
    bags = _Bags(position)
    leaders: dict[int, list[int]] = defaultdict(list)
    leader_of = list(range(len(position)))
    for at, clues in bags.clues():
        met = Counter(islice(chain.from_iterable(leaders[clue] for clue in clues), MOST_MET))
        near = (
            each
            for each, shared in met.most_common(MOST_COMPARED)
            if shared >= min(bags.fewest[at], bags.fewest[each])
        )
        leader_of[at] = min((each for each in near if bags.alike(at, each)), default=at)
        if leader_of[at] == at:
            for clue in clues:
                leaders[clue].append(at)
    return leader_of


class _Bags:
    """Each text as the set of its words and pairs of words.

    Attributes:
        fewest: per text, how many clues it shares at least with any that is alike.
    """

    def __init__(self, texts: Sequence[str] | dict[str, int]) -> None:
        import numpy as np

        known = _Known()
        self._words: list[int] = []
        lengths: list[int] = []
        different: list[int] = []
        for text in texts:
            # A text without a word, such as one emoji, is like itself alone.
            found = runs(text) or [text]
            self._words += map(known.__getitem__, found)
            lengths.append(len(found))
            # Of a short text it makes no difference how many are the same.
            short = len(found) <= ENOUGH_WORDS
            different.append(len(found) if short else len(set(found)))
        self._ends = np.cumsum(lengths).tolist()
        self._lengths = lengths
        self._sets: dict[int, frozenset[object]] = {}
        halvings = np.ceil(np.log2(np.maximum(np.array(different) / ENOUGH_WORDS, 1)))
        self._sampled = (np.uint64(1) << halvings.astype(np.uint64)) - np.uint64(1)
        self._text, self._code = self._shingles(_codes(len(known)))
        self._size = np.bincount(self._text, minlength=len(lengths))
        # One would do; with a few more, long texts that share one by chance are not compared.
        self._fewest = 1 + self._size // 16
        self.fewest: list[int] = self._fewest.tolist()

    def clues(self) -> "Iterator[tuple[int, list[int]]]":
        """Yield, in order, each text that another may be like, with the rarer things that both have."""
        import numpy as np

        # Whoever is alike shares this much of a text: all but so many, wherever these stand.
        least = np.where(self._sampled > 0, ALIKE_SAMPLED, ALIKE) * self._size - 1e-9
        spare = self._size - np.ceil(least).astype(np.int64) + self._fewest
        first = np.cumsum(self._size) - self._size
        rarer = np.arange(len(self._text)) - first[self._text] < spare[self._text]
        text, code = self._text[rarer], self._code[rarer]
        ordered = np.sort(code)
        shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(shared):
            return
        nearest = shared[np.minimum(np.searchsorted(shared, code), len(shared) - 1)]
        text, code = text[nearest == code], code[nearest == code]
        met, starts = np.unique(text, return_index=True)
        ends = np.append(starts[1:], len(text)).tolist()
        codes = code.tolist()
        for at, start, end in zip(met.tolist(), starts.tolist(), ends, strict=True):
            yield at, codes[start:end]

    def alike(self, one: int, other: int) -> bool:
        """Whether two texts overlap enough."""
        return alike(self._set(one), self._set(other))

    def _shingles(self, codes: "NDArray[np.uint64]") -> "tuple[Whole, Whole]":
        """The words and pairs that are looked at: of which text, and a code; the rarest first."""
        import numpy as np

        text = np.repeat(np.arange(len(self._lengths), dtype=np.uint64), self._lengths)
        word = codes[np.array(self._words)]
        within = text[1:] == text[:-1]
        pair = word[:-1] * np.uint64(0x9E3779B97F4A7C15) + word[1:]  # any odd number; it wraps
        # What is not looked at is left out before anything is put together: it may be half of it all.
        sampled = np.repeat(self._sampled, self._lengths)
        word_kept = (word & sampled) == 0
        pair_kept = within & ((pair & sampled[1:]) == 0)
        text = np.append(text[word_kept], text[1:][pair_kept])
        code = np.append(word[word_kept], pair[pair_kept])
        # How often each comes, roughly: any order that is the same for all texts would be right.
        bucket = (code >> np.uint64(64 - _TEXT_BITS)).astype(np.int64)
        often = np.minimum(np.bincount(bucket)[bucket], (1 << _RARE_BITS) - 1).astype(np.uint64)
        code = often << np.uint64(_CODE_BITS) | (code >> np.uint64(64 - _CODE_BITS))
        below = np.uint64(_RARE_BITS + _CODE_BITS)
        rows = np.sort(text << below | code)
        rows = rows[np.append(True, rows[1:] != rows[:-1])]
        mask = np.uint64((1 << (_RARE_BITS + _CODE_BITS)) - 1)
        return (rows >> below).astype(np.int64), (rows & mask).astype(np.int64)

    def _set(self, at: int) -> frozenset[object]:
        if at not in self._sets:
            words = self._words[self._ends[at] - self._lengths[at] : self._ends[at]]
            self._sets[at] = _shingled(words)
        return self._sets[at]


class _Known(dict[str, int]):
    """Words by number, in the order in which they come first."""

    def __missing__(self, word: str) -> int:
        self[word] = len(self)
        return len(self) - 1


def _codes(number: int) -> "NDArray[np.uint64]":
    """So many codes that look drawn by lot, always the same (Steele, Lea and Flood 2014, SplitMix64)."""
    import numpy as np

    code = np.arange(1, number + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    code = (code ^ code >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    code = (code ^ code >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return code ^ code >> np.uint64(31)
