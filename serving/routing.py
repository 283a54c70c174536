"""Which adapter answers whom. Pure: knows no engine and no database.

The canary's people are chosen by a hash of person and canary, so that each person stays with one
version while a canary runs, and the next canary meets other people.
"""

import hashlib
from dataclasses import dataclass

from serving.engines.base import BASE

MODEL = "heed"
"""The model name that means: whatever is live for me."""


@dataclass(frozen=True)
class Route:
    """The deployment that this replica serves now."""

    generation: int = 0
    live: str = BASE
    canary: str | None = None
    canary_share: float = 0.0

    def adapter_for(self, person_id: str) -> str:
        """Return the adapter that answers this person."""
        if self.canary is not None and _share(person_id, self.canary) < self.canary_share:
            return self.canary
        return self.live


class Router:
    """Holds the route; requests read it once, at admission, so a flip never reaches into one."""

    def __init__(self) -> None:
        self.route = Route()

    def flip(self, route: Route) -> None:
        """Make another route the one that new requests take."""
        self.route = route


def _share(person_id: str, canary: str) -> float:
    digest = hashlib.sha256(f"{canary}:{person_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
