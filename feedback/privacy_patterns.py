"""What personal data looks like: the commonest kinds, each with a check where its standard has one.

Only what can be told by its form: a name or a street cannot, and needs a model of language. Prices,
order numbers and opening hours must stay as they are. Pure; knows nothing of what becomes of it.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

Kind = Literal["EMAIL", "PHONE", "CARD", "IBAN", "IP", "SECRET"]
KINDS: tuple[Kind, ...] = ("EMAIL", "PHONE", "CARD", "IBAN", "IP", "SECRET")


class Span(NamedTuple):
    """A piece of personal data: where it starts and ends (characters), and of which kind it is."""

    start: int
    end: int
    kind: str


def find(text: str) -> list[Span]:
    """Return the personal data in a text; pieces may overlap."""
    return [
        Span(start, end, kind)
        for kind, pattern, check in _PATTERNS
        for match in pattern.finditer(text)
        for start, end in check(match)
    ]


def secrets(text: str) -> list[Span]:
    """Return what opens doors: keys, tokens, passwords that are named as such."""
    return [found for found in find(text) if found.kind == "SECRET"]


def luhn(digits: str) -> bool:
    """Whether a card number's check digit is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_holds(iban: str) -> bool:
    """Whether an IBAN without spaces has its country's length and the right check digits.

    ISO 13616-1: moved to the end, with letters as numbers, the remainder by 97 is 1.
    """
    if _IBAN_LENGTHS.get(iban[:2]) != len(iban):
        return False
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


Places = Iterator[tuple[int, int]]


def _whole(match: re.Match[str]) -> Places:
    yield match.span(match.lastgroup or 0)


def _card(match: re.Match[str]) -> Places:
    digits = re.sub(r"\D", "", match[0])
    if digits[0] in "23456" and len(set(digits)) > 1 and luhn(digits):
        yield match.span()


def _iban(match: re.Match[str]) -> Places:
    """What follows an IBAN may look like a part of it, so its country says where it ends."""
    taken = []
    for at in range(match.start(), match.end()):
        if match.string[at].isalnum():
            taken.append(match.string[at].upper())
        if len(taken) == _IBAN_LENGTHS.get("".join(taken[:2]), 0) and iban_holds("".join(taken)):
            yield match.start(), at + 1
            return


def _ip(match: re.Match[str]) -> Places:
    said = match[0].rstrip(".:")
    groups = [group for group in re.split(r"[:.]", said) if group]
    try:
        ipaddress.ip_address(said)
    except ValueError:
        return
    if len(groups) > 2:  # `::` and `a::b` are written for other reasons
        yield match.start(), match.start() + len(said)


def _phone(match: re.Match[str]) -> Places:
    # E.164: fifteen digits at most; with fewer than eight it is nobody's own number.
    if 8 <= sum(character.isdigit() for character in match[0]) <= 15:
        yield match.span()


# fmt: off
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20, "LU": 20, "LV": 21,
    "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}
# fmt: on
# No pattern can start in the middle of a word, nor repeat a group that repeats itself without an
# end: each reads a hostile text of 64 kB in milliseconds.
_PATTERNS: tuple[tuple[Kind, re.Pattern[str], Callable[[re.Match[str]], Places]], ...] = (
    (
        "SECRET",
        re.compile(
            r"(?<![\w-])(?:(?:sk|pk|rk)[-_](?:[a-z]{2,8}[-_])?[A-Za-z0-9_-]{20,200}"
            r"|(?:gh[opsur]|github_pat|glpat|hf|npm|heed|xox[abprs])[-_][A-Za-z0-9_-]{20,200}"
            r"|A(?:KIA|SIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}"
            r"|eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,4000})(?![\w-])"
        ),
        _whole,
    ),
    (
        "SECRET",
        re.compile(
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
            r"[A-Za-z0-9+/=\s]{0,9000}(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
        ),
        _whole,
    ),
    (
        "SECRET",
        re.compile(
            r"\b(?:api[ _-]?key|access[ _-]?token|auth[ _-]?token|client[ _-]?secret|secret"
            r"|password|passwd|bearer)(?:\s{0,3}[:=]\s{0,3}|\s)[\"']?"
            r"(?P<value>(?=[^\s\"']{0,80}\d)[^\s\"',;]{8,400})",
            re.IGNORECASE,
        ),
        _whole,
    ),
    (
        "EMAIL",
        re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])"),
        _whole,
    ),
    (
        "IBAN",
        re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.IGNORECASE),
        _iban,
    ),
    (
        "CARD",
        re.compile(
            r"(?<![\d.,])(?:\d{4}(?P<gap>[ -])\d{4}(?P=gap)\d{4}(?P=gap)\d{4}(?:(?P=gap)\d{3})?"
            r"|\d{4}[ -]\d{6}[ -]\d{5}|\d{13,19})(?!\d)"
        ),
        _card,
    ),
    ("IP", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)"), _ip),
    ("IP", re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}:[0-9A-Fa-f:.]{1,20}(?![\w:])"), _ip),
    (
        "PHONE",
        re.compile(
            # With its country, or as it is written in North America, France, Britain or Germany.
            r"(?<![\w+.])(?<!\d[ .-])(?:"
            r"(?:\+|00(?=[1-9]\d{0,2}[ ./-]))[1-9]\d{0,3}(?:[ ./-]{0,2}\(?\d{1,5}\)?){1,6}"
            r"|(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[.-]\d{4}"
            r"|0\d(?:[ .]\d\d){4}"
            r"|0\d{2,4} \d{3,4} \d{3,4}"
            r"|0\d{2,4}[ /]\d{5,9})(?![\w-]|[.,]\d)"
        ),
        _phone,
    ),
)
