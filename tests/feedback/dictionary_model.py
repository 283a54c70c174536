"""What becomes of feedback, over a dictionary: the rules, without a database."""

from dataclasses import dataclass, field
from typing import Any

from feedback.intake import Told
from feedback.models import Status
from feedback.receipts import REPLACED

PEOPLE = ("ana", "ben")
SAYS: dict[str, dict[str, Any]] = {
    "up": {"rating": "up"},
    "down": {"rating": "down"},
    "middling": {"rating": 3, "scale": 5},
    "correction": {"correction": "It costs 59."},
    "down, corrected": {"rating": "down", "correction": "It costs 69."},
    "comment": {"comment": "Hm."},
    "down, with a comment": {"rating": "down", "comment": "No."},
    "copy": {"signal": "copy"},
    "survey": {"survey": {"clear?": "no"}},
    "survey, with a comment": {"survey": {"clear?": "yes"}, "comment": "Fine."},
}
VOTES = ("rating", "correction")


def arrives(says: dict[str, Any]) -> Status:
    """Where it goes first."""
    return "review" if "correction" in says or set(says) == {"comment"} else "waiting"


@dataclass
class Said:
    """One piece of feedback, as the model knows it."""

    told: Told
    who: str
    about: int
    at: float
    says: dict[str, Any]
    status: Status
    held: bool = False
    names_round: bool = False
    role: str | None = None
    edited: bool = False

    @property
    def counted(self) -> list[str]:
        """What a later word of the same person has to say again to replace this one."""
        return [kind for kind in VOTES if kind in self.says] or list(self.says)

    @property
    def order(self) -> tuple[float, str]:
        return self.at, str(self.told.submission.event_id)


@dataclass
class Model:
    """The rules, over a dictionary."""

    said: dict[str, Said] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    """Exchanges of who was forgotten."""
    round_open: bool = False

    def replaced(self, name: str) -> bool:
        """Whether the same person said all of it again later, and did not take that back."""
        this = self.said[name]
        return all(
            any(
                kind in other.says and other.order > this.order
                for other in self.said.values()
                if (other.who, other.about) == (this.who, this.about)
                and other.status not in ("withdrawn", "forgotten")
            )
            for kind in this.counted
        )

    def claim(self) -> set[str]:
        """What a round takes in."""
        taken = set()
        for name, this in self.said.items():
            teaches = this.says.get("rating") in ("up", "down") or "correction" in this.says
            if this.status != "waiting" or this.held or not (teaches or this.edited):
                continue
            if self.replaced(name):
                this.status, this.role = "refused", REPLACED
            else:
                taken.add(name)
        for name in taken:
            self.said[name].held = self.said[name].names_round = True
        return taken

    def withdraw(self, name: str) -> None:
        this = self.said[name]
        this.status, this.role = "withdrawn", None
        for other_name, other in self.said.items():
            same = (other.who, other.about) == (this.who, this.about)
            replaced = (other.status, other.role) == ("refused", REPLACED)
            if same and replaced and not self.replaced(other_name):
                other.status, other.role = "waiting", None

    def forget(self, who: str, exchanges: set[int]) -> None:
        self.gone |= exchanges
        for this in self.said.values():
            if this.who == who or this.about in exchanges:
                this.names_round &= this.status not in ("waiting", "review")
                this.status, this.held, this.who = "forgotten", False, "forgotten"
