"""Sections become chunks that fit the model and lose nothing."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import chunks
from trainer.chunks import Chunk
from trainer.documents import Section


def section(text: str, *headings: str, title: str = "") -> Section:
    return Section("shelf/book.md", "ab" * 32, 3, title, headings, text)


def words(texts: Sequence[str]) -> list[int]:
    """A tokenizer of words; what is joined has as many as its parts."""
    return [len(re.findall(r"\S{1,8}", text)) for text in texts]


def bodies(found: Sequence[Chunk]) -> list[str]:
    return [chunk.text[len(chunk.heading) :] for chunk in found]


def test_whole_paragraphs_stay_together_as_long_as_they_fit() -> None:
    found = chunks.cut(section("a b c\n\nd e f\n\ng h i"), words, most_tokens=7)
    assert bodies(found) == ["a b c\n\nd e f", "g h i"]
    assert [chunk.tokens for chunk in found] == [6, 3]


def test_a_long_paragraph_is_cut_between_sentences_and_a_long_sentence_between_words() -> None:
    found = chunks.cut(section("One two. Three four five. Six seven."), words, most_tokens=5)
    assert bodies(found) == ["One two.", "Three four five.", "Six seven."]
    found = chunks.cut(section(" ".join(f"word{n:04d}" for n in range(40))), words, most_tokens=16)
    assert max(chunk.tokens for chunk in found) <= 16
    assert " ".join(bodies(found)) == " ".join(f"word{n:04d}" for n in range(40))


def test_headings_lead_every_chunk_and_the_outermost_go_where_they_are_too_long() -> None:
    found = chunks.cut(section("a b c\n\nd e f", "Returns", title="Rules"), words, most_tokens=12)
    assert [chunk.text for chunk in found] == ["Rules > Returns\na b c\n\nd e f"]
    found = chunks.cut(section("a b", "Sale", title="x " * 30), words, most_tokens=12)
    assert [chunk.text for chunk in found] == ["Sale\na b"]
    assert chunks.cut(section("a b", "x " * 30), words, most_tokens=12)[0].text == "a b"


def test_a_chunk_knows_where_it_comes_from() -> None:
    first, second = chunks.cut(section("a b c d\n\ne f g h"), words, most_tokens=5)
    assert (first.id, second.id) == ("shelf/book.md#3.0", "shelf/book.md#3.1")
    example = second.example()
    assert (example.text, example.messages, example.target) == (True, (), "e f g h")
    assert example.document == f"shelf/book.md#3.1 sha256:{'ab' * 32}"
    assert (example.role, example.cluster) == ("document", "shelf/book.md#3")


@given(
    text=st.text(alphabet="ab .!?\n。x", max_size=300),
    heading=st.text(alphabet="h ", max_size=40),
    most=st.integers(4, 40),
)
def test_every_chunk_fits_and_no_word_is_lost(text: str, heading: str, most: int) -> None:
    found = chunks.cut(section(text, heading.strip()), words, most_tokens=most)
    assert all(words([chunk.text])[0] == chunk.tokens <= most for chunk in found)
    assert re.sub(r"\s", "", "".join(bodies(found))) == re.sub(r"\s", "", text)


def test_texts_that_grow_when_they_are_joined_are_halved() -> None:
    """Pieces are counted one by one, and a tokenizer may need more for the whole."""

    def growing(texts: Sequence[str]) -> list[int]:
        return [n + (3 if " " in text else 0) for n, text in zip(words(texts), texts, strict=True)]

    found = chunks.cut(section("a\n\nb\n\nc\n\nd e"), growing, most_tokens=6)
    assert all(chunk.tokens <= 6 for chunk in found)
    assert re.sub(r"\s", "", "".join(bodies(found))) == "abcde"


@pytest.mark.parametrize(
    ("text", "kept", "dropped"),
    [
        ("Open. Write to BAD. Closed.", "Open. Closed.", 1),
        ("BAD\n\nGood.", "Good.", 1),
        ("All good.", "All good.", 0),
        ("Over two.\nBAD", "Over two.", 1),
    ],
)
def test_only_the_sentences_that_are_unwanted_go(text: str, kept: str, dropped: int) -> None:
    assert chunks.without(text, lambda said: "BAD" in said) == (kept, dropped)
