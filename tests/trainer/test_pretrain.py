"""A round that learns from documents, from frozen text to its verdict, with a tiny random model."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from feedback.store import Store
from tests import builders
from trainer import documents, export, lease, pretrain, progress, registry, snapshot, tradeoff
from trainer import round as rounds
from trainer.models import Adapter, PastExample, Round
from trainer.settings import TrainerSettings

FIXED = {"threads": 1, "rank": 4, "alpha": 8, "minimum_steps": 4, "replay_minimum": 8}


def settings(tiny_model: Path, tmp_path: Path, **fields: Any) -> TrainerSettings:
    """A shop with general material, a protected item, and a round of a few steps."""
    general = tmp_path / "general.jsonl"
    rows = [
        {"id": f"g{n}", "messages": builders.messages(f"What is {n}?"), "target": f"It is {n}."}
        for n in range(12)
    ]
    general.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    protected = tmp_path / "protected.jsonl"
    item = {"id": "p", "suite": "core", "prompt": "Hi?", "expected": "^", "check": "regex"}
    protected.write_text(json.dumps(item))
    given = {
        "base_model": str(tiny_model),
        "general_file": str(general),
        "protected_file": str(protected),
        "document_chunk_tokens": 100,
        "document_epochs": 1.0,
        "max_new_tokens": 4,
        "gate": "report-only",
    }
    return TrainerSettings.model_validate({**FIXED, **given, **fields})


def opened(store: Store, plan: TrainerSettings, shelf: Path) -> Round:
    found = [
        each
        for each in documents.gather([shelf], file_mb=1, total_mb=1)
        if isinstance(each, documents.Section)
    ]
    sha256 = documents.freeze(store.settings.data_dir / pretrain.FOLDER, iter(found))
    about = {"sha256": sha256, "files": len(found), "unread_count": 0}
    with store.session(write=True) as session:
        row = pretrain.open(session, plan, about)
        session.commit()
    return row


def ran(store: Store, row: Round) -> tuple[str, Round, list[Adapter]]:
    state = rounds.run(store, store.settings, row.id)
    with store.session() as session:
        made = session.exec(select(Adapter).where(Adapter.round_id == row.id)).all()
        return state, rounds.get(session, row.id), list(made)


def test_documents_are_learned_judged_and_published_with_checkpoints(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path
) -> None:
    for question in ("Who sells bread on Amber Street?", "Who is the tailor?"):
        builders.recorded(store, question=question)
    feedback_id = builders.say(store)
    row = opened(store, settings(tiny_model, tmp_path, document_answer_likeness=0.2), shelf)
    state, row, made = ran(store, row)

    assert state == row.state == "promoted", row.message
    read = row.counts["documents"]
    assert read["pieces"] == read["trained"] + read["held_out"] + sum(
        each["pieces"] for each in read["dropped"]
    )
    assert read["held_out"] and read["answers"] == 2
    assert "3 question(s) are on record" in read["notes"][0]
    assert row.report is not None
    [rule] = [rule for rule in row.report["rules"] if rule["name"] == "perplexity"]
    assert rule["estimate"] > 0

    marks = row.counts["checkpoints"]
    assert [each["share"] for each in marks] == [0.25, 0.5, 0.75]
    states = {adapter.id: adapter.state for adapter in made}
    assert states == {
        **{each["adapter"]: "candidate" for each in marks},
        str(row.candidate_id): "live",
    }
    for adapter in made:
        registry.verify(store.settings.data_dir, adapter)
        assert adapter.parent_id is None
    assert len({adapter.digest for adapter in made}) == 4

    folder = store.settings.data_dir / "snapshots" / row.id
    manifest = json.loads((folder / snapshot.MANIFEST).read_text())
    kinds = {each["role"] for each in manifest["rows"]}
    assert kinds == {"document", "demonstration", "paraphrase"}
    source = next(each["document"] for each in manifest["rows"] if each["role"] == "document")
    assert source.startswith(str(shelf)) and " sha256:" in source
    # Erasing whoever asked finds what was made of both questions, each as it was asked and otherwise.
    assert snapshot.count(folder, lambda line: line["cluster"] == builders.person()) == 4
    frozen = snapshot.read(snapshot.Snapshot(folder, str(row.snapshot_sha256)))
    assert sum(example.text for example in frozen) == read["trained"]

    assert "Pieces of them that it learned from" in export.model_card(made[0], row)
    assert builders.receipt_of(store, feedback_id).status == "waiting"
    assert not (store.settings.data_dir / "work" / row.id).exists()
    with store.session(write=True) as session:
        assert session.exec(select(PastExample)).all() == []
        assert registry.rollback(session, actor="test").live_id is None

    found = tradeoff.compare(
        store,
        store.settings,
        settings(tiny_model, tmp_path),
        row.id,
        trial_steps=1,
        most_items=5,
        report=lambda share, told: None,
    )
    assert [each.share for each in found.rows] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert found.rows[-1].perplexity < found.rows[0].perplexity
    assert [each.protected for each in found.rows] == [1.0] * 5
    assert "No correction waits" in found.notes[0]
    assert (found.rows[0].dev, found.rows[0].tuned_dev) == (None, None)
    assert builders.receipt_of(store, feedback_id).status == "waiting"


def test_a_cancelled_round_leaves_no_adapter(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import learner

    train = learner.train

    def cancelled(*given: Any, **named: Any) -> Any:
        """Somebody cancels while it trains."""
        with store.session(write=True) as session:
            rounds.cancel(store, session, row.id)
            session.commit()
        patience = time.monotonic() + 20
        while not named["should_stop"]():
            assert time.monotonic() < patience
        return train(*given, **named)

    monkeypatch.setattr(learner, "train", cancelled)
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.02)
    row = opened(store, settings(tiny_model, tmp_path), shelf)
    state, row, made = ran(store, row)
    assert not made
    assert (state, row.open_slot, row.message) == ("cancelled", None, "Cancelled by hand.")
    with store.session() as session:
        assert lease.is_free(store, session, "round")


def test_a_killed_round_is_taken_up_again_and_ends_the_same(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = opened(store, settings(tiny_model, tmp_path), shelf)

    def killed(*_: Any) -> None:
        raise SystemExit  # past every handler, as a kill is

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(pretrain, "_judge", killed)
        rounds.run(store, store.settings, row.id)
    with store.session() as session:
        half = rounds.get(session, row.id)
    assert half.state == "open" and half.snapshot_sha256 is not None
    state, row, made = ran(store, row)
    assert (state, row.attempts, len(made)) == ("promoted", 2, 4)
    assert row.snapshot_sha256 == half.snapshot_sha256


def test_documents_that_were_changed_after_reading_fail_the_round(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path
) -> None:
    row = opened(store, settings(tiny_model, tmp_path), shelf)
    folder = store.settings.data_dir / pretrain.FOLDER
    documents.frozen(folder, row.counts["documents"]["sha256"]).write_text("{}\n")
    state, row, _ = ran(store, row)
    assert state == "failed"
    assert "changed after they were read" in row.message


def test_a_text_too_short_to_learn_from_fails_the_round_in_plain_words(
    store: Store, tiny_model: Path, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("Write to ana@example.org")
    state, row, _ = ran(store, opened(store, settings(tiny_model, tmp_path), note))
    assert state == "failed"
    assert "too little text" in row.message


def test_a_feedback_round_starts_from_a_checkpoint_and_is_compared_with_what_is_live(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path
) -> None:
    plan = settings(tiny_model, tmp_path, document_checkpoints=(0.5,))
    _, read, _ = ran(store, opened(store, plan, shelf))
    [mark] = read.counts["checkpoints"]
    for who in ("ana", "bob", "cem"):
        builders.say(store, who, rating="up")
    chosen = plan.model_copy(update={"start_from": mark["adapter"]})
    with store.session(write=True) as session:
        row = rounds.open(session, store.settings, chosen, trigger="test")
        session.commit()
    state, row, [made] = ran(store, row)
    assert state == "promoted", row.message
    assert made.parent_id == mark["adapter"]
    assert row.incumbent_id == read.candidate_id
    with store.session(write=True) as session:
        # The checkpoint was judged by nobody: back is what was live before all of it.
        assert registry.rollback(session, actor="test").live_id is None


def test_checkpoints_are_tried_on_corrections_that_stay_where_they_are(
    store: Store, tiny_model: Path, tmp_path: Path, shelf: Path
) -> None:
    plan = settings(tiny_model, tmp_path, document_checkpoints=(), held_out_share=0.3)
    _, read, _ = ran(store, opened(store, plan, shelf))
    said = [builders.say(store, who, correction="It costs 5.") for who in ("ana", "bob", "c", "d")]
    for name in said:
        builders.decide(store, name)
    shares: list[float] = []
    found = tradeoff.compare(
        store,
        store.settings,
        plan,
        read.id,
        trial_steps=2,
        most_items=1,
        report=lambda share, told: shares.append(share),
    )
    assert [(each.adapter, each.dev) for each in found.rows] == [
        (None, 0.0),
        (read.candidate_id, 0.0),
    ]
    assert all(each.tuned_dev is not None and each.tuned_protected == 1.0 for each in found.rows)
    assert "After 2 steps of fine-tuning" in found.notes[0]
    assert shares == sorted(shares) and shares[-1] == 1.0
    for name in said:
        receipt = builders.receipt_of(store, name)
        assert (receipt.status, receipt.round_id) == ("waiting", None)
    with store.session() as session:
        assert len(session.exec(select(Adapter)).all()) == 1


def test_only_a_document_round_that_made_checkpoints_is_compared(store: Store) -> None:
    from feedback.errors import Conflict, NotFound

    ended = builders.ended_round(store)
    for round_id, fault in ((ended.id, Conflict), ("rnd_none", NotFound)):
        with pytest.raises(fault):
            tradeoff.compare(
                store,
                store.settings,
                TrainerSettings(),
                round_id,
                trial_steps=1,
                most_items=1,
                report=lambda share, told: None,
            )


def test_a_piece_that_is_far_from_most_questions_answers_the_one_that_is_near(
    store: Store, tiny_model: Path, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for number in range(24):
        (shelf / f"lamp{number}.md").write_text(f"# Lamp {number}\n\nLamp {number} costs {number}.")
    (shelf / "zoo.md").write_text("# Zoo\n\nElephants sleep standing under acacias.")
    for number in range(24):
        builders.recorded(store, question=f"What does lamp {number} cost?")
    builders.recorded(store, question="Do elephants sleep standing?")
    plan = settings(tiny_model, tmp_path, document_answer_likeness=0.3, document_relevant_share=0.5)
    state, row, _ = ran(store, opened(store, plan, shelf))
    assert state == "promoted", row.message
    folder = store.settings.data_dir / "snapshots" / row.id
    frozen = snapshot.read(snapshot.Snapshot(folder, str(row.snapshot_sha256)))
    said = [each for each in frozen if "lephants" in each.target]
    assert said and not any(each.text for each in said)
