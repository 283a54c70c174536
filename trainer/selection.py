"""Which chunks a document round learns from: relevant ones, neither known already nor garbage. Pure.

Knows no model and no database: what people ask, and how likely the model finds each chunk, comes in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from feedback import overlap
from trainer import replay, splits
from trainer.chunks import Chunk
from trainer.settings import Plan

FEWEST_PROMPTS = 20
"""With fewer questions, what people have not asked yet says nothing about what they will ask."""
FEWEST_UNITS = 20
"""What judges is held out by whole documents, or sections, where there are at least so many."""
FEWEST_JUDGES = 5
"""Held out at least, where that leaves three quarters to learn from."""
_ROWS = 256
UNITS: dict[str, Callable[[Chunk], str]] = {
    "document": lambda chunk: chunk.document,
    "section": lambda chunk: chunk.section,
    "chunk": lambda chunk: chunk.id,
}
"""What may be held out whole, the coarsest first, and what names the one that a chunk is of."""


@dataclass(frozen=True)
class Dropped:
    """Chunks that are not learned from, and why."""

    reason: str
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class Selected:
    """What a round learns from, what judges it, what tunes it, and what was dropped.

    Attributes:
        training: in a fixed order.
        held_out: chunks of documents or sections of which nothing is learned.
        unit: what was held out whole: `document`, `section` or `chunk`.
        dev: chunks of others that neither train nor judge; none where no setting wants them.
        answering: chunks that may answer what people asked: all but copies and whatever shares its
            unit with what judges or tunes. What is far from most questions may answer one.
        dropped: by reason.
        notes: what a person should know, in sentences.
    """

    training: tuple[Chunk, ...]
    held_out: tuple[Chunk, ...]
    unit: str
    dev: tuple[Chunk, ...] = ()
    answering: tuple[Chunk, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = field(default=())


def select(
    chunks: Sequence[Chunk],
    prompts: Sequence[str],
    plan: Plan,
    *,
    nats_per_token: Callable[[Sequence[Chunk]], Sequence[float]],
) -> Selected:
    """Choose chunks by relevance and perplexity, and hold some out.

    Task-specific selection picks text like what the model will be used for (DSIR, Xie et al. 2023,
    https://arxiv.org/abs/2302.03169; here the target is what people ask, and likeness is the cosine
    of TF-IDF vectors, which says something with a hundred questions already). Perplexity under the
    current model tells text that it knows by heart and text that is none (Marion et al. 2023,
    https://arxiv.org/abs/2309.04564).

    Args:
        chunks: every one, in the order of the documents.
        prompts: what people asked; with fewer than twenty, all chunks are relevant.
        plan: the shares.
        nats_per_token: mean negative log-likelihood of chunks under the current model; asked once,
            of what is left by then.
    """
    dropped: list[Dropped] = []
    notes: list[str] = []
    distinct = kept = _distinct(chunks, dropped)
    if len(prompts) < FEWEST_PROMPTS:
        notes.append(
            f"{len(prompts)} question(s) are on record and {FEWEST_PROMPTS} are needed to tell what "
            "people ask about; every chunk counts as relevant."
        )
    elif plan.document_relevant_share < 1:
        kept = _relevant(kept, prompts, plan.document_relevant_share, dropped, notes)
    if plan.document_known_share or plan.document_garbage_share:
        kept = _surprising(kept, nats_per_token(kept), plan, dropped)
    held, dev, unit = _held_out(kept, plan)
    name = UNITS[unit]
    aside = {name(chunk) for chunk in kept if chunk.id in held | dev}
    return Selected(
        training=tuple(chunk for chunk in kept if chunk.id not in held | dev),
        held_out=tuple(chunk for chunk in kept if chunk.id in held),
        unit=unit,
        dev=tuple(chunk for chunk in kept if chunk.id in dev),
        answering=tuple(chunk for chunk in distinct if name(chunk) not in aside),
        dropped=tuple(dropped),
        notes=tuple(notes),
    )


def relevance(texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
    """Return for each text the cosine with the prompt that is most like it, between 0 and 1.

    TF-IDF with sublinear term frequencies (Salton and Buckley 1988, *Term-weighting approaches in
    automatic text retrieval*).

    Args:
        texts: at least one.
        prompts: at least one.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError:  # no text holds a word
        return [0.0] * len(texts)
    asked = vectorizer.transform(prompts).T.tocsr()
    found: list[float] = []
    for start in range(0, len(texts), _ROWS):  # the product of all with all would not fit
        block = weights[start : start + _ROWS] @ asked
        found += block.max(axis=1).toarray().ravel().tolist()
    return found


def _distinct(chunks: Sequence[Chunk], dropped: list[Dropped]) -> list[Chunk]:
    # Near duplicates are looked for among so many at a time, verbatim ones among all.
    once = {chunk.text: chunk for chunk in reversed(chunks)}
    kept = [chunk for chunk in chunks if once[chunk.text] is chunk]
    again = [chunk for chunk in chunks if once[chunk.text] is not chunk]
    chunks, kept = kept, []
    for start in range(0, len(chunks), overlap.MOST_TEXTS):
        block = chunks[start : start + overlap.MOST_TEXTS]
        seen: set[int] = set()
        for chunk, group in zip(block, overlap.groups([c.text for c in block]), strict=True):
            (again if group in seen else kept).append(chunk)
            seen.add(group)
    _drop(dropped, "nearly the same as another one", again)
    return kept


def _relevant(
    chunks: list[Chunk],
    prompts: Sequence[str],
    share: float,
    dropped: list[Dropped],
    notes: list[str],
) -> list[Chunk]:
    scores = relevance([chunk.text for chunk in chunks], prompts)
    if not any(scores):
        notes.append("No piece shares a word with what people asked; every one counts as relevant.")
        return chunks
    order = sorted(range(len(chunks)), key=lambda at: (-scores[at], at))
    count = max(1, round(share * len(chunks)))
    chosen, others = set(order[:count]), order[count:]
    if others:
        bound = scores[others[0]]
        why = f"far from what people ask (likeness {bound:.2f} or less)"
        _drop(dropped, why, [chunks[at] for at in sorted(others)])
    return [chunk for at, chunk in enumerate(chunks) if at in chosen]


def _surprising(
    chunks: list[Chunk], nats: Sequence[float], plan: Plan, dropped: list[Dropped]
) -> list[Chunk]:
    order = sorted(range(len(chunks)), key=lambda at: (nats[at], at))
    known = order[: int(plan.document_known_share * len(chunks))]
    most = int(plan.document_garbage_share * len(chunks))
    garbage = order[len(order) - most :]
    if known:
        why = f"known already ({nats[known[-1]]:.2f} nats per token or less)"
        _drop(dropped, why, [chunks[at] for at in sorted(known)])
    if garbage:
        why = f"taken for garbage ({nats[garbage[0]]:.2f} nats per token or more)"
        _drop(dropped, why, [chunks[at] for at in sorted(garbage)])
    gone = {*known, *garbage}
    return [chunk for at, chunk in enumerate(chunks) if at not in gone]


def _held_out(chunks: Sequence[Chunk], plan: Plan) -> tuple[set[str], set[str], str]:
    """Ids of what judges and of what tunes, and the unit: the coarsest of which there are enough."""
    for unit, name in UNITS.items():
        groups: dict[str, list[str]] = {}
        for chunk in chunks:
            groups.setdefault(name(chunk), []).append(chunk.id)
        if len(groups) >= FEWEST_UNITS or unit == "chunk":
            break
    order = sorted(groups, key=lambda group: replay.place(f"{plan.seed}:{group}"))
    # A few groups give a bound; more than a quarter of little would leave too little to learn.
    least = min(FEWEST_JUDGES, max(1, len(order) // 4))
    count = max(least, round(plan.document_held_out_share * len(order)))
    held = order[: min(count, len(order) - 1)]
    tuning: list[str] = []
    if splits.dev_wanted(plan):
        most = len(order) // 4  # more of little would leave too little to learn
        wanted = min(max(1, round(plan.dev_share * len(order))), most)
        tuning = order[len(held) : len(held) + wanted]

    def ids(chosen: Sequence[str]) -> set[str]:
        return {name for group in chosen for name in groups[group]}

    return ids(held), ids(tuning), unit


def _drop(dropped: list[Dropped], reason: str, chunks: Sequence[Chunk]) -> None:
    if chunks:
        dropped.append(Dropped(reason, tuple(chunk.id for chunk in chunks)))
