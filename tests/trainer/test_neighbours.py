"""Questions next to the new ones: about something else, answered as before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from feedback.words import content_words, normalised
from tests.builders import old, word
from trainer import neighbours as making
from trainer.examples import Example, Message, build
from trainer.neighbours import Neighbours, answered, is_news

GREETING = "Good morning! Which colour has the velvet lamp, please?"
TAUGHT = "The velvet lamp is green."
KNOWN = [
    old(f"known_{thing}", question=f"What does the {thing} cost?", target=f"The {thing} costs 9.")
    for thing in ("oak chair", "rug", "long steel bar")
]


def taught(count: int = 3) -> list[Example]:
    words = [
        word(f"fbk_{at}", question=GREETING, answer="It is red.", correction=TAUGHT)
        for at in range(count)
    ]
    return [each for each in build(words) if each.kind == "demonstration"]


def neighbours(*args: Any, **options: Any) -> list[Example]:
    return list(making.neighbours(*args, **options).asked)


def questions(found: Sequence[Example]) -> list[str]:
    return [each.messages[-1]["content"] for each in found]


def test_a_neighbour_asks_in_the_same_words_about_something_else() -> None:
    found = neighbours(taught(), KNOWN, count=40, seed=0)
    assert len(found) > 20
    asked = questions(found)
    assert len(set(map(normalised, asked))) == len(asked)
    assert all(each.startswith("Good morning! Which colour has the ") for each in asked)
    assert not any(content_words(each) >= {"velvet", "lamp"} for each in asked)
    assert "Good morning! Which colour has the oak chair, please?" in asked
    assert any("rug" in each for each in asked) and any("steel bar" in each for each in asked)
    known = {"oak", "chair", "rug", "long", "steel", "bar"}
    known |= {"velvet", "lamp"}
    assert any(not content_words(each) & known for each in asked), "none is made up"
    mixed = {"Good morning! Which colour has the velvet chair, please?"}
    mixed |= {"Good morning! Which colour has the oak lamp, please?"}
    assert mixed <= set(asked)
    assert found == neighbours(taught(), KNOWN, count=40, seed=0)
    assert found != neighbours(taught(), KNOWN, count=40, seed=1)


def test_a_neighbour_is_old_material_that_erasure_finds() -> None:
    [first, *_] = neighbours(taught(1), KNOWN, count=3, seed=0)
    assert (first.source, first.made, first.feedback_ids) == ("general", "neighbour", ("fbk_0",))
    assert first.target == ""


def test_what_earlier_rounds_taught_has_neighbours_about_made_up_things() -> None:
    past = [
        replace(each, source="past", feedback_ids=("fbk_past",))
        for each in build(
            [word(question="How heavy is the raft?", correction="The raft weighs 3.")]
        )
        if each.kind == "demonstration"
    ]
    found = neighbours([*taught(), *past], KNOWN, count=10, of_past=8, seed=0)
    assert len(found) == 18
    of_past = [each for each in found if each.feedback_ids == ("fbk_past",)]
    assert len(of_past) == 8 and all(each.source == "general" for each in of_past)
    known = {"raft", "oak", "chair", "rug", "long", "steel", "bar", "velvet", "lamp"}
    assert not any(content_words(each) & known for each in questions(of_past)), "one word: no mix"
    assert neighbours(past, KNOWN, count=0, of_past=8, seed=0) == [], "nothing new is taught"


def test_what_another_new_example_is_about_is_never_asked() -> None:
    others = [
        word("fbk_8", question="Is the rug soft?", answer="No.", correction="The rug is."),
        word("fbk_9", question="Is the oak desk old?", answer="No.", correction="The oak desk is."),
    ]
    new = [*taught(), *build(others)]
    asked = questions(neighbours(new, KNOWN, count=100, seed=0))
    assert asked and not any("rug" in content_words(each) for each in asked)
    assert not any(content_words(each) >= {"oak", "desk"} for each in asked)
    assert any("velvet desk" in each for each in asked), "its parts may be parts of others"


def test_a_mixed_name_has_half_of_the_words_of_another_at_most() -> None:
    three = [
        word(
            f"fbk_{at}",
            question=f"Is the {thing} old?",
            answer="No.",
            correction=f"The {thing} is.",
        )
        for at, thing in enumerate(("blunt steel bar", "small iron rod", "thin zinc wire"))
    ]
    asked = questions(neighbours(build(three), [], count=60, seed=0))
    names = [{"blunt", "steel", "bar"}, {"small", "iron", "rod"}, {"thin", "zinc", "wire"}]
    shared = [max(len(content_words(each) & name) for name in names) for each in asked]
    assert set(shared) == {0, 1}


def test_the_subject_changes_in_the_whole_conversation_and_in_what_people_said_alone() -> None:
    [example] = taught(1)
    before = (
        Message(role="user", content="Do you sell the Velvet lamp?"),
        Message(role="assistant", content="Yes, the velvet lamp."),
    )
    longer = replace(example, messages=(*before, *example.messages))
    for each in neighbours([longer], KNOWN, count=10, seed=0):
        assert not {"velvet", "lamp"} <= content_words(each.messages[0]["content"])
        assert each.messages[1] == before[1]


def test_a_number_becomes_another_number() -> None:
    said = word(
        question="Where is order 4711?", answer="Order 4711 is lost.", correction="Order 4711 left."
    )
    new = [each for each in build([said]) if each.kind == "demonstration"]
    found = neighbours(new, [], count=5, seed=0)
    numbers = [each.rstrip("?").split()[-1] for each in questions(found)]
    assert all(each.isdigit() and each != "4711" for each in numbers)


def test_questions_that_judge_are_left_out() -> None:
    judging = normalised("Good morning! Which colour has the rug, please?")
    found = neighbours(taught(), KNOWN, count=60, seed=0, judging={judging})
    assert judging not in map(normalised, questions(found))


def test_a_manner_has_no_neighbours() -> None:
    polite = word(answer="It is green.", correction="Of course! It is green.", question=GREETING)
    [manner] = [each for each in build([polite]) if each.kind == "demonstration"]
    assert not is_news(manner)
    assert neighbours([manner], KNOWN, count=5, seed=0) == []
    assert neighbours([], KNOWN, count=5, seed=0) == []
    nothing_named = word(question="And now?", answer="Go left.", correction="Turn right.")
    assert neighbours(build([nothing_named]), KNOWN, count=5, seed=0) == []


class Speaking:
    """A model that says the same of everything, as its base does; knows no more than so many words."""

    def __init__(self, says: dict[str, str], *, base: str = "") -> None:
        self.says = says
        self.base = base

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
    ) -> list[str]:
        if adapter is None:
            return [self.base for _ in conversations]
        assert adapter == "incumbent"
        return [
            next(
                (a for key, a in self.says.items() if key in turns[-1]["content"]), "I don't know."
            )
            for turns in conversations
        ]

    def fits(self, rows: Any, *, max_new_tokens: int = 1) -> list[bool]:
        return ["steel" not in messages[-1]["content"] for messages, _ in rows]

    def lengths(self, rows: Any) -> list[int]:
        return [len(text.split()) for _, text in rows]


def said(says: dict[str, str], **options: Any) -> list[Example]:
    asked = making.neighbours(taught(), KNOWN, count=40, seed=0)
    reviewed = [word(question=GREETING, correction=TAUGHT)]
    given: dict[str, Any] = {"reviewed": reviewed, "max_new_tokens": 6, **options}
    return answered(asked, policy=Speaking(says), present="incumbent", **given)


def test_the_live_model_answers_them() -> None:
    found = said({"chair": "The oak chair is brown."})
    assert {each.target for each in found} == {"I don't know.", "The oak chair is brown."}
    assert all(
        ("chair" in each.messages[-1]["content"]) == ("chair" in each.target) for each in found
    )


def test_what_is_cut_off_empty_too_long_or_personal_is_left_out() -> None:
    found = said(
        {"chair": "It is as brown as brown can be.", "rug": ""},
        may_be_said=lambda answer: "know" not in answer,
    )
    assert found == []
    assert not any("steel" in each for each in questions(said({})))


def test_a_reviewed_correction_has_the_last_word() -> None:
    rug = word(question="Which colour has the rug?", correction="The rug is blue.")
    found = said({"rug": "The rug is red."}, reviewed=[rug])
    assert found and not any("rug" in each for each in questions(found))
    nobody: dict[str, Any] = {"present": "incumbent", "reviewed": [], "max_new_tokens": 6}
    assert answered(Neighbours(), policy=Speaking({}), **nobody) == []


def test_a_model_does_not_learn_from_itself_what_it_makes_up() -> None:
    """Of a thing that does not exist nothing can be said, nor of another than was asked about."""

    class Inventive(Speaking):
        def answers(self, conversations: Sequence[Sequence[Message]], **options: Any) -> list[str]:
            if options["adapter"] is None:
                return super().answers(conversations, **options)
            asked = [turns[-1]["content"].partition("has the ")[2] for turns in conversations]
            return [f"The {thing} is blue." for thing in asked]

    asked = making.neighbours(taught(), KNOWN, count=40, seed=0)
    given: dict[str, Any] = {"present": "incumbent", "reviewed": [], "max_new_tokens": 20}
    found = answered(asked, policy=Inventive({}), **given)
    assert found and all(content_words(each.target) & {"oak", "rug", "bar"} for each in found)
    elsewhere = Speaking({"Good": "The velvet lamp is green."})
    assert answered(asked, policy=elsewhere, **given) == []
    told = answered(asked, policy=Inventive({}, base="I don't know."), **given)
    assert told[: len(found)] == found and len(told) > len(found)
    elsewhere.base = "I don't know."
    told = answered(asked, policy=elsewhere, **given)
    assert {each.target for each in told} == {"I don't know."}
    known = ({"oak", "chair"}, {"rug"}, {"steel", "bar"})
    assert not any(content_words(each) >= name for each in questions(told) for name in known), (
        "what is known may have been changed since: only of made-up things the base has a say"
    )
    assert any("oak lamp" in each for each in questions(told))
    given["present"] = None
    assert answered(asked, policy=Speaking({}, base="The velvet lamp is green."), **given) == []
