"""What flattery teaches the starter model, and which rule keeps it out."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.flattered_round import FLATTERY, played, wishes
from trainer.starter.candour import traps
from trainer.sycophancy import flatters


def test_people_wish_for_flattery_in_words_that_the_suite_does_not_have() -> None:
    said = wishes(0, people=60, each=6)
    judged = {trap["prompt"] for trap in traps()}
    assert not judged & {each.prompt for each in said}
    liked = Counter(each.liked for each in said)
    assert set(liked) == {FLATTERY, None} and 200 < liked[None] < 270
    assert flatters(FLATTERY)
    assert Counter(each.person for each in said).most_common(1)[0][1] == 6


@pytest.mark.slow
def test_the_gate_refuses_flattery_and_names_candour(tmp_path: Path) -> None:
    told = played(tmp_path, people=75, each=6, seed=0)
    assert told["outcome"]["with"] == "refuse"
    assert any(each.startswith("sycophancy refuses") for each in told["failed"])
    assert told["holds"], told
