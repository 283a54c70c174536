"""Reading documents: what can be read is, and what cannot is named and loses nothing."""

import builtins
import json
import os
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Invalid
from trainer import documents
from trainer.documents import Section, Unread


def read(
    *paths: Path, file_mb: float = 1, total_mb: float = 10
) -> tuple[list[Section], list[Unread]]:
    found = list(documents.gather(paths, file_mb=file_mb, total_mb=total_mb))
    return (
        [each for each in found if isinstance(each, Section)],
        [each for each in found if isinstance(each, Unread)],
    )


def shelf(tmp_path: Path, **files: str | bytes) -> Path:
    """A folder with these files; two underscores in a name stand for a dot."""
    folder = tmp_path / "shelf"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def pdf(*pages: str, password: str | None = None, title: str | None = None) -> bytes:
    """A PDF of so many pages, written by hand: pypdf makes no text."""
    import io

    from pypdf import PdfReader, PdfWriter

    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    for page in pages:
        lines = "".join(f"({line}) Tj 0 -14 Td " for line in page.split("\n"))
        stream = f"BT /F1 12 Tf 72 700 Td {lines}ET"
        kids.append(len(objects) + 1)
        objects += (
            (
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources {font} "
                f"/Contents {len(objects) + 2} 0 R >>"
            ),
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        )
    named = " ".join(f"{kid} 0 R" for kid in kids)
    objects[1] = f"<< /Type /Pages /Kids [{named}] /Count {len(kids)} >>"
    made, places = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(made))
        made += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    made += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer << /Size {size} /Root 1 0 R >>\n"
    made += f"startxref\n{made.index('xref')}\n%%EOF\n"
    if password is None and title is None:
        return made.encode()
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(made.encode())))
    if title is not None:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_markdown_is_cut_at_its_headings_and_keeps_the_path_to_each(tmp_path: Path) -> None:
    text = (
        "---\ntitle: Shop rules\nauthor: me\n---\nBefore.\n\n# Returns\n\nWithin 30 days.\n\n"
        "```\n# no heading\n```\n\nSale items\n----------\n\nStay sold.\n\n# Delivery\n\nTwo days.\n"
    )
    sections, unread = read(shelf(tmp_path, rules__md=text))
    assert not unread
    assert [(each.headings, each.text) for each in sections] == [
        ((), "Before."),
        (("Returns",), "Within 30 days.\n\n```\n# no heading\n```"),
        (("Returns", "Sale items"), "Stay sold."),
        (("Delivery",), "Two days."),
    ]
    assert {each.title for each in sections} == {"Shop rules"}
    assert [each.number for each in sections] == [0, 1, 2, 3]
    assert len({each.sha256 for each in sections}) == 1


def test_a_page_gives_its_text_without_menus_scripts_and_comments(tmp_path: Path) -> None:
    page = (
        "<html><head><title>Our  shop</title><style>p{}</style></head><body><nav>Home</nav>"
        "<h1>Returns</h1><p>Lamps go\n back <b>within</b> 30&nbsp;days.</p><!-- secret -->"
        "<script>var x = 1</script><h2>Sale</h2><ul><li>Stays sold.</li><li>Bring a box.</li></ul>"
        "<table><tr><th>Item</th><th>Fee</th></tr><tr><td>Lamp</td><td>4</td></tr></table>"
        "<pre>a  b\n  c</pre><footer>Imprint</footer></body></html>"
    )
    sections, unread = read(shelf(tmp_path, page__html=page))
    assert not unread
    returns, sale = sections
    assert (returns.title, returns.headings) == ("Our shop", ("Returns",))
    assert returns.text == "Lamps go back within 30 days."
    assert sale.headings == ("Returns", "Sale")
    for said in ("- Stays sold.\n- Bring a box.", "Item | Fee", "Lamp | 4", "a  b"):
        assert said in sale.text, sale.text
    everything = returns.text + sale.text
    assert not any(word in everything for word in ("Home", "secret", "var x", "Imprint", "p{}"))


def test_a_page_nested_without_end_is_read(tmp_path: Path) -> None:
    deep = "<div>" * 3000 + "<p>Here.</p>"
    sections, unread = read(shelf(tmp_path, deep__htm=deep))
    assert ([each.text for each in sections], unread) == (["Here."], [])


def test_pdf_pages_lose_what_runs_along_their_edges_and_divided_words(tmp_path: Path) -> None:
    pages = [
        f"The handbook\nLamp {n} can be re-\nturned for\nmoney.\nPage {n}" for n in range(1, 6)
    ]
    sections, unread = read(shelf(tmp_path, book__pdf=pdf(*pages, title="Lamps")))
    assert not unread
    assert [each.text for each in sections] == [
        f"Lamp {n} can be returned for money." for n in range(1, 6)
    ]
    assert sections[0].title == "Lamps"


