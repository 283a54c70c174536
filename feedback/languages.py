"""The language that a text is written in. Knows no database and no slice."""

import threading
from functools import lru_cache
from typing import Any

UNCLEAR = "unclear"
"""The language of a text too short to tell."""
_SURE = 0.8
_MOST_CHARACTERS = 1_000
"""More of a text says nothing new of its language, and takes its time."""
_loading = threading.Lock()


def language(text: str) -> str:
    """The language of a text (ISO 639-1), or `UNCLEAR` for one of a word or two.

    langid (Lui and Baldwin 2012, https://aclanthology.org/P12-3005/), as py3langid has it.
    """
    text = text[:_MOST_CHARACTERS]
    code, sure = _model().classify(text)
    return str(code) if sure >= _SURE and len(text) > 2 else UNCLEAR


def preload() -> None:
    """Load the model, which takes half a second of a processor."""
    _model()


def _model() -> Any:
    with _loading:  # the cache alone would let everybody who asks meanwhile load it too
        return _identifier()


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
