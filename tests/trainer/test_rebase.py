"""When a round starts from a fresh adapter, what it learns then, and what follows from it."""

from collections import Counter

import pytest

from feedback.forget import Traces
from feedback.store import Store
from tests import builders
from tests.builders import old, plan, word
from trainer import forget, material, rebase, registry, replay
from trainer.examples import build
from trainer.material import Gathered
from trainer.models import Round


def line(store: Store, rounds: int, *, fresh: int | None = None) -> list[str]:
    """Adapters that continue each other; the one of this number started afresh."""
    names: list[str] = []
    for number in range(rounds):
        made = builders.published(store, parent=names[-1] if names else None)
        names.append(made.id)
        if number == fresh:
            with store.session(write=True) as session:
                row = session.get_one(Round, made.round_id)
                row.counts = {rebase.COUNT: "it was time"}
                session.add(row)
                session.commit()
    return names


def reason(store: Store, incumbent: str | None, *, after: int = 3) -> str | None:
    opened = builders.opened_round(store, incumbent_id=incumbent)
    with store.session(write=True) as session:
        row = session.get_one(Round, opened.id)
        found = rebase.reason(session, row, plan(rebase_after_rounds=after))
        row.state, row.open_slot = "cancelled", None
        session.add(row)
        session.commit()
    return found


def judged(store: Store, incumbent: str, *states: str, **columns: object) -> None:
    for state in states:
        builders.ended_round(store, state=state, incumbent_id=incumbent, **columns)


def test_after_so_many_rounds_on_one_adapter_it_is_time(store: Store) -> None:
    names = line(store, 4)
    assert reason(store, names[1]) is None
    assert reason(store, names[2]) == "3 round(s) have made the adapter what it is"
    assert reason(store, names[3]) == "4 round(s) have made the adapter what it is"
    assert reason(store, names[3], after=5) is None
    assert reason(store, names[3], after=0) is None
    assert reason(store, None) is None


def test_a_fresh_start_counts_from_one(store: Store) -> None:
    names = line(store, 5, fresh=2)
    with store.session() as session:
        assert [rebase.rounds_since(session, name) for name in names] == [1, 2, 1, 2, 3]
        assert len(rebase.afresh(session)) == 1
    assert reason(store, names[3]) is None
    assert reason(store, names[4]) is not None


def test_two_refusals_in_a_row_are_enough(store: Store) -> None:
    [live] = line(store, 1)
    judged(store, live, "refused")
    assert reason(store, live) is None
    judged(store, live, "failed", "refused", "cancelled")
    assert reason(store, live) == "the gate refused 2 rounds in a row"
    assert reason(store, live, after=0) is None
    judged(store, live, "abstained")
    assert reason(store, live) is None


def test_refusals_of_another_incumbent_or_of_a_fresh_start_do_not_count(store: Store) -> None:
    one, two = line(store, 2)
    judged(store, one, "refused", "refused")
    assert reason(store, two, after=9) is None
    judged(store, two, "refused")
    assert reason(store, two, after=9) is None
    judged(store, two, "refused", counts={rebase.COUNT: "it was time"})
    assert reason(store, two, after=9) is None
    judged(store, two, "refused", "refused")
    assert reason(store, two, after=9) is not None


def test_everything_that_still_holds_is_learned_beside_the_news() -> None:
    past = tuple(
        old(f"pst_{n}", question=f"What is {n}?", target=f"It is {n}.") for n in range(900)
    )
    general = tuple(
        old(f"gen_{n}", question=f"Why is {n}?", target=f"Since {n}.", origin="general")
        for n in range(40)
    )
    stale = old("stale")
    said = word(correction="The lamp costs 59 dollars.")
    gathered = Gathered((said,), (*past, stale), (), general, ())
    chosen = plan(replay_buffer=10, replay_minimum=0, replay_share=0.5)
    found = material.sort(gathered, chosen, rebase=True)
    counted = Counter(each.source for each in found.training)
    judging = {each.id for each in found.judging}
    assert counted["past"] == 900
    assert counted["general"] == 40 - len(judging) > 0
    assert set(found.retired) == {"stale"}
    usual = Counter(each.source for each in material.sort(gathered, chosen).training)
    assert usual["past"] <= 10


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 0), (0.5, 12), (0.8, 48), (0.9, 60)])
def test_general_material_keeps_its_share_of_all(share: float, wanted: int) -> None:
    new = build([word(f"fbk_{n}", correction=f"It is {n}.", answer="Hm.") for n in range(2)])
    olds = [
        *(old(f"pst_{n}") for n in range(10)),
        *(old(f"gen_{n}", origin="general") for n in range(60)),
    ]
    mixed = replay.everything(new, olds, share=share, seed=1)
    assert Counter(each.source for each in mixed)["general"] == wanted
    assert mixed == replay.everything(new, olds, share=share, seed=1)
    assert mixed != replay.everything(new, olds, share=share, seed=2)


def test_it_trains_longer_all_of_the_way_and_free_of_the_base() -> None:
    found = rebase.training_plan(
        plan(epochs=2.0, rebase_epochs=5.0, step_share="search", replay_kl_weight=1.0)
    )
    assert (found.epochs, found.step_share, found.replay_kl_weight) == (5.0, 1.0, 0.0)
    assert rebase.training_plan(plan(epochs=6.0)).epochs == 6.0


def test_the_past_reaches_beyond_a_fresh_start(store: Store) -> None:
    names = line(store, 3, fresh=1)
    with store.session() as session:
        made = [registry.get(session, name) for name in names]
    for each in made:
        builders.learned(store, each, f"From {each.id}.")
    found = builders.gathered(store, names[2])
    assert {each.target for each in found.past} == {f"From {name}." for name in names}


def test_a_fresh_start_has_not_learned_from_whom_only_its_parent_did(store: Store) -> None:
    names = line(store, 4, fresh=2)
    learned = Traces(
        person_ids=("per_a",),
        exchanges=frozenset(),
        feedback=frozenset(),
        reviews=0,
        adapters=frozenset({names[0]}),
        texts=frozenset(),
    )
    with store.session() as session:
        found = forget.taught(session, learned, forget.Remains(frozenset(), {}))
        assert {each.adapter.id: each.how for each in found} == {
            names[0]: "learned",
            names[1]: "descends",
        }
        # Its own snapshot tells when it learned from them again.
        round_id = registry.get(session, names[2]).round_id
        assert round_id is not None
        again = forget.taught(session, learned, forget.Remains(frozenset(), {round_id: 1}))
        assert {each.adapter.id: each.how for each in again} == {
            names[0]: "learned",
            names[1]: "descends",
            names[2]: "learned",
            names[3]: "descends",
        }
