"""What is rehearsed because somebody asked for it."""

from tests.builders import messages, plan, word
from trainer import material, refresh, replay
from trainer.models import LedgerEntry
from trainer.replay import Old
from trainer.suites import Item


def old(name: str, question: str, target: str, origin: str = "past", *said: str) -> Old:
    (turn,) = messages(question)
    message = {"role": "user", "content": str(turn["content"])}
    return Old(name, (message,), target, name, origin, said)  # type: ignore[arg-type]


def lost(item_id: str, kind: str = "past", suite: str = "past material") -> LedgerEntry:
    return LedgerEntry(
        round_id="rnd_1",
        kind=kind,
        suite=suite,
        item_id=item_id,
        adapter_id="adp_1",
        right_before=True,
        right_after=False,
        replay_asked_at=1.0,
    )


LAMP = old("lamp", "What does the lamp cost?", "The lamp costs 59 dollars.")
ASKED = old("asked", "The lamp, what does it cost?", "the lamp costs 59 dollars", "past", "fbk_9")
VASE = old("vase", "What colour is the vase?", "Blue.")
DESK = old("desk", "How heavy is the desk?", "It weighs 59 kilos.")
ITEM = Item(
    "core-1", "core", ({"role": "user", "content": "lamp cost?"},), "59 dollars", "contains"
)


def wish(*entries: LedgerEntry) -> refresh.Wished:
    return refresh.wished(
        entries, past=[LAMP, DESK], judging=[ASKED, VASE], general=[], guarded=[ITEM]
    )


def test_kin_of_a_forgotten_item_come_first_and_the_item_goes_on_judging() -> None:
    found = wish(lost("asked"))
    assert found.first == {"lamp"}
    assert found.judging == (ASKED, VASE) and found.past == (LAMP, DESK)
    assert wish(lost("fbk_9", "new", "new corrections")).first == {"lamp"}, "by what was said"


def test_a_forgotten_correction_without_kin_is_learned_and_judges_no_longer() -> None:
    found = wish(lost("vase"))
    assert found.first == {"vase"}
    assert found.judging == (ASKED,)
    assert [each.id for each in found.past] == ["lamp", "desk", "vase"]


def test_an_item_of_a_suite_is_never_trained_on_but_what_answers_it_is() -> None:
    found = wish(lost("core-1", "protected", "core"))
    assert found.first == {"lamp"}
    assert wish(lost("gone", "protected", "core")).first == frozenset()


def test_nothing_changes_where_nobody_asked() -> None:
    assert wish() == refresh.Wished((LAMP, DESK), (ASKED, VASE), frozenset())


def test_what_comes_first_is_replayed_however_little_room_there_is() -> None:
    olds = [old(f"o{n}", f"Question {n}?", f"Answer {n}.") for n in range(200)]
    gathered = material.Gathered(
        (word("fbk_1", correction="New."),), tuple(olds), (), (), (), first=frozenset({"o77"})
    )
    for seed in range(5):
        chosen = plan(seed=seed, replay_share=0.5, replay_minimum=4, new_exposures=0, epochs=1.0)
        sorted_ = material.sort(gathered, chosen)
        replayed = {each.target for each in sorted_.training if each.source == "past"}
        assert "Answer 77." in replayed and len(replayed) == 4


def test_no_more_is_replayed_than_there_is_room_for() -> None:
    olds = [old(f"o{n}", f"Question {n}?", f"Answer {n}.") for n in range(50)]
    every = frozenset(each.id for each in olds)
    mixed = replay.mix([], olds, share=0.5, minimum=6, seed=0, first=every)
    assert len(mixed) == 6
