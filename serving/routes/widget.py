"""``GET /widget.js``, the feedback widget for other people's pages, and a page that shows it.

The files are served as they lie in `serving/widget`; nothing of what people said is in them.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

WIDGET = "heed-feedback.js"
KEPT_SECONDS = 3600
"""Pages elsewhere keep the widget so long without asking; then they ask whether it has changed."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_KINDS = {"js": "text/javascript", "css": "text/css", "html": "text/html"}


@dataclass(frozen=True)
class File:
    """A file as it is sent, as it is and packed."""

    content: bytes
    packed: bytes
    tag: str
    media_type: str


@router.get("/widget.js")
def script(request: Request) -> Response:
    """The custom element `<heed-feedback>`."""
    # Pages that isolate themselves (COEP) may only load what says that it is meant for others.
    return _send(
        request,
        WIDGET,
        {
            "Cache-Control": f"public, max-age={KEPT_SECONDS}, must-revalidate",
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )


@router.get("/widget/demo")
def demo(request: Request) -> Response:
    """A page that asks the chatbot one question and shows the widget below the answer."""
    return _send(
        request,
        "demo.html",
        {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
        },
    )


@router.get("/widget/demo.js")
def demo_script(request: Request) -> Response:
    """What that page does."""
    return _send(request, "demo.js", {"Cache-Control": "no-cache"})


@router.get("/widget/demo.css")
def demo_style(request: Request) -> Response:
    """How that page looks."""
    return _send(request, "demo.css", {"Cache-Control": "no-cache"})


@lru_cache
def file(name: str) -> File:
    """Read a file once; the same bytes always have the same tag."""
    content = (files("serving.widget") / name).read_bytes()
    return File(
        content=content,
        packed=gzip.compress(content, 9, mtime=0),
        tag=hashlib.sha256(content).hexdigest()[:32],
        media_type=_KINDS[name.rpartition(".")[2]],
    )


def _send(request: Request, name: str, headers: dict[str, str]) -> Response:
    found = file(name)
    packs = "gzip" in _accepted(request.headers.get("accept-encoding", ""))
    # Packed and not are two representations, and may not share a strong tag (RFC 9110, 8.8.3.3).
    tag = f'"{found.tag}-gzip"' if packs else f'"{found.tag}"'
    sent = {
        **headers,
        "ETag": tag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    known = {each.strip().removeprefix("W/") for each in _known(request)}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=sent)
    if packs:
        sent["Content-Encoding"] = "gzip"
    content = found.packed if packs else found.content
    return Response(content, headers=sent, media_type=found.media_type)


def _known(request: Request) -> list[str]:
    return request.headers.get("if-none-match", "").split(",")


def _accepted(header: str) -> set[str]:
    """The encodings that a request names and does not refuse with a weight of zero."""
    found = set()
    for each in header.split(","):
        name, _, weight = each.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            found.add(name.strip().lower())
    return found
