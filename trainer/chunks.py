"""Sections become chunks that fit the model, cut between paragraphs, else sentences, else words. Pure.

Knows no model: whoever calls says how many tokens a text has.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from trainer.documents import Section
from trainer.examples import Example

Count = Callable[[Sequence[str]], list[int]]
"""Tokens of each text."""
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])")
_HEADING_SHARE = 0.25
"""Headings take at most this share of a chunk; where they are longer, the outermost go."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a section as the model reads it, its headings first.

    Attributes:
        id: names the chunk: document, section and its place in it.
        document: as the section names it.
        sha256: of the document.
        section: document and section, which chunks of one section share.
        text: headings and text.
        tokens: of the text, by the model's tokenizer.
        heading: what of the text is headings.
    """

    id: str
    document: str
    sha256: str
    section: str
    text: str
    tokens: int
    heading: str = ""

    @property
    def source(self) -> str:
        """Where it comes from, with the document's hash."""
        return f"{self.id} sha256:{self.sha256}"

    def example(self) -> Example:
        """As what the learner is given: every token of it is to be predicted."""
        return Example(
            kind="demonstration",
            messages=(),
            target=self.text,
            cluster=self.section,
            text=True,
            document=self.source,
        )


def cut(section: Section, count: Count, *, most_tokens: int) -> list[Chunk]:
    """Cut a section into chunks of at most so many tokens.

    Args:
        section: what to cut.
        count: the tokenizer.
        most_tokens: headings included.
    """
    heading = _heading(section, count, int(most_tokens * _HEADING_SHARE))
    room = most_tokens - (count([heading])[0] if heading else 0)
    texts = [heading + body for body in _bodies(section.text, count, room)]
    name = f"{section.document}#{section.number}"
    return [
        Chunk(f"{name}.{at}", section.document, section.sha256, name, text, tokens, heading)
        for at, (text, tokens) in enumerate(_fitting(texts, heading, count, most_tokens))
    ]


def sentences(chunk: Chunk) -> list[str]:
    """Return the sentences of a chunk, its headings left out."""
    body = chunk.text[len(chunk.heading) :]
    return [said.strip() for said in _SENTENCE.split(body) if said and said.strip()]


def without(section_text: str, unwanted: Callable[[str], bool]) -> tuple[str, int]:
    """Return a text without the sentences that are unwanted, and how many those were."""
    dropped = 0
    paragraphs = []
    for paragraph in section_text.split("\n\n"):
        if not unwanted(paragraph):
            paragraphs.append(paragraph)
            continue
        sentences = _SENTENCE.split(paragraph)
        kept = [each for each in sentences if not unwanted(each)]
        dropped += len(sentences) - len(kept)
        if kept and not unwanted(" ".join(kept)):
            paragraphs.append(" ".join(kept))
    return "\n\n".join(paragraphs), dropped


def _heading(section: Section, count: Count, most_tokens: int) -> str:
    path = list(dict.fromkeys(filter(None, (section.title, *section.headings))))
    while path:
        heading = f"{' > '.join(path)}\n"
        if count([heading])[0] <= most_tokens:
            return heading
        path = path[1:]
    return ""


def _bodies(text: str, count: Count, room: int) -> Iterator[str]:
    """Texts of at most about `room` tokens: as many whole paragraphs as fit, or parts of one."""
    held: list[str] = []
    used = 0
    for joint, piece, tokens in _pieces(text, count, room):
        if held and used + tokens > room:
            yield "".join(held)
            held, used = [], 0
        held.append(joint + piece if held else piece)
        used += tokens + 1  # what joins two pieces may be a token
    if held:
        yield "".join(held)


def _pieces(text: str, count: Count, room: int) -> Iterator[tuple[str, str, int]]:
    """The largest whole pieces that fit, each with what joins it to the one before."""
    paragraphs = [each for each in text.split("\n\n") if each.strip()]
    for paragraph, tokens in zip(paragraphs, count(paragraphs), strict=True):
        if tokens <= room:
            yield "\n\n", paragraph, tokens
            continue
        sentences = [each for each in _SENTENCE.split(paragraph) if each and each.strip()]
        joint = "\n\n"
        for sentence, size in zip(sentences, count(sentences), strict=True):
            parts = [sentence] if size <= room else _runs(sentence, size, room)
            sizes = [size] if size <= room else count(parts)
            for part, each in zip(parts, sizes, strict=True):
                yield joint, part, each
                joint = " "


def _runs(sentence: str, tokens: int, room: int) -> list[str]:
    """A sentence that is too long, in runs of words; one without spaces in runs of characters."""
    step = max(1, len(sentence) * room // (tokens + room // 4))
    runs: list[str] = []
    at = 0
    while at < len(sentence):
        end = min(len(sentence), at + step)
        space = sentence.rfind(" ", at + 1, end)
        if end < len(sentence) and space > at:
            end = space
        runs.append(sentence[at:end].strip())
        at = end
    return [run for run in runs if run]


def _fitting(
    texts: list[str], heading: str, count: Count, most_tokens: int
) -> Iterator[tuple[str, int]]:
    """The texts with their tokens; one that is still too long is halved, headings repeated.

    Pieces were counted one by one, and joined they may have a few tokens more.
    """
    for text, tokens in zip(texts, count(texts), strict=True):
        body = text[len(heading) :]
        if tokens <= most_tokens or len(body) < 2:
            if tokens <= most_tokens:
                yield text, tokens
            continue
        middle = body.rfind(" ", 1, len(body) // 2 + 1)
        middle = middle if middle > 0 else len(body) // 2
        halves = [heading + half for half in (body[:middle].rstrip(), body[middle:].lstrip())]
        yield from _fitting([each for each in halves if each], heading, count, most_tokens)
