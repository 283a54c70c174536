"""Whether a request comes from a page of Heed's own. Knows no route and no session.

A browser sends cookies along whoever asks; it tells the truth about which page asked in `Origin`,
and in `Sec-Fetch-Site`, which no script can set.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from feedback.errors import Forbidden, Unauthorized
from serving.auth import is_loopback

SAFE = ("GET", "HEAD", "OPTIONS")


def require_own_page(headers: Mapping[str, str], method: str) -> None:
    """Refuse what would change something by somebody's cookie, unless a page of ours asks for it.

    Raises:
        Forbidden: another page asks, or nothing says which.
    """
    if method not in SAFE and not is_own_page(headers):
        raise Forbidden(
            "A cookie counts only for pages of this server, and this request came from elsewhere. "
            "Programs send `Authorization: Bearer KEY`; a proxy must pass the Host header on."
        )


def is_own_page(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that a page under the very address that it calls is asking."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "same-origin"
    try:
        asking = urlsplit(origin)
    except ValueError:
        return False
    return asking.scheme in ("http", "https") and asking.netloc == headers.get("host", "").lower()


def refuse_foreign_pages(headers: Mapping[str, str]) -> None:
    """Without keys the address is all there is, and a browser on this machine has it too.

    A web page that names this machine by another host name (DNS rebinding), or that posts across
    origins without asking, must not get through on it.

    Raises:
        Unauthorized: it may be such a page.
    """
    if not is_loopback(_host_name(headers.get("host", ""))):
        raise Unauthorized("Until the first API key exists, call Heed as localhost or 127.0.0.1.")
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_origin_host(origin)):
        raise Unauthorized(
            "Until the first API key exists, only pages of this machine may call Heed. Make a key "
            "with `heed keys create --role client`."
        )


def _origin_host(header: str) -> str | None:
    try:
        return urlsplit(header).hostname
    except ValueError:
        return None


def _host_name(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
