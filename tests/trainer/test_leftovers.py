"""What a round that has ended left on the disk is cleared away, and nothing else is."""

from pathlib import Path

from feedback.store import Store
from tests import builders
from trainer import checkpoints, leftovers

PARTS = ("", ".checkpoints", ".task", "-at-0.6")


def made(data_dir: Path, name: str) -> set[str]:
    """All that a round may have below `work/`."""
    for part in PARTS:
        folder = data_dir / "work" / f"{name}{part}"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"half made")
    return {f"{name}{part}" for part in PARTS}


def names(data_dir: Path) -> set[str]:
    return {each.name for each in (data_dir / "work").iterdir()}


def test_a_round_that_has_ended_leaves_nothing(store: Store) -> None:
    data_dir = store.settings.data_dir
    over, going = builders.ended_round(store), builders.opened_round(store)
    made(data_dir, over.id)
    kept = made(data_dir, going.id)
    for row in (over, going):
        leftovers.clear(store, row.id)
    leftovers.clear(store, "rnd_none")
    assert names(data_dir) == kept


def test_a_round_that_begins_clears_what_others_left(tmp_path: Path) -> None:
    made(tmp_path, "rnd_one")
    kept = made(tmp_path, "rnd_two")
    (tmp_path / "work" / "search").mkdir()
    leftovers.clear_others(tmp_path, "rnd_two")
    assert names(tmp_path) == {*kept, "search"}


def test_what_is_half_made_goes_and_the_checkpoints_stay(tmp_path: Path) -> None:
    made(tmp_path, "rnd_one")
    leftovers.unstage(tmp_path, "rnd_one")
    assert names(tmp_path) == {checkpoints.folder(tmp_path, "rnd_one").name}
