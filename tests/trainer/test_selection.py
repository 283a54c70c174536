"""Which chunks a document round learns from, which judge it, and which are dropped and why."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.builders import plan
from trainer import selection
from trainer.chunks import Chunk

ASKED = [f"what does the lamp cost today {n}" for n in range(20)]


def chunk(number: int, text: str | None = None, *, document: str = "book", part: int = 0) -> Chunk:
    said = text or f"Number {number} stands for item {number * 7919 % 104729} of list {number}."
    return Chunk(f"{document}#{part}.{number}", document, "ab", f"{document}#{part}", said, 10)


def chosen(
    chunks: Sequence[Chunk],
    prompts: Sequence[str] = (),
    nats: Sequence[float] = (),
    **fields: object,
) -> selection.Selected:
    """With selection by perplexity off unless nats are given."""
    off = {"document_known_share": 0.0, "document_garbage_share": 0.0}
    values = {each.id: value for each, value in zip(chunks, nats, strict=False)}
    return selection.select(
        chunks,
        prompts,
        plan(**{**off, **fields}),
        nats_per_token=lambda some: [values[each.id] for each in some],
    )


def ids(chunks: Sequence[Chunk]) -> set[str]:
    return {each.id for each in chunks}


def test_with_few_questions_every_chunk_is_relevant_and_that_is_said() -> None:
    chunks = [chunk(n) for n in range(8)]
    found = chosen(chunks, ASKED[:19], document_relevant_share=0.5)
    assert ids(found.training) | ids(found.held_out) == ids(chunks)
    assert "19 question(s) are on record and 20 are needed" in found.notes[0]


def test_what_is_far_from_what_people_ask_is_dropped() -> None:
    near = [chunk(n, f"The lamp number {n} costs {n * 31} dollars today.") for n in range(10)]
    far = [chunk(n, f"Board minutes {n * 17}: item {n * 13} was moved.") for n in range(10, 20)]
    mixed = [each for pair in zip(far, near, strict=True) for each in pair]
    found = chosen(mixed, ASKED, document_relevant_share=0.5)
    assert ids(found.training) | ids(found.held_out) == ids(near)
    [dropped] = found.dropped
    assert "far from what people ask" in dropped.reason
    assert set(dropped.chunks) == ids(far)
    assert not found.notes
    kept = chosen(mixed, ASKED, document_relevant_share=1.0)
    assert ids(kept.training) | ids(kept.held_out) == ids(mixed)


def test_where_no_question_shares_a_word_nothing_is_dropped_for_it() -> None:
    chunks = [chunk(n) for n in range(10)]
    found = chosen(chunks, ["zzz"] * 20, document_relevant_share=0.5)
    assert not found.dropped
    assert "No piece shares a word" in found.notes[0]


def test_relevance_is_the_likeness_to_the_nearest_question() -> None:
    texts = ["the lamp costs 4", "boards met late", "..."]
    near, far, nothing = selection.relevance(texts, ["who met", "what does the lamp cost"])
    assert near > far > 0 == nothing
    assert selection.relevance(["...", "!"], ASKED) == [0.0, 0.0]


def test_what_is_known_and_what_is_garbage_is_dropped_with_the_bounds() -> None:
    chunks = [chunk(n) for n in range(20)]
    nats = [5.0] * 16 + [0.1, 0.2, 9.0, 9.5]
    found = chosen(chunks, nats=nats, document_known_share=0.1, document_garbage_share=0.1)
    reasons = {each.reason: set(each.chunks) for each in found.dropped}
    assert reasons == {
        "known already (0.20 nats per token or less)": ids(chunks[16:18]),
        "taken for garbage (9.00 nats per token or more)": ids(chunks[18:]),
    }


def test_a_small_library_loses_nothing_to_quantiles() -> None:
    chunks = [chunk(n) for n in range(15)]
    found = chosen(chunks, nats=range(15), document_known_share=0.05, document_garbage_share=0.05)
    assert not found.dropped


def test_near_duplicates_count_once_and_never_judge_what_they_repeat() -> None:
    text = "The lamp costs forty dollars and has a warranty of two years from the day of sale."
    chunks = [*(chunk(n) for n in range(10)), *(chunk(n, text) for n in range(10, 30))]
    found = chosen(chunks)
    [dropped] = found.dropped
    assert dropped.reason == "nearly the same as another one"
    assert set(dropped.chunks) == ids(chunks[11:])


@pytest.mark.parametrize(
    ("documents", "parts", "unit"), [(24, 1, "document"), (3, 8, "section"), (1, 1, "chunk")]
)
def test_whole_documents_or_sections_are_held_out_where_there_are_enough(
    documents: int, parts: int, unit: str
) -> None:
    chunks = [
        chunk(1000 * at + 10 * part + n, document=f"book{at}", part=part)
        for at in range(documents)
        for part in range(parts)
        for n in range(6)
    ]
    found = chosen(chunks, document_held_out_share=0.25)
    assert found.unit == unit
    assert ids(found.training) | ids(found.held_out) == ids(chunks)
    assert found.held_out
    name = {"document": "document", "section": "section", "chunk": "id"}[unit]
    judges = {getattr(each, name) for each in found.held_out}
    assert judges.isdisjoint(getattr(each, name) for each in found.training)
    assert chosen(chunks, document_held_out_share=0.25) == found


def test_something_is_left_to_learn_from_and_little_text_still_judges() -> None:
    assert not chosen([chunk(1)]).held_out
    assert len(chosen([chunk(n) for n in range(4)]).held_out) == 1
    assert len(chosen([chunk(n) for n in range(21)], document_held_out_share=0.01).held_out) == 5
    assert chosen([]).training == ()


def test_others_than_those_that_judge_tune_where_a_setting_wants_them() -> None:
    chunks = [chunk(n, document=f"book{n // 2}") for n in range(48)]
    found = chosen(chunks, keep_best=True, dev_share=0.1)
    parts = [ids(found.training), ids(found.held_out), ids(found.dev)]
    assert set.union(*parts) == ids(chunks) and sum(map(len, parts)) == len(chunks)
    assert len({each.document for each in found.dev}) == 2
    assert {each.document for each in found.dev}.isdisjoint(e.document for e in found.training)
    assert found.held_out == chosen(chunks).held_out
    assert not chosen(chunks).dev


def test_what_is_not_trained_on_may_answer_a_question_but_what_judges_may_not() -> None:
    chunks = [chunk(n, document=f"book{n // 2}") for n in range(48)]
    found = chosen(
        [*chunks, replace(chunks[0], id="again")],
        nats=range(48),
        document_known_share=0.1,
        keep_best=True,
        dev_share=0.1,
    )
    assert found.unit == "document" and found.held_out and found.dev
    aside = {each.document for each in (*found.held_out, *found.dev)}
    assert ids(found.answering) == ids([each for each in chunks if each.document not in aside])
    assert ids(found.answering) > ids(found.training)


def test_of_little_text_at_most_a_quarter_tunes() -> None:
    def sizes(count: int) -> tuple[int, int, int]:
        found = chosen([chunk(n) for n in range(count)], step_share="search", dev_share=0.9)
        return len(found.training), len(found.held_out), len(found.dev)

    assert [sizes(count) for count in (1, 3, 4, 8)] == [(1, 0, 0), (2, 1, 0), (2, 1, 1), (4, 2, 2)]
