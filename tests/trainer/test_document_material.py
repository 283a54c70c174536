"""What a document round works with: pieces, questions that they answer, and the mix. No model."""

from collections.abc import Sequence

import pytest

from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests import builders
from trainer import document_answers, document_material
from trainer.chunks import Chunk
from trainer.document_answers import Asked
from trainer.documents import Section
from trainer.examples import Example, Message
from trainer.metrics import Likelihood
from trainer.selection import Selected

PEOPLE = [Asked(f"How much does the lamp cost on day {n}?", builders.person()) for n in range(3)]


class Words:
    """A reader that counts words and knows no likelihood."""

    context_tokens = 64

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def text_likelihoods(self, texts: Sequence[str], *, adapter: str | None) -> list[Likelihood]:
        return [Likelihood(-float(len(text)), 1) for text in texts]


def piece(text: str, number: int = 0, heading: str = "") -> Chunk:
    name = f"book#{number}"
    return Chunk(f"{name}.0", "book", "ab", name, heading + text, len(text.split()), heading)


def cut(sections: Sequence[Section], settings: FeedbackSettings) -> tuple[list[Chunk], int]:
    return document_material.cut(
        sections, Words(), builders.plan(), settings, report=lambda share, told: None
    )


def test_sentences_with_personal_data_are_left_out_unless_the_shop_says_they_are_public() -> None:
    text = "Lamps shine. Write to ana@example.org today. Desks stand."
    section = Section("a.txt", "0", 0, "", (), text)
    settings = FeedbackSettings()
    [found], dropped = cut([section], settings)
    assert (found.text, dropped) == ("Lamps shine. Desks stand.", 1)
    for kept in ({"redaction": "off"}, {"redaction_keep": ["ana@example.org"]}):
        [found], dropped = cut([section], settings.model_copy(update=kept))
        assert (found.text, dropped) == (text, 0)


def test_a_piece_is_never_longer_than_the_models_context() -> None:
    section = Section("a.txt", "0", 0, "", (), "word " * 500)
    found, _ = cut([section], FeedbackSettings(redaction="off"))
    assert max(each.tokens for each in found) <= Words.context_tokens - 1


def test_what_people_asked_is_read_newest_first_once_each_and_without_personal_data(
    store: Store,
) -> None:
    builders.recorded(store, question="Is the lamp blue?", who="ana")
    builders.recorded(store, question="Is the lamp blue?", who="bob")
    builders.recorded(store, question="Call me at ben@example.org please", who="ana")
    builders.recorded(store, question="Make a title", origin="client_task")
    with store.session() as session:
        found = document_material.asked(session, store.settings)
        assert [
            each.text for each in document_material.asked(session, store.settings, limit=1)
        ] == ["Call me at <EMAIL> please"]
    assert all(each.answer for each in found), "what was said then helps to look"
    assert [(each.text, each.person_id) for each in found] == [
        ("Call me at <EMAIL> please", builders.person("ana")),
        ("Is the lamp blue?", builders.person("bob")),
    ]


def test_a_question_is_learned_with_the_sentence_that_answers_it() -> None:
    pieces = [
        piece("The lamp costs 40 dollars. The lamp shop is blue.", heading="Lamps\n"),
        piece("Returns are free for 30 days.", 1),
    ]
    [first, *_] = found = document_answers.answered(pieces, PEOPLE, least_likeness=0.2)
    assert len(found) == 3
    assert (first.target, first.text, first.source) == ("The lamp costs 40 dollars.", False, "new")
    assert first.messages[0]["content"] == PEOPLE[0].text
    # Erasing whoever asked finds the row.
    assert first.cluster == builders.person()
    assert first.document == "book#0.0 sha256:ab"
    assert document_answers.answered(pieces, PEOPLE, least_likeness=0.99) == []


def test_what_was_answered_then_helps_to_find_the_sentence() -> None:
    lamp = [f"The lamp {what}." for what in ("is green", "covers a desk", "breaks no record")]
    filling = [f"The lamp number {number} is covered in dust." for number in range(6)]
    right = "We repair the lamp for 3 years after it is sold."
    other = "We repair the stool for 2 years after it is sold."
    pieces = [piece(" ".join([*lamp, *filling, right, other]))]
    question, then = "Is the lamp covered?", "We repair the lamp for 2 years after it is sold."

    def found(answer: str) -> str:
        asked = [Asked(question, builders.person(), answer)]
        [example] = document_answers.answered(pieces, asked, least_likeness=0.0)
        return example.target

    assert found("") in filling
    assert found(then) == right


