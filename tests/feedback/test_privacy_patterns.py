"""What is taken for personal data, and what must be left alone."""

import time

import pytest

from feedback.privacy_patterns import find, iban_holds, luhn
from trainer.starter.pool import general_pool, protected_suite
from trainer.starter.world import shop, small_talk, unknown_questions

# What is between the marks is to be found, nothing else.
PLANTED = [
    ("EMAIL", "write to ⟦ana.lopez+shop@mail.example.co.uk⟧, please"),
    ("EMAIL", "(⟦a@b.io⟧)"),
    ("EMAIL", "mailto:⟦jörg@bücher.example⟧."),
    ("EMAIL", "two: ⟦a.b@c.org⟧;⟦d_e@f-g.net⟧"),
    ("PHONE", "call ⟦+49 30 901820⟧ after five"),
    ("PHONE", "my number is ⟦+1 (415) 555-2671⟧."),
    ("PHONE", "⟦+33612345678⟧"),
    ("PHONE", "or ⟦0049 170 1234567⟧, any time"),
    ("PHONE", "⟦(415) 555-2671⟧ or ⟦415-555-2671⟧"),
    ("PHONE", "⟦06 12 34 56 78⟧ à midi"),
    ("PHONE", "London: ⟦020 7946 0958⟧"),
    ("PHONE", "mobil ⟦0170 1234567⟧"),
    ("CARD", "card ⟦4111 1111 1111 1111⟧ 12/27"),
    ("CARD", "card ⟦5555-5555-5555-4444⟧, cvc 123"),
    ("CARD", "amex ⟦3782 822463 10005⟧"),
    ("CARD", "⟦6011111111111117⟧"),
    ("IBAN", "pay to ⟦DE89 3704 0044 0532 0130 00⟧ by Friday"),
    ("IBAN", "⟦GB29NWBK60161331926819⟧"),
    ("IBAN", "⟦fr14 2004 1010 0505 0001 3m02 606⟧ merci"),
    ("IBAN", "⟦NL91-ABNA-0417-1643-00⟧ BANK 2"),
    ("IP", "from ⟦192.168.17.4⟧."),
    ("IP", "from ⟦2001:db8:85a3::8a2e:370:7334⟧ and ⟦fe80::1ff:fe23:4567:890a⟧"),
    ("SECRET", "my key is ⟦sk-proj-abcdefghijklmnopqrstuv⟧!"),
    ("SECRET", "⟦ghp_abcdefghijklmnopqrstuvwxyz0123456789⟧"),
    ("SECRET", "aws ⟦AKIAIOSFODNN7EXAMPLE⟧ here"),
    ("SECRET", "the password: ⟦hunter2hunter2⟧"),
    ("SECRET", 'api_key="⟦9f8e7d6c5b4a⟧"'),
    ("SECRET", "Authorization: Bearer ⟦abc123def456ghi789⟧"),
    ("SECRET", f"⟦heed_{'aB3_' * 10}xyz⟧"),
    ("SECRET", "⟦eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4⟧"),
    (
        "SECRET",
        "⟦-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----⟧ x",
    ),
]
INNOCENT = [
    "The lamp costs 49 dollars, or 1,299.99 with the stand; $1 299,00 abroad.",
    "Open Monday to Friday 9:00-17:30, Saturday 10 to 14, from 2026-01-31 to 2026-12-24.",
    "Your order 4711-2231 (no. 100200300, #2026-000123) left on 31.01.2026 at 08:15:30.",
    "Order number 1234567890123456 and batch 9999 8888 7777 6666.",
    "ISBN 978-3-16-148410-0, EAN 4006381333931, part 0815-4711, model XR-2000/55.",
    "Version 1.2.3 runs on Python 3.11.4; section 4.1.2.",
    "It weighs 1.250 kg, is 120 x 80 x 75 cm, and takes 3000 mAh at 5 V.",
    "std::vector and a::b are no addresses, and neither is 12:30:45 or 4:3.",
    "Email us, call us, or send an IBAN: we answer within 24 hours @ the shop.",
    "The password is what you chose; forgot your password? A secret ingredient: cinnamon.",
    "My password: never tell. The access token expires after 3600 seconds.",
    "DE89 3704 0044 0532 0130 01 is mistyped, 4111 1111 1111 1112 too.",
    "Between 10 000 and 20 000 people; 0 800 products; 1/2 cup; 50-60 Hz; 24/7.",
    "§ 19 (3) 2, 2 x 250 ml, 03/2027, Q3 2026, 15%, 007, 1e10, 3.14159265358979",
]


@pytest.mark.parametrize(("kind", "marked"), PLANTED)
def test_planted_data_is_found_whole(kind: str, marked: str) -> None:
    text = marked.replace("⟦", "").replace("⟧", "")
    planted = [part.partition("⟧")[0] for part in marked.split("⟦")[1:]]
    found = sorted(find(text))
    assert [text[each.start : each.end] for each in found] == planted
    assert {each.kind for each in found} == {kind}


@pytest.mark.parametrize("text", INNOCENT)
def test_prices_numbers_and_hours_are_left_alone(text: str) -> None:
    assert [(each.kind, text[each.start : each.end]) for each in find(text)] == []


def test_nothing_that_the_starters_world_says_or_is_asked_is_touched() -> None:
    world = shop()
    texts = [
        text
        for key in world.keys
        for text in (
            *world.phrasings(key),
            *world.phrasings(key, held_out=True),
            world.answer(key, "polite"),
            world.answer(key, "curt"),
            *(world.changed({key: other}).answer(key) for other in world.alternatives(key)),
        )
    ]
    texts += [text for pair in small_talk() for text in pair if isinstance(text, str)]
    texts += [str(question) for question in unknown_questions()]
    texts += [row["target"] for row in general_pool()]
    texts += [row["prompt"] + row["expected"] for row in protected_suite()]
    assert len(texts) > 5000
    assert [text for text in texts if find(text)] == []


def test_check_digits_tell_a_number_from_a_slip() -> None:
    assert luhn("4111111111111111") and not luhn("4111111111111112")
    assert iban_holds("DE89370400440532013000") and not iban_holds("DE98370400440532013000")
    assert not iban_holds("DE8937040044053201300") and not iban_holds("ZZ89370400440532013000")


@pytest.mark.parametrize(
    "piece",
    ["a@", "1", "0 ", "1-", "a.", "+1 ", "DE89", ":", "1.", "0170 ", "password ", "eyJ", "(", "-"],
)
def test_a_hostile_text_takes_no_longer_than_its_length(piece: str) -> None:
    text = piece * (65_536 // len(piece))
    began = time.perf_counter()
    find(text)
    assert time.perf_counter() - began < 2.0
