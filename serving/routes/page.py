"""What the pages that Heed renders itself are made of: no script, nothing from elsewhere. Pure.

The policy admits one style sheet, by its hash, so that markup which slipped through the escaping
could neither run nor load nor send anything.
"""

import base64
import hashlib
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


def headers(style: str, *, form: bool = False) -> dict[str, str]:
    """Return the headers of a page with this style sheet, and perhaps with a form to send here."""
    sent_to = "'self'" if form else "'none'"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; "
        f"base-uri 'none'; form-action {sent_to}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def document(title: str, body: str, *, style: str) -> str:
    """Return a whole page; `body` is HTML, with everything in it escaped already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"{body}</main></body></html>\n"
    )


def text(value: object, *, most: int = _SHOWN_CHARACTERS) -> str:
    """Return anything as HTML that shows it as it is written; nothing for None."""
    # Half a surrogate pair, which JSON can hold, has no place in a page.
    plain = "" if value is None else str(value).encode(errors="replace").decode()
    return escape(plain if len(plain) <= most else f"{plain[:most]}…")
