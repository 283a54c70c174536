"""A document round trains as any round does: taken up again, watched on dev, told to trackers."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from feedback.store import Store
from tests import builders
from tests.serving.command_line import store_at
from tests.trainer.test_pretrain import opened, ran, settings
from trainer import checkpoints, curve, learner, pretrain, registry, snapshot, step_search, trackers
from trainer import round as rounds
from trainer.models import Adapter, Round

QUESTION = "Who sells bread on Amber Street?"


def adapters(store: Store, row: Round) -> list[list[bytes]]:
    """The bytes of what a round made: its checkpoints, then its candidate."""
    marks = [each["adapter"] for each in row.counts["checkpoints"]]
    with store.session() as session:
        made = [session.get_one(Adapter, name) for name in (*marks, row.candidate_id)]
    places = [registry.folder(store.settings.data_dir, each.digest) for each in made]
    return [[(place / name).read_bytes() for name in registry.FILES] for place in places]


def killed(*_: object, **__: object) -> None:
    raise SystemExit  # past every handler, as a kill is


def test_killed_while_it_trains_and_while_it_is_judged_a_round_ends_in_the_same_adapters(
    tiny_model: Path, tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = settings(tiny_model, tmp_path, checkpoint_seconds=0, document_answer_likeness=0.2)
    undisturbed = store_at(tmp_path / "undisturbed", monkeypatch)
    builders.recorded(undisturbed, question=QUESTION)
    _, expected, _ = ran(undisturbed, opened(undisturbed, plan, shelf))
    steps = len(curve.drawn(undisturbed.settings.data_dir, expected.id))
    second = expected.counts["checkpoints"][1]["step"]
    assert 1 < second < steps

    store = store_at(tmp_path / "killed", monkeypatch)
    builders.recorded(store, question=QUESTION)
    row = opened(store, plan, shelf)
    train = learner.train

    def killed_half_way(*given: Any, **named: Any) -> learner.Trained:
        def report(step: curve.Progress) -> None:
            named["report"](step)
            if step.step == second:
                killed()

        return train(*given, **{**named, "report": report})

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(learner, "train", killed_half_way)
        rounds.run(store, store.settings, row.id)
    builders.recorded(store, question="Who is the tailor?")  # people go on talking
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(pretrain, "_judge", killed)
        rounds.run(store, store.settings, row.id)
    state, row, _ = ran(store, row)

    assert (state, row.attempts) == ("promoted", 3), row.message
    taken_up = [note for note in row.counts["notes"] if "Taken up again" in note]
    assert taken_up == [
        f"Taken up again after step {second - 1}.",
        f"Taken up again after step {steps}.",
    ]
    assert row.snapshot_sha256 == expected.snapshot_sha256
    drawn = curve.drawn(store.settings.data_dir, row.id)
    assert [each["step"] for each in drawn] == list(range(1, steps + 1))
    assert adapters(store, row) == adapters(undisturbed, expected)
    assert len(adapters(store, row)) == 4
    work = store.settings.data_dir / "work"
    assert not work.exists() or not list(work.iterdir())
    undisturbed.close()
    store.close()


def test_what_was_chosen_before_somebody_was_forgotten_is_chosen_anew(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builders.recorded(store, question=QUESTION)
    row = opened(store, settings(tiny_model, tmp_path, document_answer_likeness=0.2), shelf)
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(pretrain, "_train", killed)
        rounds.run(store, store.settings, row.id)
    folder = store.settings.data_dir / "snapshots" / row.id
    # As it was asked, and otherwise.
    assert snapshot.forget(folder, lambda line: line["cluster"] == builders.person()) == 2
    state, row, _ = ran(store, row)
    assert state == "promoted", row.message
    assert snapshot.read(snapshot.Snapshot(folder, str(row.snapshot_sha256)))


def test_it_is_watched_on_pieces_that_neither_train_nor_judge_and_stops_early(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path
) -> None:
    plan = settings(
        tiny_model,
        tmp_path,
        document_epochs=8.0,
        document_checkpoints=(0.01, 0.99),
        learning_rate=0.3,  # soon worse than nothing
        early_stopping_patience=1,
        keep_best=True,
        dev_every_steps=1,
        dev_share=0.2,
    )
    state, row, made = ran(store, opened(store, plan, shelf))
    assert state == "promoted", row.message
    read = row.counts["documents"]
    assert read["dev"]
    assert read["pieces"] == read["trained"] + read["held_out"] + read["dev"] + sum(
        each["pieces"] for each in read["dropped"]
    )
    held_out = pretrain.held_out_folder(store.settings, row.id)
    folders = [store.settings.data_dir / "snapshots" / row.id, held_out, held_out / "dev"]
    pieces = [
        {
            row["document"]
            for row in json.loads((each / snapshot.MANIFEST).read_text())["rows"]
            if row["role"] == "document"
        }
        for each in folders
    ]
    assert all(pieces) and len(set.union(*pieces)) == sum(map(len, pieces))
    drawn = curve.drawn(store.settings.data_dir, row.id)
    assert all(each["dev_loss"] is not None for each in drawn)
    assert len(drawn) < drawn[-1]["steps"]
    told = " ".join(row.counts["notes"])
    assert "Stopped early after step" in told
    # A part of the way that was never gone is no checkpoint.
    assert [each["share"] for each in row.counts["checkpoints"]] == [0.01]
    assert len(made) == 2


def test_without_a_setting_that_wants_dev_everything_else_trains(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path
) -> None:
    _, row, _ = ran(store, opened(store, settings(tiny_model, tmp_path), shelf))
    assert row.counts["documents"]["dev"] == 0
    assert "notes" not in row.counts


def test_the_share_of_the_way_is_searched_on_text_and_holds_for_every_checkpoint(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import interpolation

    gone: dict[str, float] = {}
    interpolate = interpolation.interpolate

    def watched(previous: Path | None, new: Path, *, share: float) -> None:
        gone[new.name] = share
        interpolate(previous, new, share=share)

    monkeypatch.setattr(interpolation, "interpolate", watched)
    plan = settings(
        tiny_model, tmp_path, step_share="search", dev_share=0.2, document_checkpoints=(0.5,)
    )
    state, row, _ = ran(store, opened(store, plan, shelf))
    assert state == "promoted", row.message
    [note] = row.counts["notes"]
    assert "points on dev at each share" in note and note.count(":") == 1 + len(step_search.SHARES)
    assert f"Went {gone['kept']:g} of the way" in note


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's own
def test_its_steps_are_told_to_the_trackers(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path
) -> None:
    pytest.importorskip("tensorboard")
    plan = settings(tiny_model, tmp_path, report_to=["tensorboard"])
    _, row, _ = ran(store, opened(store, plan, shelf))
    assert list(trackers.place(store.settings.data_dir, row.id).glob("events*"))


@pytest.mark.slow  # as long as it takes a process to import torch and its friends
def test_two_processes_share_its_steps(
    store: Store,
    tiny_model: Path,
    tmp_path: Path,
    shelf: Path,
    beside: list[subprocess.Popen[bytes]],
) -> None:
    plan = settings(tiny_model, tmp_path, processes=2)
    state, row, made = ran(store, opened(store, plan, shelf))
    assert state == "promoted", row.message
    assert (len(beside), len(made)) == (1, 4)
    assert list((store.settings.data_dir / "work").iterdir()) == []
    assert not checkpoints.folder(store.settings.data_dir, row.id).exists()
    with store.session() as session:
        assert len(session.exec(select(Adapter)).all()) == 4
