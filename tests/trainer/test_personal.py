"""Personal data never reaches what a model learns from."""

from feedback.settings import FeedbackSettings
from tests.builders import ANSWER, old, word
from trainer.material import Gathered
from trainer.personal import redacted_material

MAIL = "ana@mail.example"
PLAIN = FeedbackSettings()


def gathered(**fields: object) -> Gathered:
    empty = {"words": (), "past": (), "past_for_judging": (), "general": (), "protected": ()}
    return Gathered(**{**empty, **fields})  # type: ignore[arg-type]


def test_what_is_asked_is_learned_with_placeholders() -> None:
    asked = word(question=f"I am {MAIL}. What does the lamp cost?", correction=ANSWER)
    [made] = redacted_material(gathered(words=(asked,)), PLAIN).words
    assert made.messages[0]["content"] == "I am <EMAIL>. What does the lamp cost?"
    assert made.correction == ANSWER


def test_an_answer_that_holds_personal_data_is_not_learned_and_its_receipt_can_say_why() -> None:
    words = (
        word("fbk_corrected", correction=f"Write to {MAIL}."),
        word("fbk_liked", answer=f"You are {MAIL}, from 10.1.2.3.", rating=1.0),
        word("fbk_stored", correction="Write to <EMAIL>."),
        word("fbk_wrong", answer=f"You are {MAIL}.", correction="I do not know who you are."),
    )
    made = redacted_material(gathered(words=words), PLAIN)
    assert made.personal == {
        "fbk_corrected": ("EMAIL",),
        "fbk_liked": ("EMAIL", "IP"),
        "fbk_stored": ("EMAIL",),
    }
    [kept] = made.words
    assert (kept.feedback_id, kept.answer) == ("fbk_wrong", "You are <EMAIL>.")


def test_what_is_public_is_learned() -> None:
    told = word(correction="Write to help@shop.example.")
    settings = FeedbackSettings(redaction_keep=["@shop.example"])
    made = redacted_material(gathered(words=(told,)), settings)
    assert made.words == (told,) and made.personal == {}


def test_what_was_remembered_before_the_setting_is_redacted_too() -> None:
    olds = (
        old("asked", question=f"I am {MAIL}. And the lamp?"),
        old("told", target=f"You are {MAIL}."),
    )
    made = redacted_material(gathered(past=olds, past_for_judging=olds, general=olds), PLAIN)
    for kept in (made.past, made.past_for_judging, made.general):
        assert [each.id for each in kept] == ["asked"]
        assert kept[0].messages[0]["content"] == "I am <EMAIL>. And the lamp?"


def test_with_the_setting_off_nothing_is_touched() -> None:
    material = gathered(words=(word(correction=f"Write to {MAIL}."),))
    off = PLAIN.model_copy(update={"redaction": "off"})
    assert redacted_material(material, off) == material
