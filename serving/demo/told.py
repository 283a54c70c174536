"""What the demo tells: the scores of each step, and all of them as one document."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Scores:
    """What one step did to the answers; shares between 0 and 1."""

    changed_before: float
    changed_after: float
    unchanged_before: float
    unchanged_after: float
    polite_before: float
    polite_after: float
    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    promoted: bool = False
    adapter: str | None = None


@dataclass
class Told:
    """The whole demo, as `--json` prints it."""

    data_dir: str
    seed: int
    rounds: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, Any] | None = None
    rollback: dict[str, Any] | None = None
    probes: list[dict[str, str]] = field(default_factory=list)
    seconds_total: float = 0.0

    @property
    def improved(self) -> bool:
        """Whether every round was promoted and taught something, and the bad batch was refused."""
        return (
            bool(self.rounds)
            and all(
                each["promoted"]
                and each["changed_after"] > each["changed_before"]
                and not each["failed"]
                for each in self.rounds
            )
            and self.refused is not None
            and not self.refused["promoted"]
            and not self.refused["failed"]
        )
