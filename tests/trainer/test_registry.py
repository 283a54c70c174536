"""Adapters: whole or not at all, every byte checked, one live at a time."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlmodel import Session, select

from feedback import durable
from feedback.errors import Conflict, Invalid, NotFound
from feedback.store import Store
from tests import builders
from trainer import registry
from trainer.models import Adapter, Deployment

WEIGHTS = "adapter_model.safetensors"


def promote(store: Store, adapter_id: str, *, canary_share: float = 0.0) -> Deployment:
    with store.session(write=True) as session:
        deployment = registry.promote(
            session, adapter_id, actor="test", reason="test", canary_share=canary_share
        )
        session.commit()
    return deployment


def rollback(store: Store) -> Deployment:
    with store.session(write=True) as session:
        deployment = registry.rollback(session, actor="test")
        session.commit()
    return deployment


def states(store: Store) -> dict[str, str]:
    with store.session() as session:
        return {adapter.id: adapter.state for adapter in registry.adapters(session)}


def live(store: Store) -> Deployment | None:
    with store.session() as session:
        return registry.live(session)


def publish(data_dir: Path, staging: Path) -> Adapter:
    return registry.publish(
        data_dir,
        staging,
        adapter_id="adp_1",
        parent_id=None,
        round_id="rnd_1",
        base_model="bare",
        base_hash="b" * 64,
    )


def test_a_published_adapter_is_verified(tmp_path: Path) -> None:
    staging = builders.staged(tmp_path / "staging")
    adapter = publish(tmp_path, staging)
    assert not staging.exists()
    place = registry.verify(tmp_path, adapter)
    assert place == registry.folder(tmp_path, adapter.digest)
    assert sorted(path.name for path in place.iterdir()) == [
        "adapter_config.json",
        WEIGHTS,
        "manifest.json",
    ]


def test_publishing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    first = publish(tmp_path, builders.staged(tmp_path / "one"))
    second = publish(tmp_path, builders.staged(tmp_path / "two"))
    assert first.digest == second.digest
    assert not (tmp_path / "two").exists()
    registry.verify(tmp_path, second)


def test_other_weights_have_another_digest(tmp_path: Path) -> None:
    one = publish(tmp_path, builders.staged(tmp_path / "one", b"one"))
    two = publish(tmp_path, builders.staged(tmp_path / "two", b"two"))
    assert one.digest != two.digest


def _without_weights(staging: Path) -> None:
    (staging / WEIGHTS).unlink()


def _with_a_pickle(staging: Path) -> None:
    (staging / "training_args.bin").write_bytes(b"\x80")


def _with_a_link(staging: Path) -> None:
    (staging / WEIGHTS).rename(staging.parent / "elsewhere")
    (staging / WEIGHTS).symlink_to(staging.parent / "elsewhere")


@pytest.mark.parametrize("spoil", [_without_weights, _with_a_pickle, _with_a_link])
def test_refuses_to_publish_what_could_never_be_verified(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    staging = builders.staged(tmp_path / "staging")
    spoil(staging)
    with pytest.raises(Invalid):
        publish(tmp_path, staging)
    assert not (tmp_path / "adapters").exists()


@pytest.mark.parametrize("failing", ["sync", "rename"])
def test_a_crash_while_publishing_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def crash(*_arguments: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(os, {"sync": "fsync", "rename": "replace"}[failing], crash)
    with pytest.raises(OSError, match="power cut"):
        publish(tmp_path, builders.staged(tmp_path / "staging"))
    assert list((tmp_path / "adapters").iterdir()) == []


def test_the_files_are_synced_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = durable.sync, os.replace

    def syncing(path: Path) -> None:
        steps.append(path.name)
        sync(path)

    def replacing(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(registry, "sync", syncing)
    monkeypatch.setattr(os, "replace", replacing)
    publish(tmp_path, builders.staged(tmp_path / "staging"))
    assert steps == [
        "adapter_config.json",
        WEIGHTS,
        "manifest.json",
        "staging",
        "rename",
        "adapters",
    ]


def _flip_a_bit(place: Path) -> None:
    content = bytearray((place / WEIGHTS).read_bytes())
    content[0] ^= 1
    (place / WEIGHTS).write_bytes(content)


def _change_the_config(place: Path) -> None:
    (place / "adapter_config.json").write_text('{"r": 9}')


def _change_the_manifest(place: Path) -> None:
    manifest = place / "manifest.json"
    manifest.write_text(manifest.read_text().replace("adp_", "adq_"))


def _remove_the_manifest(place: Path) -> None:
    (place / "manifest.json").unlink()


def _add_a_file(place: Path) -> None:
    (place / "optimizer.pt").write_bytes(b"\x80")


def _add_a_folder(place: Path) -> None:
    (place / "ref").mkdir()


def _remove_the_folder(place: Path) -> None:
    shutil.rmtree(place)


@pytest.mark.parametrize(
    "spoil",
    [
        _flip_a_bit,
        _change_the_config,
        _change_the_manifest,
        _remove_the_manifest,
        _without_weights,
        _with_a_link,
        _add_a_file,
        _add_a_folder,
        _remove_the_folder,
    ],
)
def test_refuses_an_adapter_that_is_not_the_published_one(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    adapter = publish(tmp_path, builders.staged(tmp_path / "staging"))
    spoil(registry.folder(tmp_path, adapter.digest))
    with pytest.raises(Invalid, match=r"(?s)adp_1.*not served"):
        registry.verify(tmp_path, adapter)


def test_promoting_makes_one_live_and_retires_the_one_before(store: Store) -> None:
    one = builders.published(store)
    two = builders.published(store, parent=one.id)
    assert live(store) is None
    assert promote(store, one.id).generation == 1
    assert promote(store, two.id).generation == 2
    assert states(store) == {one.id: "retired", two.id: "live"}
    found = live(store)
    assert found is not None and found.live_id == two.id


def test_promoting_the_live_one_again_changes_nothing(store: Store) -> None:
    one = builders.published(store)
    first = promote(store, one.id)
    assert promote(store, one.id).id == first.id
    with store.session() as session:
        assert len(session.exec(select(Deployment)).all()) == 1


def test_a_rejected_adapter_is_not_promoted(store: Store) -> None:
    rejected = builders.published(store, state="rejected")
    for share in (0.0, 0.1):
        with pytest.raises(Conflict, match="gate"):
            promote(store, rejected.id, canary_share=share)
    with pytest.raises(NotFound):
        promote(store, "adp_none")
    assert live(store) is None


def test_rolling_back_goes_to_the_parent_and_at_last_to_the_base_model(store: Store) -> None:
    one = builders.published(store)
    two = builders.published(store, parent=one.id)
    promote(store, one.id)
    promote(store, two.id)
    assert rollback(store).live_id == one.id
    assert states(store) == {one.id: "live", two.id: "retired"}
    assert rollback(store).live_id is None
    assert states(store) == {one.id: "retired", two.id: "retired"}
    with pytest.raises(Conflict, match="base model"):
        rollback(store)
    assert promote(store, two.id).live_id == two.id  # and forward again


def test_there_is_nothing_to_roll_back_to_before_the_first_deployment(store: Store) -> None:
    with pytest.raises(Conflict):
        rollback(store)


def test_a_canary_answers_beside_the_live_one_and_can_be_taken_away(store: Store) -> None:
    one, two = builders.published(store), builders.published(store)
    promote(store, one.id)
    canary = promote(store, two.id, canary_share=0.1)
    assert (canary.live_id, canary.canary_id, canary.canary_share) == (one.id, two.id, 0.1)
    assert promote(store, two.id, canary_share=0.1).id == canary.id
    assert promote(store, two.id, canary_share=0.2).generation == canary.generation + 1
    assert states(store) == {one.id: "live", two.id: "canary"}
    back = rollback(store)
    assert (back.live_id, back.canary_id, back.canary_share) == (one.id, None, 0.0)
    assert states(store) == {one.id: "live", two.id: "retired"}


def test_a_canary_that_is_promoted_is_live_alone(store: Store) -> None:
    one, two = builders.published(store), builders.published(store)
    promote(store, one.id)
    promote(store, two.id, canary_share=0.1)
    final = promote(store, two.id)
    assert (final.live_id, final.canary_id) == (two.id, None)
    assert states(store) == {one.id: "retired", two.id: "live"}


def test_a_deployment_that_somebody_overtook_is_a_conflict(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = builders.published(store), builders.published(store)
    before = live(store)
    promote(store, one.id)
    monkeypatch.setattr(registry, "live", lambda _session: before)  # read before the other wrote
    with pytest.raises(Conflict, match="at this moment"):
        promote(store, two.id)
    monkeypatch.undo()
    assert states(store) == {one.id: "live", two.id: "candidate"}


def test_what_was_read_before_another_deployed_is_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = builders.published(store), builders.published(store)
    promote(store, one.id)
    read, looked = registry.live, False

    def overtaken(session: Session) -> Deployment | None:
        nonlocal looked
        if not looked:  # between the look at the adapter and the look at the deployment
            looked = True
            session.commit()  # SQLite lets nobody write meanwhile
            promote(store, two.id)
        return read(session)

    monkeypatch.setattr(registry, "live", overtaken)
    with store.session() as session:
        registry.get(session, one.id)
        registry.promote(session, one.id, actor="test", reason="test")
        session.commit()
    assert states(store) == {one.id: "live", two.id: "retired"}


def test_of_two_promotions_at_once_each_is_whole_or_a_conflict(store: Store) -> None:
    adapters = [builders.published(store) for _ in range(2)]
    for _ in range(3):
        together = Barrier(2)

        def compete(adapter_id: str, together: Barrier = together) -> int | None:
            together.wait()
            try:
                return promote(store, adapter_id).generation
            except Conflict:
                return None

        with ThreadPoolExecutor(2) as pool:
            made = [each for each in pool.map(compete, [a.id for a in adapters]) if each]
        assert made and len(made) == len(set(made))
        found = live(store)
        assert found is not None and found.generation == max(made)
        assert [name for name, state in states(store).items() if state == "live"] == [found.live_id]


def test_a_line_of_descent_is_walked_from_the_youngest(store: Store) -> None:
    one = builders.published(store)
    two = builders.published(store, parent=one.id)
    with store.session() as session:
        assert [each.id for each in registry.lineage(session, two.id)] == [two.id, one.id]
        assert list(registry.lineage(session, None)) == []
        with pytest.raises(NotFound):
            list(registry.lineage(session, "adp_none"))
