"""People's questions with the sentence of the documents that answers them best, to be learned. Pure.

A look-up, distilled: the model learns to say what the look-up would find, where it is sure to have
found it. Knows no database and no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from feedback.words import content_words
from trainer.chunks import Chunk, sentences
from trainer.examples import Example, Message

MOST_SENTENCES = 50_000
"""Answers are looked for in so many sentences; the likeness of more takes gigabytes."""
LOOKED_AT = 10
"""Of so many sentences that are most like a question one is chosen."""
REPEATS = 2
"""An answer is shown so often in a pass: as it was asked, and otherwise where that can be said."""
_ROWS = 64


@dataclass(frozen=True)
class Asked:
    """What somebody asked, and what was answered: it helps to find a better answer."""

    text: str
    person_id: str
    answer: str = ""


def answered(
    pieces: Sequence[Chunk], questions: Sequence[Asked], *, least_likeness: float
) -> list[Example]:
    """Return a demonstration for every question that a sentence of the pieces is like enough to.

    Raw text turned into tasks that the text itself solves keeps a chat model able to say what it
    read (Cheng et al. 2023, https://arxiv.org/abs/2309.09530). Likeness is the cosine of TF-IDF
    vectors of parts of words, so that "cost" finds "costs". Of the sentences most like the question
    the one most like it and the answer of then together is taken: an answer that is out of date
    still looks like one, which a question does not (Gao et al. 2022, "Precise zero-shot dense
    retrieval without relevance labels", https://arxiv.org/abs/2212.10496). By itself it would find
    what is said of other things. A question that shares no content word with the sentence is left alone.

    Args:
        pieces: what may answer; the first `MOST_SENTENCES` sentences are looked at.
        questions: what people asked, who, for erasure, and what was answered.
        least_likeness: between 0 and 1.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    everything = ((piece, said) for piece in pieces for said in sentences(piece))
    told = list(islice(everything, MOST_SENTENCES))
    if not told or not questions:
        return []
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    try:
        weights = vectorizer.fit_transform([said for _, said in told]).T.tocsr()
    except ValueError:  # no sentence holds a word
        return []
    found: list[Example] = []
    for start in range(0, len(questions), _ROWS):
        some = questions[start : start + _ROWS]
        likeness = (vectorizer.transform([each.text for each in some]) @ weights).toarray()
        to_answer = (vectorizer.transform([each.answer for each in some]) @ weights).toarray()
        most = min(LOOKED_AT, len(told))
        first = np.sort(np.argpartition(-likeness, most - 1, axis=1)[:, :most], axis=1)
        both = np.take_along_axis(likeness + to_answer, first, axis=1)
        best = np.take_along_axis(first, both.argmax(axis=1)[:, None], axis=1).ravel().tolist()
        for asked, at, like in zip(some, best, likeness.max(axis=1).tolist(), strict=True):
            piece, said = told[at]
            if like >= least_likeness and content_words(asked.text) & content_words(said):
                found.append(_example(asked, piece, said))
    return found


def _example(asked: Asked, piece: Chunk, said: str) -> Example:
    return Example(
        kind="demonstration",
        messages=(Message(role="user", content=asked.text),),
        target=said,
        cluster=asked.person_id,
        document=piece.source,
        repeats=REPEATS,
    )
