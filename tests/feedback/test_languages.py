"""The language of a text, and its model, which is loaded once however many ask."""

import threading
from typing import Any

import pytest

from feedback import languages

MEANWHILE_SECONDS = 0.3


def test_languages_are_told_and_a_word_is_too_little() -> None:
    assert languages.language("Was kostet die große Lampe bei Ihnen im Laden?") == "de"
    assert languages.language("How do I bring the broken chair back to your shop?") == "en"
    assert languages.language("ok") == languages.UNCLEAR


def test_who_asks_while_the_model_is_loaded_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[threading.Thread] = []

    def load(path: Any, *, norm_probs: bool) -> object:
        begun.append(threading.Thread(target=languages.preload))
        if len(begun) == 1:
            begun[0].start()  # somebody else asks meanwhile
            begun[0].join(MEANWHILE_SECONDS)
        return object()

    from py3langid.langid import LanguageIdentifier

    monkeypatch.setattr(LanguageIdentifier, "from_model_file", load)
    languages._identifier.cache_clear()
    try:
        languages.preload()
        begun[0].join(30)
        assert len(begun) == 1
    finally:
        languages._identifier.cache_clear()