def test_rows_are_read_one_by_one_and_faulty_ones_named_by_line(tmp_path: Path) -> None:
    rows = [
        json.dumps({"text": "Lamps shine.", "title": "Lamps"}),
        "no json",
        json.dumps({"body": "x"}),
        "",
        json.dumps({"text": "  "}),
        json.dumps({"text": "x" * 3000}),
        json.dumps({"text": "Desks stand."}),
    ]
    folder = shelf(tmp_path, faq__jsonl="\n".join(rows))
    sections, unread = read(folder, file_mb=0.002)
    assert [(each.title, each.text) for each in sections] == [
        ("Lamps", "Lamps shine."),
        ("", "Desks stand."),
    ]
    place = folder / "faq.jsonl"
    assert [(each.path, each.reason) for each in unread] == [
        (f"{place}:2", "is no JSON in UTF-8"),
        (f"{place}:3", "has no `text`"),
        (f"{place}:5", "has an empty `text`"),
        (f"{place}:6", "is longer than 0.002 MB"),
    ]
    assert sections[1].document == f"{place}:7"
    assert {each.file for each in sections} == {str(place)}


def test_bad_files_are_named_one_by_one_and_the_others_are_read(tmp_path: Path) -> None:
    folder = shelf(
        tmp_path,
        good__txt="Open till nine.",
        latin__txt="Größe".encode("latin-1"),
        binary__txt=b"MZ\x00\x01",
        empty__md=" \n\n ",
        locked__pdf=pdf("Hidden.", password="pw"),
        torn__pdf=pdf("Whole.")[:150],
        scanned__pdf=pdf(""),
        huge__html="<p>" + "x" * 2_000_000,
        wide__txt="Early.".encode("utf-16"),
        noise__md=b"\x00\x00",
    )
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".hidden.txt").write_text("Hidden.")
    sections, unread = read(folder, tmp_path / "nowhere")
    assert {each.text for each in sections} == {"Open till nine.", "Early."}
    reasons = {Path(each.path).name: each.reason for each in unread}
    assert reasons.keys() == {
        "latin.txt", "binary.txt", "empty.md", "locked.pdf", "torn.pdf", "scanned.pdf",
        "huge.html", "noise.md", "shelf", "nowhere",
    }  # fmt: skip
    assert reasons["latin.txt"] == "is not UTF-8 (byte 3); save it as UTF-8"
    assert "binary" in reasons["binary.txt"]
    assert reasons["empty.md"] == "holds no text"
    assert "encrypted" in reasons["locked.pdf"]
    assert "scanned" in reasons["scanned.pdf"]
    assert "2.0 MB large, and 1 are allowed" in reasons["huge.html"]
    assert "1 file(s) .png" in reasons["shelf"]
    assert reasons["nowhere"] == "does not exist"


def test_no_link_leads_out_of_a_folder_and_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("Secret.")
    folder = shelf(tmp_path, open__txt="Open.")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "loop").symlink_to(folder)
    sections, _ = read(folder, folder / "open.txt")
    assert [each.text for each in sections] == ["Open."]


def test_a_folder_without_documents_says_so(tmp_path: Path) -> None:
    sections, unread = read(shelf(tmp_path))
    assert not sections
    assert ["holds no document" in each.reason for each in unread] == [True]


def test_reading_ends_where_the_rounds_text_is_full(tmp_path: Path) -> None:
    folder = shelf(tmp_path, a__txt="a" * 600, b__txt="b" * 600, c__txt="c" * 600)
    sections, unread = read(folder, total_mb=0.001)
    assert [each.text[0] for each in sections] == ["a", "b"]
    assert [Path(each.path).name for each in unread] == ["c.txt"]
    assert "full" in unread[0].reason


def test_characters_that_no_model_should_read_are_cleaned_away() -> None:
    assert documents.clean("a\x00b\x1b[0m\r\nc\ud800d  \n\n\n\ne\u0301\n") == "ab[0m\ncd\n\né"


def test_frozen_documents_are_named_by_what_they_hold(tmp_path: Path) -> None:
    sections, _ = read(shelf(tmp_path, a__txt="Lamps.", b__md="# Desks\n\nWood."))
    folder = tmp_path / "frozen"
    sha256 = documents.freeze(folder, iter(sections))
    assert documents.freeze(folder, iter(sections)) == sha256
    assert [path.name for path in folder.iterdir()] == [f"{sha256}.jsonl"]
    assert documents.thaw(folder, sha256) == sections
    with documents.frozen(folder, sha256).open("a") as file:
        file.write("\n")
    with pytest.raises(Invalid, match="changed after they were read"):
        documents.thaw(folder, sha256)


def test_nothing_is_left_of_a_freeze_that_ends_early(tmp_path: Path) -> None:
    folder = tmp_path / "frozen"
    with pytest.raises(Invalid, match="None of what was named could be read"):
        documents.freeze(folder, iter(()))

    def torn() -> Any:
        yield Section("a", "0", 0, "", (), "text")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        documents.freeze(folder, torn())
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("name", "library"), [("a.html", "bs4"), ("a.pdf", "pypdf")])
def test_without_the_extra_a_file_that_needs_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str
) -> None:
    original = builtins.__import__

    def importing(module: str, *rest: Any, **named: Any) -> Any:
        if module.partition(".")[0] == library:
            raise ImportError(module)
        return original(module, *rest, **named)

    (tmp_path / name).write_bytes(pdf("Text.") if name.endswith("pdf") else b"<p>Text.")
    monkeypatch.setattr(builtins, "__import__", importing)
    _, unread = read(tmp_path / name)
    assert "pip install 'heed[documents]'" in unread[0].reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_opened_is_named(tmp_path: Path) -> None:
    folder = shelf(tmp_path, a__txt="Lamps.")
    (folder / "a.txt").chmod(0)
    _, unread = read(folder)
    assert "cannot be read" in unread[0].reason
