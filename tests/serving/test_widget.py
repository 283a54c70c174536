"""The widget's files as they are served: small, kept by browsers, and free of what a strict policy forbids."""

import gzip
import re
from importlib.resources import files

import pytest

from tests.serving.conftest import Server

MOST_PACKED_BYTES = 8_000
NAMES = {
    "/widget.js": ("heed-feedback.js", "text/javascript"),
    "/widget/demo": ("demo.html", "text/html"),
    "/widget/demo.js": ("demo.js", "text/javascript"),
    "/widget/demo.css": ("demo.css", "text/css"),
}


def source(name: str) -> str:
    return (files("serving.widget") / name).read_text(encoding="utf-8")


def test_the_widget_is_at_most_eight_kilobytes_packed(server: Server) -> None:
    with server.http.stream("GET", "/widget.js", headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(raw) <= MOST_PACKED_BYTES
    assert gzip.decompress(raw).decode() == source("heed-feedback.js")


@pytest.mark.parametrize("path", NAMES)
def test_a_file_is_sent_once_and_then_only_asked_after(server: Server, path: str) -> None:
    name, kind = NAMES[path]
    tags = set()
    for encoding, packed in (
        ("identity", False),
        ("br, gzip;q=0.8", True),
        ("gzip;q=0, br", False),
        ("", False),
    ):
        headers = {"accept-encoding": encoding}
        answer = server.http.get(path, headers=headers)
        assert answer.status_code == 200
        assert answer.text == source(name)
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ("content-encoding" in answer.headers) == packed
        tag = answer.headers["etag"]
        tags.add(tag)
        for known in (tag, f'"other", W/{tag}', "*"):
            again = server.http.get(path, headers={**headers, "if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
        other = server.http.get(path, headers={**headers, "if-none-match": '"other"'})
        assert other.status_code == 200
    assert len(tags) == 2, "packed and not are two representations"


def test_other_pages_may_load_and_keep_the_widget(server: Server) -> None:
    headers = server.http.get("/widget.js").headers
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert "max-age=3600" in headers["cache-control"]


def test_the_demo_pages_policy_lets_nothing_run_but_heeds_own_files(server: Server) -> None:
    answer = server.http.get("/widget/demo")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert not re.findall(
        r"<script>|<style|\sstyle=|\son\w+=|https?://(?!heed\.example)", answer.text
    )


@pytest.mark.parametrize("name", ["heed-feedback.js", "demo.js"])
def test_no_script_makes_markup_or_code_of_text(name: str) -> None:
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment"
        r"|\beval\b|new Function|setTimeout\(\s*[\"'`]|\.style\b|[\"']style[\"']|\bimport\b"
    )
    assert re.findall(forbidden, source(name)) == []