def test_a_question_that_nothing_answers_is_left_alone() -> None:
    pieces = [piece("The lamp costs 40 dollars.")]
    odd = [Asked("Wer bist du?", "p"), Asked("and of it?", "p"), Asked("?!", "p")]
    assert document_answers.answered(pieces, odd, least_likeness=0.0) == []
    assert document_answers.answered([], PEOPLE, least_likeness=0.0) == []
    assert document_answers.answered([piece("...")], PEOPLE, least_likeness=0.0) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_general_material_has_its_share_of_the_tokens(share: float) -> None:
    pieces = [piece("word " * 40, n) for n in range(10)]
    olds = [builders.old(f"old {n}", target="four words and more") for n in range(1000)]
    plan = builders.plan(document_general_share=share)
    mixed, found = document_material.mixed(pieces, [], olds, Words(), plan)
    assert found == pytest.approx(share, abs=0.01)
    assert sum(example.text for example in mixed) == 10
    assert document_material.mixed(pieces, [], olds, Words(), plan) == (mixed, found)


def test_each_pass_rehearses_other_old_material() -> None:
    pieces = [piece("word " * 40, n) for n in range(10)]
    olds = [builders.old(f"old {n}", target="four words and more") for n in range(1000)]

    def rehearsed(passes: float) -> tuple[int, float, float]:
        plan = builders.plan(document_general_share=0.5, document_epochs=passes)
        mixed, share = document_material.mixed(pieces, [], olds, Words(), plan)
        old = [example for example in mixed if not example.text]
        return len(old), sum(1 / example.in_turn for example in old), share

    once, a_pass, share = rehearsed(1)
    assert once == a_pass and share == pytest.approx(0.5, abs=0.01)
    assert rehearsed(4) == (4 * once, a_pass, share)


def test_answers_count_as_often_as_they_are_shown() -> None:
    pieces = [piece("word " * 40, n) for n in range(10)]
    olds = [builders.old(f"old {n}", target="four words and more") for n in range(1000)]
    said = "an answer of many words " * 20
    answers = [
        Example(
            "demonstration",
            (Message(role="user", content=f"asked {n}"),),
            said,
            repeats=2,
            document="book",
        )
        for n in range(10)
    ]
    plan = builders.plan(document_general_share=0.5, document_epochs=1)
    mixed, share = document_material.mixed(pieces, answers, olds, Words(), plan)
    assert share == pytest.approx(0.5, abs=0.01)
    old = 5 * sum(example.target == olds[0].target for example in mixed)
    new = sum(each.tokens for each in pieces) + 10 * 2 * 101
    assert old == pytest.approx(new, rel=0.02)


def test_little_general_material_comes_again_but_not_for_ever() -> None:
    pieces = [piece("word " * 100, n) for n in range(10)]
    olds = [builders.old("old", target="four words and more")]
    mixed, share = document_material.mixed(pieces, [], olds, Words(), builders.plan())
    assert sum(not example.text for example in mixed) == document_material.MOST_REPEATS
    assert share < 0.1
    selected = Selected(tuple(pieces), (), "chunk")
    told = document_material.told(selected, pieces, prompts=0, general_share=share)
    assert "General material is only 2%" in told["notes"][-1]
    assert document_material.mixed(pieces, [], [], Words(), builders.plan())[1] == 0.0


def test_what_was_kept_aside_together_stands_and_falls_together() -> None:
    pieces = (piece("a", 1), piece("b", 2))
    for unit, clusters in (
        ("document", ["book", "book"]),
        ("section", ["book#1", "book#2"]),
        ("chunk", ["book#1.0", "book#2.0"]),
    ):
        held, dev = document_material.kept_aside(Selected((), pieces, unit, dev=pieces[:1]))
        assert [example.cluster for example in held] == clusters
        assert [example.cluster for example in dev] == clusters[:1]
