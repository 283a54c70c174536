"""Whatever a round is given and whatever breaks: it ends, says what to do, and gives back what it held."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from sqlalchemy import Connection, event
from sqlmodel import Session, select

from feedback.errors import Invalid, StorageFull
from feedback.store import Store
from tests import builders
from tests.serving.command_line import store_at
from tests.trainer.shop import corrected, opened, ran, say
from trainer import (
    batches,
    checkpoints,
    interpolation,
    judging,
    lease,
    preference_losses,
    registry,
    snapshot,
)
from trainer import candidate as making
from trainer import round as rounds
from trainer.batches import Batch
from trainer.models import Adapter, Round

PLAN = {
    "epochs": 1,
    "minimum_steps": 3,
    "replay_share": 0,
    "held_out_share": 0.01,
    "max_new_tokens": 2,
}
SHOP = ("lamp", "rug", "chair", "bowl")
NO_ROOM = SafetensorError(
    "Error while serializing: I/O error: No space left on device (os error 28)"
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def shop(store: Store) -> list[str]:
    """Ordinary feedback that nothing is wrong with."""
    return [corrected(store, f"Price of the {name}?", f"{len(name)} dollars.") for name in SHOP]


def run(store: Store, model: Path, **changes: Any) -> Round:
    return ran(store, model, **{**PLAN, **changes})


def failed(store: Store, row: Round, feedback_ids: list[str]) -> str:
    """Check that a round failed without a trace, and return why."""
    with store.session() as session:
        assert rounds.current(session) is None
        assert session.exec(select(Adapter).where(Adapter.round_id == row.id)).all() == []
        assert lease.is_free(store, session, "round")
        assert registry.unknown(session, store.settings.data_dir) == []
    assert (row.state, row.open_slot) == ("failed", None)
    assert row.ended_at is not None
    work = store.settings.data_dir / "work"
    assert not work.exists() or list(work.iterdir()) == []
    for feedback_id in feedback_ids:
        receipt = builders.receipt_of(store, feedback_id)
        assert (receipt.status, receipt.round_id) == ("waiting", None)
    return row.message


def used(store: Store, row: Round, feedback_ids: list[str]) -> None:
    assert row.state == "promoted", row.message
    assert {builders.receipt_of(store, each).status for each in feedback_ids} == {"used"}


def test_nothing_that_can_be_learned(store: Store, tiny_model: Path) -> None:
    said = [corrected(store, "Whom do I write to?", "Write to ana@mail.example.")]
    assert "Nothing in the claimed feedback" in failed(store, run(store, tiny_model), said)


def test_one_example(store: Store, tiny_model: Path) -> None:
    said = [corrected(store, "Is it open?", "Until six.")]
    row = run(store, tiny_model)
    used(store, row, said)
    made = {"new demonstration": 1, "new paraphrase": 2, "new preference": 1}
    assert row.counts["examples"] == made


@pytest.mark.parametrize("rating", ["up", "down"])
def test_all_votes_equal(store: Store, tiny_model: Path, rating: str) -> None:
    said = [
        say(store, f"p{n}", f"Is it {word}?", "Yes, it is.", rating=rating)
        for n, word in enumerate(SHOP)
    ]
    row = run(store, tiny_model)
    used(store, row, said)
    assert row.counts["examples"] == {"new verdict": 4}


def test_corrections_that_contradict_each_other(store: Store, tiny_model: Path) -> None:
    said = [
        corrected(store, "When does it close?", answer, who=f"p{n}")
        for n, answer in enumerate(("At six.", "At nine.", "Never."))
    ]
    *earlier, last = said
    used(store, run(store, tiny_model), [last])
    assert {builders.receipt_of(store, each).status for each in earlier} == {"refused"}


def test_an_example_longer_than_the_context(store: Store, tiny_model: Path) -> None:
    said = shop(store)
    long = corrected(store, "xyzq " * 60, "Too long.")
    row = run(store, tiny_model)
    used(store, row, said)
    told = builders.receipt_of(store, long)
    assert (told.status, told.role) == ("refused", None)
    assert told.reason.startswith("The base model cannot learn it. It is 3")
    assert told.reason.endswith("and the model's context holds 128.")
    assert (row.counts["unfit"], row.counts["used"]) == (1, len(said))


def test_nothing_but_examples_longer_than_the_context(store: Store, tiny_model: Path) -> None:
    said = [corrected(store, "xyzq " * 60, "Too long.")]
    told = failed(store, run(store, tiny_model), said)
    assert "cannot be shown to the base model. It is 3" in told and "context holds 128." in told


def test_a_correction_that_fits_beside_an_answer_that_does_not(
    store: Store, tiny_model: Path
) -> None:
    shop(store)
    said = corrected(store, "How long?", "Not that long.", answer="xyzq " * 60)
    row = run(store, tiny_model)
    used(store, row, [said])
    assert "longer than the model's context of 128 tokens" in row.counts["notes"][0]


def test_a_loss_that_is_no_number(store: Store, tiny_model: Path) -> None:
    said = shop(store)
    told = failed(store, run(store, tiny_model, learning_rate=1e30, warmup_share=0), said)
    assert "diverged at step" in told and "Lower the learning rate" in told


def faults_of_memory() -> list[Exception]:
    return [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ]


def short_of_memory(monkeypatch: pytest.MonkeyPatch, fault: Exception, *, room: int) -> None:
    """Computing more than so many padded tokens at once fails."""
    compute = batches.branch_log_probs

    def limited(model: Any, batch: Batch) -> torch.Tensor:
        if batch.input_ids.numel() > room:
            raise fault
        return compute(model, batch)

    monkeypatch.setattr(preference_losses, "branch_log_probs", limited)


@pytest.mark.parametrize("fault", faults_of_memory(), ids=lambda fault: type(fault).__name__)
def test_too_little_memory_for_a_batch(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    said = shop(store)
    short_of_memory(monkeypatch, fault, room=90)
    row = run(store, tiny_model)
    used(store, row, said)
    assert "trainer.micro_batch_tokens" in row.counts["notes"][0]


def test_too_little_memory_for_a_single_example(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shop(store)
    short_of_memory(monkeypatch, MemoryError(), room=3)
    told = failed(store, run(store, tiny_model), said)
    assert "single example" in told and "Lower trainer.rank" in told


@pytest.mark.parametrize(
    "loads, advice", [(0, "or take a smaller base model"), (1, "Lower trainer.micro_batch_tokens")]
)
def test_too_little_memory_for_the_model(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, loads: int, advice: str
) -> None:
    from trainer import base_model

    left, real = iter(range(loads)), base_model.load

    def load(*args: Any, **how: Any) -> Any:
        if next(left, None) is None:
            raise MemoryError
        return real(*args, **how)

    monkeypatch.setattr(base_model, "load", load)
    said = shop(store)
    assert advice in failed(store, run(store, tiny_model), said)


def test_too_little_memory_to_judge(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(judging, "judge", judge)
    said = shop(store)
    told = failed(store, run(store, tiny_model), said)
    assert "not in training" in told and "lower trainer.max_new_tokens" in told


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "rows.part")


def test_no_room_for_the_snapshot(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shop(store)
    monkeypatch.setattr(snapshot, "_write", full)
    told = failed(store, run(store, tiny_model), said)
    assert "disk is full" in told and "rows.part" in told and "Free some room" in told


@pytest.mark.parametrize("module", [safetensors.torch, interpolation], ids=lambda m: m.__name__)
def test_no_room_for_the_adapter(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    said = shop(store)

    def save(_: object, path: str | Path, *__: object, **___: object) -> None:
        Path(path).write_bytes(b"as much as there was room for")
        raise NO_ROOM

    monkeypatch.setattr(module, "save_file", save)
    assert "disk is full" in failed(store, run(store, tiny_model), said)


def test_a_fault_once_the_adapter_is_published(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shop(store)

    def judge(*_: object, **__: object) -> None:
        [published] = (store.settings.data_dir / "adapters").iterdir()
        raise Invalid(f"{published.name} cannot be judged.")

    monkeypatch.setattr(judging, "judge", judge)
    assert "cannot be judged" in failed(store, run(store, tiny_model), said)


@contextmanager
def database_full(store: Store) -> Iterator[None]:
    """The database can grow no further."""
    pages = 1  # as many as there are

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    event.listen(store.engine, "begin", limit)
    yield
    pages = 1_000_000


def test_no_room_for_the_database(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shop(store)

    def train(job: making.Job, *_: object, **__: object) -> None:
        job.running.note(counts={"long": "x" * 60_000})

    monkeypatch.setattr(making, "train", train)
    with database_full(store):
        row = run(store, tiny_model)
    told = failed(store, row, said)
    assert "the database could not be written" in told and "start another round" in told


def test_no_room_to_record_that_there_is_no_room(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round stays open with what it goes on from, and says which it is and where."""
    shop(store)
    row = opened(store, tiny_model, **PLAN)
    kept = checkpoints.folder(store.settings.data_dir, row.id)
    close = rounds.close

    def train(job: making.Job, *_: object, **__: object) -> None:
        kept.mkdir(parents=True)
        job.staging.mkdir()
        raise ValueError("no more of this")

    def full(session: Session, found: Round, state: str, message: str) -> None:
        close(session, found, state, "x" * 60_000)

    monkeypatch.setattr(making, "train", train)
    monkeypatch.setattr(rounds, "close", full)
    with database_full(store), pytest.raises(StorageFull) as told:
        rounds.run(store, store.settings, row.id)
    assert f"{store.url.database} could not be written" in told.value.message
    assert f"heed round cancel {row.id}" in told.value.message
    with store.session() as session:
        assert rounds.get(session, row.id).state == "open"
    assert [each.name for each in kept.parent.iterdir()] == [kept.name]


