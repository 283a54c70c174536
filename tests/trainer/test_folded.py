"""Folds: where too little is held out, every correction judges once, by a model that never saw it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from sqlmodel import select

from feedback.harvest import Word
from feedback.store import Store
from tests import builders
from tests.trainer import shop
from trainer import candidate, folded, ledger, material
from trainer.curve import Progress
from trainer.examples import Example, Message
from trainer.material import Gathered, Sorted
from trainer.models import LedgerEntry, Round
from trainer.settings import Plan


def words(people: int, each: int = 2) -> list[Word]:
    """What people say, everybody something of their own and all of them the same of the lamp."""
    return [
        builders.word(
            f"fbk_{who:02}_{number}",
            person_id=builders.person(f"p{who}"),
            question=f"What is thing {number}?",
            correction=f"Thing {number} is {number} dollars.",
        )
        for who in range(people)
        for number in range(each)
    ]


def gathered(said: Sequence[Word], **fields: Any) -> Gathered:
    empty: dict[str, Any] = {"past": (), "past_for_judging": (), "general": (), "protected": ()}
    return Gathered(words=tuple(said), **{**empty, **fields})


def plan(**fields: Any) -> Plan:
    return builders.plan(**{"gate_folds": 4, "replay_share": 0.0, "replay_minimum": 0, **fields})


class Job:
    """As much of a round as folds need."""

    class Running:
        def __init__(self) -> None:
            self.told: list[str] = []

        def advance(self, share: float, message: str) -> None:
            self.told.append(message)

    def __init__(self, asked: Plan, staging: Path) -> None:
        self.plan, self.staging, self.running = asked, staging, self.Running()
        self.digest, self.incumbent = "base", None

    def remembered(self, digest: str) -> Any:
        class Nothing:
            def answers(
                self,
                prompts: Sequence[Sequence[Message]],
                ask: Callable[[Sequence[int]], Sequence[str]],
            ) -> list[str]:
                return list(ask(range(len(prompts))))

        return Nothing()


def held_ids(sorted_: Sorted) -> set[str]:
    return {word.feedback_id for word in sorted_.held_out}


def test_every_correction_judges_once_and_people_stay_whole() -> None:
    found = gathered(words(10))
    sorted_ = material.sort(found, plan())
    further = folded.parts(found, sorted_, plan())
    assert len(further) == 3 and sorted_.held_out
    ids = [word.feedback_id for part in further for word in part]
    assert sorted([*ids, *held_ids(sorted_)]) == sorted(w.feedback_id for w in found.words)
    homes = [{word.person_id for word in part} for part in further]
    assert not homes[0] & homes[1] and not homes[1] & homes[2] and not homes[0] & homes[2]
    assert max(map(len, further)) - min(map(len, further)) <= 2


@pytest.mark.parametrize(
    "fields", [{"gate_folds": 0}, {"gate_folds_below": 2}, {"gate_folds_below": 1}]
)
def test_no_fold_is_trained_where_none_is_asked_for_or_enough_is_held_out(
    fields: dict[str, Any],
) -> None:
    found = gathered(words(10))
    sorted_ = material.sort(found, plan(**fields))
    assert len(sorted_.held_out) >= 2
    assert folded.parts(found, sorted_, plan(**fields)) == []


def test_one_person_alone_makes_no_folds() -> None:
    found = gathered(words(1))
    assert folded.parts(found, material.sort(found, plan()), plan()) == []


def test_who_has_judged_before_judges_in_no_fold() -> None:
    found = gathered(words(10), judged=frozenset({"fbk_03_0"}))
    sorted_ = material.sort(found, plan())
    further = folded.parts(found, sorted_, plan())
    assert further
    people = {word.person_id for part in further for word in part}
    assert builders.person("p3") not in people
    assert builders.person("p3") not in {word.person_id for word in sorted_.held_out}


def test_no_model_learns_from_the_people_that_it_is_judged_by(tmp_path: Path) -> None:
    found = gathered(words(10))
    job = Job(plan(), tmp_path / "work")
    sorted_ = material.sort(found, job.plan)
    trained: dict[Path, set[str]] = {}

    def fit(
        _: Any,
        examples: Sequence[Example],
        dev: Sequence[Example],
        out: Path,
        report: Callable[[Progress], None],
    ) -> None:
        trained[out] = {name for each in examples for name in each.feedback_ids}

    made = folded.train(
        cast(candidate.Job, job),
        found,
        sorted_,
        lambda held: material.sort(found, job.plan, held=held),
        fit=fit,
    )
    assert [fold.name for fold in made] == ["fold2", "fold3", "fold4"]
    everybody = {word.feedback_id for word in found.words}
    for fold in made:
        own = {word.feedback_id for word in fold.words}
        assert own and trained[fold.folder] == everybody - own
    assert "Fold 2 of 4" in job.running.told[0]


class Knowing:
    """A policy whose adapters answer the questions they have been taught, and else do not know."""

    def __init__(self, taught: dict[str | None, set[str]]) -> None:
        self.taught = taught
        self.asked: list[tuple[str | None, int]] = []

    def answers(
        self, conversations: Sequence[Sequence[Message]], *, adapter: str | None, **_: Any
    ) -> list[str]:
        self.asked.append((adapter, len(conversations)))
        return [
            f"Thing {number} is {number} dollars."
            if (number := each[-1]["content"].split()[3].rstrip("?"))
            in self.taught.get(adapter, set())
            else "I do not know."
            for each in conversations
        ]


def test_each_folds_own_model_answers_for_it_beside_the_incumbent(tmp_path: Path) -> None:
    said = words(4)
    made = (
        folded.Fold("fold2", tmp_path, tuple(said[:4])),
        folded.Fold("fold3", tmp_path, tuple(said[4:])),
    )
    policy = Knowing({None: {"1"}, "fold2": {"0", "1"}, "fold3": set()})
    pairs = folded.judged(cast(candidate.Job, Job(plan(), tmp_path)), cast(Any, policy), made)
    assert [each.item_id for each in pairs] == [word.feedback_id for word in said]
    assert {each.kind for each in pairs} == {"new"}
    assert [each.change for each in pairs] == [1, 0, 1, 0, 0, -1, 0, -1]
    assert len({each.cluster for each in pairs}) == 4
    assert policy.asked == [(None, 4), ("fold2", 4), (None, 4), ("fold3", 4)]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_small_round_trains_its_folds_and_says_so(store: Store, tiny_model: Path) -> None:
    """With a real model: it trains three, publishes one, and the gate counts everybody's words."""
    for number in range(6):
        shop.priced(store, shop.FACTS[number])
    row = shop.ran(
        store, tiny_model, gate_folds=3, gate_folds_below=100, minimum_steps=1, gate="on"
    )
    assert row.state in ("promoted", "refused", "abstained"), row.message
    judges = row.counts["folds"]["judged"]
    assert row.counts["folds"]["models"] == 2 and len(judges) == 6 - row.counts["held_out"]
    assert any("3 folds" in note for note in row.counts["notes"])
    assert row.report is not None
    [gain] = [rule for rule in row.report["rules"] if rule["name"] == "superiority"]
    assert gain["items"] == 6
    with store.session() as session:
        entries = session.exec(select(LedgerEntry).where(LedgerEntry.kind == "new")).all()
        assert not {entry.item_id for entry in entries} & set(judges)  # no adapter answered these
        again = [*judges, *(entry.item_id for entry in entries)]
        assert ledger.judged(session, again) == frozenset(again)
    assert len(list((store.settings.data_dir / "adapters").iterdir())) == 1
    assert not (store.settings.data_dir / "work" / row.id).exists()


def test_a_round_that_is_taken_up_again_has_not_judged_yet(store: Store) -> None:
    row = builders.opened_round(store, counts={"folds": {"models": 2, "judged": ["fbk_1"]}})
    with store.session(write=True) as session:
        assert ledger.judged(session, ["fbk_1"]) == frozenset()
        found = session.get_one(Round, row.id)
        found.state, found.open_slot = "abstained", None
        session.add(found)
        session.commit()
        assert ledger.judged(session, ["fbk_1", "fbk_2"]) == {"fbk_1"}
