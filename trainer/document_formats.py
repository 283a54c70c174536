"""How a text, Markdown, HTML or PDF file becomes titled parts. Knows one open file at a time.

The libraries of the extra ``documents`` are imported when a file needs them.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INSTALL = "needs {}, which comes with `pip install 'heed[documents]'`"
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = [
    *("address", "article", "blockquote", "body", "br", "dd", "details", "div", "dl", "dt"),
    *("fieldset", "figcaption", "figure", "hr", "li", "main", "ol", "p", "pre", "section"),
    *("summary", "table", "tr", "ul", *_HEADINGS),
]
_NO_TEXT = [
    *("aside", "button", "canvas", "footer", "form", "iframe", "nav", "noscript", "script"),
    *("select", "style", "svg", "template"),
]
_MARK = "\x00"
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n(?:---|\.\.\.)\n", re.DOTALL)
_TITLE = re.compile(r"^title:\s*[\"']?(.+?)[\"']?\s*$", re.MULTILINE)
_RUNNING_PAGES = 4


class Unreadable(Exception):
    """Why a document cannot be read; completes a sentence that begins with its name."""


@dataclass(frozen=True)
class Part:
    """A piece of a document: its title, the headings above it, and its text."""

    title: str
    headings: tuple[str, ...]
    text: str


def text(path: Path) -> Iterator[Part]:
    """A text file is one part.

    Raises:
        Unreadable: it is no text in UTF-8.
    """
    yield Part("", (), _decoded(path))


def markdown(path: Path) -> Iterator[Part]:
    """A Markdown file has a part per heading; front matter gives the title and is not text.

    Raises:
        Unreadable: it is no text in UTF-8.
    """
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise Unreadable(_INSTALL.format("markdown-it-py")) from error
    content = _decoded(path).replace("\r\n", "\n")
    title = ""
    if matter := _FRONT_MATTER.match(content):
        named = _TITLE.search(matter[1])
        title, content = named[1] if named else "", content[matter.end() :]
    lines = content.split("\n")
    tokens = MarkdownIt().parse(content)
    above: list[tuple[int, str]] = []
    start = 0
    for at, token in enumerate(tokens):
        if token.type != "heading_open" or token.level or token.map is None:
            continue
        first, end = token.map
        yield Part(title, _path(above), "\n".join(lines[start:first]))
        level, start = int(token.tag[1:]), end
        above = [*(each for each in above if each[0] < level), (level, tokens[at + 1].content)]
        title = title or tokens[at + 1].content
    yield Part(title, _path(above), "\n".join(lines[start:]))


def html(path: Path) -> Iterator[Part]:
    """An HTML page has a part per heading; menus, scripts and forms are no text.

    Raises:
        Unreadable: it is no HTML, or the library is missing.
    """
    try:
        from bs4 import BeautifulSoup
        from bs4.exceptions import ParserRejectedMarkup
    except ImportError as error:
        raise Unreadable(_INSTALL.format("beautifulsoup4")) from error
    content = path.read_bytes()
    if b"\x00" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("is binary, not HTML")
    try:
        page = BeautifulSoup(content, "html.parser")
    except (ParserRejectedMarkup, AssertionError) as error:
        raise Unreadable(f"is no HTML that can be parsed ({error})") from error
    title = " ".join(page.title.get_text().split()) if page.title else ""
    for element in page.find_all(_NO_TEXT):
        element.decompose()
    root = page.find("main") or page.find("article") or page.body or page
    above: list[tuple[int, str]] = []
    told: list[str] = []
    for line in _lines(root):
        if not line.startswith(_MARK):
            told.append(line)
            continue
        yield Part(title, _path(above), "\n".join(told))
        level, heading, told = int(line[1]), line[2:], []
        above = [*(each for each in above if each[0] < level), (level, heading)]
    yield Part(title, _path(above), "\n".join(told))


def pdf(path: Path) -> Iterator[Part]:
    """A PDF has a part per page; lines that run along the pages' edges are left out.

    Raises:
        Unreadable: it is encrypted, damaged or has no text, or the library is missing.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as error:
        raise Unreadable(_INSTALL.format("pypdf")) from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what is wrong is told once, below
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("is encrypted; save it without a password")
        title = str((reader.metadata and reader.metadata.title) or "")
        pages = [page.extract_text() for page in reader.pages]
    except PyPdfError as error:
        raise Unreadable(f"is no PDF that can be read ({error})") from error
    except OSError:
        raise
    except Exception as error:
        # A damaged file fails wherever its first broken object is used, as a KeyError or worse.
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"is damaged ({type(error).__name__}: {error})") from error
    if not any(page.strip() for page in pages):
        raise Unreadable("holds no text; it may be scanned pages")
    paged = [[line for line in page.split("\n") if line.strip()] for page in pages]
    running = _running(paged)
    for lines in paged:
        start = sum(_bare(line) in running for line in lines[:1])
        end = len(lines) - sum(_bare(line) in running for line in lines[start:][-1:])
        yield Part(title, (), _joined(lines[start:end]))


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise Unreadable("starts like UTF-16 and is not; save it as UTF-8") from error
    if b"\x00" in content:
        raise Unreadable("is binary, not text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from error


def _path(above: list[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(heading for _, heading in above)


def _lines(root: Any) -> list[str]:
    """The text of an element, a line per block and an empty one between; headings are marked."""
    kept = {id(each) for pre in root.find_all("pre") for each in pre.find_all(string=True)}
    for string in list(root.find_all(string=True)):
        if type(string).__name__ in ("Comment", "Doctype", "Declaration", "ProcessingInstruction"):
            string.extract()
        elif id(string) not in kept:
            string.replace_with(re.sub(r"\s+", " ", string.replace(_MARK, "")))
    for element in root.find_all(_BLOCKS):
        line = element.name in ("li", "tr", "br", "dt")
        if element.name in _HEADINGS:
            heading = " ".join(element.get_text().split())
            element.string = f"{_MARK}{element.name[1]}{heading}" if heading else ""
        if not line:
            element.insert_before("\n\n")
        if element.name == "li":
            element.insert(0, "- ")
        element.append("\n" if line else "\n\n")
    for cell in root.find_all(["td", "th"]):
        cell.append(" | " if cell.find_next_sibling(["td", "th"]) else "")
    return [line.strip() for line in root.get_text().split("\n")]


def _running(pages: list[list[str]]) -> set[str]:
    """Lines, numbers aside, that begin or end more than half of the pages."""
    if len(pages) < _RUNNING_PAGES:
        return set()
    edges: Counter[str] = Counter()
    for lines in pages:
        edges.update({_bare(line) for line in (*lines[:1], *lines[-1:])})
    return {line for line, count in edges.items() if 2 * count > len(pages)}


def _bare(line: str) -> str:
    return re.sub(r"\d+", "#", " ".join(line.split()))


def _joined(lines: list[str]) -> str:
    """Lines as paragraphs: one that ends in the middle of a sentence goes on in the next."""
    told = ""
    for line in (each.strip() for each in lines):
        if re.search(r"[a-zà-ÿ]-$", told):
            told = told[:-1] + line  # a word that was divided
        elif not told:
            told = line
        else:
            told += ("\n\n" if re.search(r"[.!?:]$", told) and line[:1].isupper() else " ") + line
    return told