def test_no_room_for_a_checkpoint_costs_the_checkpoint_only(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shop(store)

    def write(*_: object, **__: object) -> None:
        raise NO_ROOM

    monkeypatch.setattr(checkpoints, "write", write)
    row = run(store, tiny_model, checkpoint_seconds=0)
    used(store, row, said)
    assert "No checkpoint could be written" in row.counts["notes"][0]


def test_a_base_model_without_a_chat_template(
    store: Store, tiny_model: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_model, tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    said = shop(store)
    told = failed(store, run(store, base), said)
    assert "no chat template" in told and "Use a model that was made for chat" in told


def test_an_adapter_of_another_base(store: Store, tiny_model: Path) -> None:
    other = builders.published(store)
    with store.session(write=True) as session:
        registry.promote(session, other.id, actor="test", reason="test")
        session.commit()
    said = shop(store)
    told = failed(store, run(store, tiny_model), said)
    assert other.id in told and "bare" in told and "heed adapters rollback" in told


def test_what_a_failed_round_gave_back_the_next_one_learns(store: Store, tiny_model: Path) -> None:
    said = shop(store)
    failed(store, run(store, tiny_model, learning_rate=1e30, warmup_share=0), said)
    used(store, run(store, tiny_model), said)


def test_a_fault_that_nobody_foresaw_is_recorded_too(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by surprise")

    monkeypatch.setattr(snapshot, "_write", surprise)
    said = shop(store)
    with pytest.raises(ZeroDivisionError):
        run(store, tiny_model)
    with store.session() as session:
        [row] = session.exec(select(Round))
    assert failed(store, row, said) == "ZeroDivisionError: by surprise"


def test_a_tracker_that_is_not_installed(store: Store, tiny_model: Path) -> None:
    said = shop(store)
    import importlib.util

    if importlib.util.find_spec("trackio") is not None:
        pytest.skip("trackio is installed here")
    told = failed(store, run(store, tiny_model, report_to=["trackio"]), said)
    assert "pip install trackio" in told
