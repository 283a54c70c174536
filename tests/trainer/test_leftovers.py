"""What a round that has ended left on the disk is cleared away, and nothing else is."""

from pathlib import Path

import pytest

from feedback.errors import Invalid
from feedback.store import Store
from tests import almanac, builders
from tests.trainer import test_pretrain as documents
from trainer import adapter_folder, checkpoints, leftovers, registry

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


def test_an_adapter_without_a_row_goes_with_the_round_that_made_it(store: Store) -> None:
    over, going = builders.ended_round(store), builders.opened_round(store)
    known = builders.published(store)
    lost = builders.unrecorded(store, over.id)
    others = [builders.unrecorded(store, going.id), builders.unrecorded(store, "rnd_other")]
    changed = builders.unrecorded(store, over.id)
    manifest = changed / registry.MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b" ")  # whose it is cannot be believed
    for row in (over, going):
        leftovers.clear(store, row.id)
    assert known.round_id is not None
    leftovers.clear(store, known.round_id)
    assert not lost.exists()
    assert all(each.exists() for each in (*others, changed))
    assert registry.verify(store.settings.data_dir, known)


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


def test_a_document_round_that_diverges_leaves_no_checkpoint_of_its_first_step(
    store: Store, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name, text in almanac.town(seed=1, pages=6, paragraphs=2).items():
        (shelf / name).write_text(text)
    row = documents.opened(store, documents.settings(tiny_model, tmp_path), shelf)
    write = adapter_folder.write
    written: list[Path] = []

    def diverges(model: object, out: Path, *, base_model: str) -> None:
        if written:
            raise Invalid("Training diverged.")
        write(model, out, base_model=base_model)
        written.append(out)

    monkeypatch.setattr(adapter_folder, "write", diverges)
    assert documents.ran(store, row)[0] == "failed"
    assert written == [store.settings.data_dir / "work" / row.id / "step-1"]
    assert names(store.settings.data_dir) == set()
