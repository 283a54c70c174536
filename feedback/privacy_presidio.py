"""Personal data as Presidio finds it. Offline: nothing is downloaded, whatever Presidio would like.

Its usual engine fetches a language model, and its recogniser of addresses asks a server for the
list of domains. So the recognisers are listed one by one, all of them work on the text's form, and
what it lacks without the network (addresses, keys) comes from our own patterns. Loaded once needed.
"""

import logging
from functools import cache
from typing import Any

from feedback import privacy_patterns
from feedback.errors import Unavailable
from feedback.privacy_patterns import Span

LANGUAGE = "en"
"""Presidio wants one for each recogniser; these look at no words."""
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "CH", "AT", "NL", "IN", "BR")
"""Where a telephone number may be from that does not name its country."""
LEAST_SCORE = 0.4
"""Below it Presidio itself calls a match weak: a bare number that could be a telephone's."""
_KINDS = {
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "CRYPTO": "CRYPTO",
    "US_SSN": "SSN",
}
_OURS = ("EMAIL", "SECRET")
KINDS = (*_OURS, *_KINDS.values())


def find(text: str) -> list[Span]:
    """Return the personal data in a text; pieces may overlap.

    Raises:
        Unavailable: Presidio is not installed.
    """
    found = [
        Span(result.start, result.end, _KINDS[result.entity_type])
        for result in _analyzer().analyze(
            text, language=LANGUAGE, entities=list(_KINDS), score_threshold=LEAST_SCORE
        )
    ]
    return found + [span for span in privacy_patterns.find(text) if span.kind in _OURS]


@cache
def _analyzer() -> Any:
    try:
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NoOpNlpEngine
        from presidio_analyzer.predefined_recognizers import (
            CreditCardRecognizer,
            CryptoRecognizer,
            IbanRecognizer,
            IpRecognizer,
            PhoneRecognizer,
            UsSsnRecognizer,
        )
    except ImportError as error:
        raise Unavailable(
            "feedback.redactor is `presidio`, which is not installed: pip install 'heed[privacy]'. "
            "Or set it to `patterns`, which needs nothing."
        ) from error
    logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)
    registry = RecognizerRegistry(
        recognizers=[
            CreditCardRecognizer(),
            CryptoRecognizer(),
            IbanRecognizer(),
            IpRecognizer(),
            PhoneRecognizer(supported_regions=REGIONS),
            UsSsnRecognizer(),
        ],
        supported_languages=[LANGUAGE],
    )
    engine = NoOpNlpEngine(models=[{"lang_code": LANGUAGE, "model_name": "none"}])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[LANGUAGE])
