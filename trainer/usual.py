"""What was usual: how long answers were, and what people asked about. Pure; keeps no text.

What people asked is known as a direction in the space of hashed words, as in the vector space model
(Salton and Buckley 1988; hashing as in Weinberger et al. 2009): the mean of the normalised vectors,
which is the kernel mean embedding of the prompts under their cosine (Smola et al. 2007). A prompt far
from it is unusual. So new subjects, and another language, are seen, and that a rare subject became a
frequent one; not a shift between two subjects that were equally frequent.
"""

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from feedback.words import content_words, words

BUCKETS = 4_096
UNUSUAL_SHARE = 0.1
"""Of what was usual, so much is called unusual: whatever is as far off as the furthest tenth."""
NOTHING_SHARED = 1e-9
"""Where more than a tenth shared no word with any other, only that is unusual."""
MOST_CHARACTERS = 2_000
"""Of a prompt; what it is about stands in there."""


@dataclass(frozen=True)
class Usual:
    """What was usual at a time.

    Attributes:
        prompts: how many it was learned from.
        length: the median length of an answer, in characters.
        known: in how many prompts a bucket of words stood, by its number.
        direction: the mean of the prompts' vectors, by bucket.
        near: what is less like it than this is unusual.
    """

    prompts: int
    length: float
    known: Mapping[str, int]
    direction: Mapping[str, float]
    near: float

    def longer(self, length: int) -> float:
        """Return 1 for an answer longer than the median, 0 for a shorter one, ½ for one as long."""
        if length == self.length:
            return 0.5
        return float(length > self.length)

    def unusual(self, prompt: str) -> float:
        """Return 1 for a prompt unlike what people asked, else 0."""
        return float(self._likeness(_buckets(prompt)) < self.near)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; some tens of kilobytes."""
        return asdict(self)

    def _likeness(self, buckets: frozenset[str]) -> float:
        vector = _vector(buckets, self.known, self.prompts)
        return sum(weight * self.direction.get(each, 0.0) for each, weight in vector.items())


def learn(prompts: Sequence[str], lengths: Sequence[int]) -> Usual:
    """Return what was usual where these prompts were answered at these lengths.

    Raises:
        ValueError: there are none.
    """
    if not prompts or not lengths:
        raise ValueError("Nothing is usual where nothing was asked.")
    told = [_buckets(prompt) for prompt in prompts]
    known = Counter(bucket for buckets in told for bucket in buckets)
    direction: dict[str, float] = {}
    for buckets in told:
        for bucket, weight in _vector(buckets, known, len(told)).items():
            direction[bucket] = direction.get(bucket, 0.0) + weight / len(told)
    plain = Usual(len(told), float(median(lengths)), dict(known), direction, 0.0)
    # Less what each prompt has put into the direction itself: the next one has not.
    likeness = sorted(plain._likeness(buckets) - 1.0 / len(told) for buckets in told)
    near = max(likeness[int(UNUSUAL_SHARE * len(likeness))], NOTHING_SHARED)
    return replace(plain, near=near)


def _buckets(prompt: str) -> frozenset[str]:
    """The prompt's words without their order; where only the commonest stand, those."""
    text = prompt[:MOST_CHARACTERS]
    said = content_words(text) or frozenset(words(text))
    # Python's own hash differs from process to process. As text, since JSON's keys are.
    return frozenset(str(zlib.crc32(word.encode()) % BUCKETS) for word in said)


def _vector(buckets: frozenset[str], known: Mapping[str, int], prompts: int) -> dict[str, float]:
    """A prompt's vector of length 1: the rarer a word was, the more it counts."""
    weights = {each: math.log((prompts + 1) / (known.get(each, 0) + 0.5)) for each in buckets}
    length = math.sqrt(sum(weight * weight for weight in weights.values()))
    return {each: weight / length for each, weight in weights.items()} if length else {}
