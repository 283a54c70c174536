"""How much of the way is gone: the smallest share that does nearly as well, and how that is scored."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.builders import plan
from trainer import dev
from trainer.examples import Example, Message
from trainer.settings import Plan
from trainer.step_search import SHARES, search, smallest, untuned


def adapter(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text("all of the way")
    return folder


def along(folder: Path, share: float) -> None:
    (folder / "adapter_model.safetensors").write_text(f"{share:g} of the way")


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ({0.5: 70.0, 0.6: 79.4, 0.7: 79.5, 0.8: 80.0, 0.9: 79.0, 1.0: 78.0}, 0.7),
        ({0.5: 50.0, 1.0: 51.0}, 1.0),
        ({0.5: 0.0, 1.0: 0.0}, 0.5),
        ({0.5: 80.0, 0.8: 60.0, 1.0: 80.2}, 0.5),
    ],
)
def test_the_smallest_within_half_a_point_of_the_best(
    points: dict[float, float], expected: float
) -> None:
    assert smallest(points) == expected


def test_the_chosen_one_takes_the_place_of_the_new_one_and_nothing_else_is_left(
    tmp_path: Path,
) -> None:
    new = adapter(tmp_path / "work" / "rnd_1")
    stale = adapter(tmp_path / "work" / "rnd_1-at-0.6")
    seen = []

    def score(folder: Path, share: float) -> float:
        seen.append((folder / "adapter_model.safetensors").read_text())
        return 50 + 10 * min(share, 0.7)

    found = search(new, interpolate=along, score=score)
    assert seen == [f"{share:g} of the way" for share in SHARES]
    assert found.share == 0.7
    assert (new / "adapter_model.safetensors").read_text() == "0.7 of the way"
    assert (new / "adapter_config.json").read_text() == "all of the way"
    assert [path.name for path in new.parent.iterdir()] == ["rnd_1"]
    assert not stale.exists()
    assert "0.7 of the way" in found.note and "0.5: 55.0" in found.note


def test_an_error_leaves_no_candidates_behind(tmp_path: Path) -> None:
    new = adapter(tmp_path / "rnd_1")

    def score(folder: Path, share: float) -> float:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        search(new, interpolate=along, score=score)
    assert [path.name for path in tmp_path.iterdir()] == ["rnd_1"]
    assert (new / "adapter_model.safetensors").read_text() == "all of the way"


class Model:
    """Says `answer` to everything, and finds an answer likelier under some adapters."""

    def __init__(self, answer: str, likes: dict[tuple[str | None, str], float]) -> None:
        self._answer, self._likes = answer, likes

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
        guesses: Sequence[str | None] | None = None,
    ) -> list[str]:
        return [self._answer for _ in conversations]

    def log_likelihood(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, adapter: str | None
    ) -> list[float]:
        return [self._likes.get((adapter, answer), -5.0) for _, answer in rows]

    def foretold(self, texts: Sequence[str], *, adapter: str | None) -> list[float]:
        return [{"Every word.": 1.0, "Half of it.": 0.5}[text] for text in texts]

    def fits(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, max_new_tokens: int = 1
    ) -> list[bool]:
        return [answer != "Endless." for _, answer in rows]


def points(model: Model, *examples: Example) -> float:
    return dev.points(model, examples, adapter="at-50", before=None, max_new_tokens=9)


ASKED = (Message(role="user", content="Why?"),)


def test_each_kind_of_dev_is_right_in_its_own_way() -> None:
    model = Model("Yes.", {("at-50", "Good."): -1.0, ("at-50", "Bad."): -2.0, (None, "Bad."): -1.0})
    right = [
        Example("demonstration", ASKED, "yes"),
        Example("preference", ASKED, "Good.", rejected="Bad."),
        Example("verdict", ASKED, "Good.", liked=True),
        Example("verdict", ASKED, "Bad.", liked=False),
    ]
    wrong = [
        Example("demonstration", ASKED, "No."),
        Example("preference", ASKED, "Bad.", rejected="Good."),
        Example("verdict", ASKED, "Bad.", liked=True),
        Example("verdict", ASKED, "Good.", liked=False),
    ]
    assert [points(model, each) for each in right] == [100.0] * 4
    assert [points(model, each) for each in wrong] == [0.0] * 4
    assert points(model, *right, *wrong[:1]) == 80.0


def test_a_piece_of_a_document_is_right_as_far_as_it_is_foretold() -> None:
    pieces = [Example("demonstration", (), t, text=True) for t in ("Every word.", "Half of it.")]
    assert points(Model("Yes.", {}), *pieces) == 75.0
    assert points(Model("Yes.", {}), *pieces, Example("demonstration", ASKED, "No.")) == 50.0


def test_where_no_share_is_searched_the_usual_one_is_gone() -> None:
    assert untuned("search") == Plan().step_share
    assert untuned(0.3) == 0.3


def test_what_does_not_fit_and_what_did_not_change_count_for_nobody() -> None:
    model = Model("Yes.", {})
    endless = Example("preference", ASKED, "Yes.", rejected="Endless.")
    unchanged = Example("verdict", ASKED, "Hm.", liked=True)
    assert points(model, Example("demonstration", ASKED, "Yes."), endless, unchanged) == 100.0
    assert points(model, endless) == 0.0


@pytest.mark.parametrize("share", [0.0, -1, 1.5, "nan", "some", None])
def test_a_share_that_leads_nowhere_is_refused_in_one_sentence(share: object) -> None:
    with pytest.raises(ValidationError, match="above 0 and up to 1, or `search`") as caught:
        plan(step_share=share)
    assert caught.value.error_count() == 1


def test_a_share_is_a_number_or_a_search() -> None:
    assert [plan(step_share=each).step_share for each in (0.5, 1, "0.7", "search")] == [
        0.5,
        1.0,
        0.7,
        "search",
    ]
