"""What trains, what judges, and what is left out."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from feedback import harvest
from feedback.errors import Invalid
from feedback.store import Store
from tests import builders
from tests.builders import ANSWER, old, person, plan, word
from trainer import material, rehearsal, splits
from trainer.examples import Message
from trainer.material import Gathered, Sorted
from trainer.models import Retirement
from trainer.suites import Item

RIGHT = "The lamp costs 59 dollars."


def sort(*words: harvest.Word, **fields: object) -> Sorted:
    gathered = {"past": (), "past_for_judging": (), "general": (), "protected": (), **fields}
    return material.sort(Gathered(words=words, **gathered), plan(replay_share=0.5))  # type: ignore[arg-type]


def crowd(number: int, correction: str = RIGHT) -> list[harvest.Word]:
    return [
        word(f"fbk_{each:03}", person_id=person(f"p{each}"), correction=correction)
        for each in range(number)
    ]


def test_nothing_both_trains_and_judges() -> None:
    words = crowd(120)
    olds = tuple(
        old(f"general_{n}", question=f"What is {n}?", target=f"It is {n}.", origin="general")
        for n in range(50)
    )
    past = old("past_1", question="Who are you?", target="Your shop.")
    found = sort(*words, general=olds, past_for_judging=(past,))
    held = {each.feedback_id for each in found.held_out}
    assert held and not held & found.roles.keys()
    assert held | found.roles.keys() == {each.feedback_id for each in words}
    judging = {each.id for each in found.judging}
    assert "past_1" in judging
    replayed = {each.cluster for each in found.training if each.source != "new"}
    assert replayed and not judging & replayed


def test_a_person_is_held_out_whole() -> None:
    words = [
        word(f"fbk_{n}_{k}", person_id=person(f"p{n}"), correction=f"{RIGHT} {k}")
        for n in range(60)
        for k in range(2)
    ]
    found = sort(*words)
    held = {each.person_id for each in found.held_out}
    assert all(each.feedback_id in found.roles for each in words if each.person_id not in held)
    assert len(found.held_out) == 2 * len(held) > 0


def test_sorting_is_the_same_for_the_same_seed() -> None:
    assert sort(*crowd(40)) == sort(*crowd(40))


def test_a_correction_that_nobody_shares_is_learned_where_enough_others_judge() -> None:
    alone = [
        word(f"fbk_x{n}", person_id=person(f"x{n}"), correction=f"Only I say {n}.")
        for n in range(40)
    ]
    found = sort(*crowd(120), *alone)
    assert all(each.feedback_id in found.roles for each in alone)
    assert len(found.held_out) >= splits.SHARED_MINIMUM


def test_at_most_a_quarter_of_what_people_agree_on_judges() -> None:
    facts = [f"The price of {n} is {n} dollars." for n in range(20)]
    words = [
        word(f"fbk_{n:02}_{k}", person_id=person(f"p{(7 * n + 5 * k) % 41}"), correction=fact)
        for n, fact in enumerate(facts)
        for k in range(8)
    ]
    found = sort(*words)
    assert splits.SHARED_MINIMUM <= len(found.held_out) <= 0.15 * len(words) + 6
    judging = Counter(each.correction for each in found.held_out)
    assert max(judging.values()) <= 2


def test_with_a_handful_of_corrections_all_are_learned() -> None:
    found = sort(*crowd(6))
    assert found.held_out == ()
    assert len(found.roles) == 6


def test_praise_that_a_correction_contradicts_is_left_out_and_names_it() -> None:
    found = sort(*crowd(1), word("fbk_praise", rating=1.0, person_id=person("fan")))
    assert found.contradicted == {"fbk_praise": "fbk_000"}
    assert "fbk_praise" not in found.roles


@pytest.mark.parametrize("contrast", [True, False])
def test_a_thumb_down_shows_what_was_liked_before_in_another_manner(contrast: bool) -> None:
    question = "What does the lamp cost?"
    down = word("fbk_down", rating=0.0, messages=builders.messages(question), answer=f"Hi! {RIGHT}")
    before = old("liked", question=question, target=RIGHT, feedback_ids=("fbk_before",))
    gathered = Gathered((down,), past=(before,), past_for_judging=(), general=(), protected=())
    found = material.sort(gathered, plan(contrast=contrast))
    shown = [each.target for each in found.training if each.made == "contrast"]
    # What was said in another round has its own receipt there.
    assert found.roles == {"fbk_down": "contrast" if contrast else "verdict"}
    assert shown == ([RIGHT] if contrast else [])
    fix = word("fbk_fix", correction="The lamp costs 69 dollars.", accepted_by="reviewer")
    corrected = material.sort(replace(gathered, words=(down, fix)), plan(contrast=contrast))
    assert all(each.made != "contrast" for each in corrected.training)


@pytest.mark.parametrize("corrected", [False, True])
def test_general_material_shows_the_manner_that_people_like_unless_it_is_out_of_date(
    corrected: bool,
) -> None:
    votes = [
        word(
            f"fbk_{rating:.0f}_{thing}",
            person_id=person(thing),
            rating=rating,
            messages=builders.messages(f"What does the {thing} cost?"),
            answer=f"The {thing} costs {value} dollars." if rating else f"{value} dollars.",
        )
        for value, thing in enumerate(("desk", "sofa", "vase", "chair", "stool", "clock"), 20)
        for rating in (0.0, 1.0)
    ]
    question = builders.messages("What does the lamp cost?")
    down = word("fbk_down", rating=0.0, messages=question, answer="59 dollars.")
    fix = word("fbk_fix", correction="The lamp costs 69 dollars.", accepted_by="reviewer")
    general = old("general", question="cost of the lamp?", target=RIGHT, origin="general")
    words = (*votes, down, *([fix] if corrected else []))
    gathered = Gathered(words, past=(), past_for_judging=(), general=(general,), protected=())
    found = material.sort(gathered, plan())
    shown = [each.target for each in found.training if each.made == "contrast"]
    assert (RIGHT in shown) is not corrected


def test_old_material_that_a_correction_replaces_neither_trains_nor_judges() -> None:
    stale = old("stale", target=ANSWER)
    found = sort(*crowd(30), past=(stale,), past_for_judging=(old("stale_too"),))
    assert set(found.retired) == {"stale", "stale_too"}
    assert found.judging == ()
    assert all(each.source == "new" for each in found.training)


def test_feedback_that_makes_no_example_is_told_so() -> None:
    found = sort(*crowd(3), word("fbk_same", person_id=person("x")))
    assert found.silent == ("fbk_same",)


def test_roles_name_everything_that_a_word_became() -> None:
    correction = word(correction=RIGHT, answer="I am not sure.")
    assert sort(correction).roles == {"fbk_1": "demonstration, preference"}
    assert sort(word(rating=1.0)).roles == {"fbk_1": "verdict"}


def test_a_correction_that_breaks_a_protected_item_is_a_conflict() -> None:
    item = Item(
        id="price",
        suite="prices",
        messages=(Message(role="user", content=builders.QUESTION),),
        expected=ANSWER,
        cluster="price",
        protected=True,
    )
    assert sort(word(correction=RIGHT), protected=(item,)).conflicts == (("price", "fbk_1"),)
    other = word(question="Where is my order?", correction=RIGHT)
    assert sort(other, protected=(item,)).conflicts == ()
    assert sort(word(correction=ANSWER), protected=(item,)).conflicts == ()


def test_general_material_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "general.jsonl"
    rows = [
        {"id": n, "messages": builders.messages("What \u2028 is this?"), "target": f"\u0085{n}"}
        for n in range(2)
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for content in (text, text.rstrip("\n"), "\ufeff" + text):
        path.write_text(content, encoding="utf-8")
        found = rehearsal.general_material(plan(general_file=str(path)))
        assert [(each.id, each.target) for each in found] == [("0", "\u00850"), ("1", "\u00851")]
        assert {each.origin for each in found} == {"general"}


def test_general_material_of_the_data_folder_is_the_shops_own(tmp_path: Path) -> None:
    kept = tmp_path / rehearsal.GENERAL
    kept.parent.mkdir()
    asked = [{"role": "user", "content": "Who are you?"}]
    row = {"id": "own-1", "messages": asked, "target": "Your shop.", "judge": False}
    kept.write_text(json.dumps(row) + "\n")
    (found,) = rehearsal.general_material(plan(), tmp_path)
    assert (found.id, found.target, found.judges) == ("own-1", "Your shop.", False)
    named = tmp_path / "named.jsonl"
    named.write_text(json.dumps({**row, "id": "named-1"}) + "\n")
    (found,) = rehearsal.general_material(plan(general_file=str(named)), tmp_path)
    assert found.id == "named-1"
    kept.write_text("[]\n")
    with pytest.raises(Invalid, match=r"general\.jsonl:1"):
        rehearsal.general_material(plan(), tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'{"id": 1}',
        b'{"id": 1, "messages": [], "target": "x"}',
        b'{"id": 1, "messages": [{"content": "no role"}], "target": "x"}',
        b"",
        b"\xff",
    ],
)
def test_a_faulty_general_file_names_the_file(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "general.jsonl"
    good = json.dumps({"id": 1, "messages": builders.messages(), "target": "x"}).encode()
    path.write_bytes(good + b"\n" + line + b"\n")
    with pytest.raises(Invalid, match="general"):
        rehearsal.general_material(plan(general_file=str(path)))
    with pytest.raises(Invalid, match="general_file"):
        rehearsal.general_material(plan(general_file=str(tmp_path / "none.jsonl")))


def test_the_past_is_what_the_incumbents_line_of_descent_learned(store: Store) -> None:
    one = builders.published(store)
    two = builders.published(store, parent=one.id)
    other = builders.published(store, parent=one.id)
    first = builders.learned(store, one, "First.")
    judged = builders.learned(store, two, "Judged.", split="judge")
    builders.learned(store, other, "Of another branch.")
    found = builders.gathered(store, two.id)
    assert [each.id for each in found.past] == [first]
    assert [each.id for each in found.past_for_judging] == [judged]


def test_a_rollback_brings_back_what_the_rolled_back_round_had_retired(store: Store) -> None:
    one = builders.published(store)
    two = builders.published(store, parent=one.id)
    assert two.round_id
    first = builders.learned(store, one, "First.")
    with store.session(write=True) as session:
        session.add(Retirement(past_id=first, round_id=two.round_id, new_target="Second."))
        session.commit()
    assert builders.gathered(store, two.id).past == ()
    assert [each.id for each in builders.gathered(store, one.id).past] == [first]


def test_without_other_material_the_models_own_answers_are_rehearsed(store: Store) -> None:
    kept = builders.recorded(store, answer="Kept.")
    builders.say(store, completion_id=builders.recorded(store), rating="down")
    builders.recorded(store, origin="import")
    builders.recorded(store, state="partial")
    builders.recorded(store, adapter_id="adp_old")
    found = builders.gathered(store, None)
    assert [(each.id, each.target) for each in found.general] == [(kept, "Kept.")]
    assert found.past == () and found.words == () and found.protected == ()


def test_what_only_clicks_or_doubtful_people_liked_is_not_rehearsed() -> None:
    clicked = word("fbk_c", rating=0.9, accepted_by="signal", weight=0.3, also=("fbk_d",))
    doubtful = word("fbk_x", question="Why?", rating=1.0, weight=0.4)
    found = sort(*crowd(3), clicked, doubtful, word("fbk_l", question="Who?", rating=1.0))
    rehearsed = {each.feedback_ids for each in found.training if each.source == "past"}
    assert rehearsed <= {("fbk_l",)}
