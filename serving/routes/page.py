"""What the pages that Heed renders itself are made of: no script, nothing from elsewhere. Pure.

The policy admits one style sheet, by its hash, so that markup which slipped through the escaping
could neither run nor load nor send anything.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape

_SHOWN_CHARACTERS = 600

STYLE = """
:root { color-scheme: light dark; --soft: color-mix(in srgb, currentColor 65%, transparent);
  --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem }
article { border-top: 1px solid var(--line); padding: .8rem 0 }
p { margin: .3rem 0 } .soft, th { color: var(--soft); font-weight: normal }
table { border-collapse: collapse; width: 100%; margin-top: .5rem; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }
td { border-top: 1px solid var(--line) }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
"""


def headers(style: str) -> dict[str, str]:
    """Return the headers of a page with this style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def document(title: str, body: str, *, style: str, refresh_seconds: int | None = None) -> str:
    """Return a whole page; `body` is HTML, with everything in it escaped already."""
    again = f'<meta http-equiv="refresh" content="{refresh_seconds}">' if refresh_seconds else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"{body}</main></body></html>\n"
    )


def text(value: object, *, most: int = _SHOWN_CHARACTERS) -> str:
    """Return anything as HTML that shows it as it is written; nothing for None."""
    # Half a surrogate pair, which JSON can hold, has no place in a page.
    plain = "" if value is None else str(value).encode(errors="replace").decode()
    return escape(plain if len(plain) <= most else f"{plain[:most]}…")


def code(value: object) -> str:
    """Return a name as HTML."""
    return f"<code>{text(value)}</code>"


def moment(seconds: float, zone: tzinfo = UTC) -> str:
    """Return Unix seconds as a time of day in a zone, which is named where it is not UTC."""
    at = datetime.fromtimestamp(seconds, zone)
    shown = at.strftime("%a %Y-%m-%d %H:%M" if zone is UTC else "%a %Y-%m-%d %H:%M %Z")
    return f'<time datetime="{at.isoformat(timespec="seconds")}">{escape(shown)}</time>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and their values, both HTML, as a list."""
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs) + "</dl>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, label: str) -> str:
    """Return rows of HTML as a table that scrolls by itself where the page is narrow."""
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def state(name: str) -> str:
    """Return how something stands, as HTML in the colour of that."""
    return f'<b class="{text(name)}">{text(name)}</b>'


def link(kind: str, name: str) -> str:
    """Return a name as HTML that leads to what the API says of it."""
    return f'<a href="/v1/{kind}/{text(name)}">{code(name)}</a>'
