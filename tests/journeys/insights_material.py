"""What the Insights page is looked at with: three weeks of people who vote, complain and correct."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from feedback import ids
from feedback import ledger as kept
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests import builders
from tests.clicks import clicks
from tests.trainer.test_ledger import PAIRS, pair
from trainer import ledger
from trainer.evidence import Paired
from trainer.models import Round

DAY_SECONDS = 86_400.0
DAYS = 21
HOSTILE = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "<svg/onload=window.ran=1>",
    "</title></svg><script>window.ran = 1</script>",
    "</textarea><script>window.ran = 1</script>",
    "${window.ran=1} {{constructor.constructor('window.ran=1')()}}",
    '"><i onmouseover=window.ran=1>',
]
LAMPS = ("What does the lamp number {} cost in dollars?", "Wie viel kostet die große Lampe {}?")
CHAIRS = "When is the wooden chair number {} delivered to my house?"


def filled(folder: FeedbackSettings, patch: pytest.MonkeyPatch) -> dict[str, str]:
    """Fill a fresh database with three weeks that end now.

    Returns:
        Ids to look for: `receipt` of hostile feedback, `round` that forgot, `clean` that did not.
    """
    store = Store(folder)
    schema.upgrade(store)
    now = datetime.now(UTC).timestamp()
    named: dict[str, str] = {}
    for day in range(DAYS):
        _pretend(patch, now - (DAYS - 1 - day) * DAY_SECONDS)
        _day(store, day)
    patch.undo()
    asked = [builders.exchange(question=text, who=f"mallory-{text}") for text in HOSTILE]
    abouts = [each.id for each in asked]
    builders.record(store, *asked)
    tolds = [
        builders.told(
            f"mallory-{text}",
            completion_id=about,
            rating="down",
            reasons=[text],
            comment=f"{text} the lamp costs dollars",
        )
        for about, text in zip(abouts, HOSTILE, strict=True)
    ]
    named["receipt"] = builders.tell(store, *tolds)[-1]
    _signals(store)
    named["clean"] = _judged(store, PAIRS[:5])
    hostile = pair(HOSTILE[0], True, False, suite=HOSTILE[1])
    named["round"] = _judged(store, [*PAIRS, hostile])
    store.close()
    return named


def _pretend(patch: pytest.MonkeyPatch, at: float) -> None:
    """Let ids and what is written down be of another day."""
    patch.undo()
    clock = SimpleNamespace(time=lambda: at, time_ns=lambda: int(at * 1e9))
    patch.setattr(ids, "time", clock)
    patch.setattr(kept, "time", clock)


def _day(store: Store, day: int) -> None:
    """Satisfaction grows; complaints are about prices, later about deliveries too."""
    adapter = "base" if day < DAYS // 2 else "adp_second"
    exchanges, tolds = [], []
    for number in range(4 + day % 3):
        who = f"p{(day * 3 + number) % 25}"
        question = (LAMPS[number % 2] if number < 3 else CHAIRS).format(day)
        made = builders.exchange(who=who, question=question, adapter_id=adapter)
        fields: dict[str, Any] = {"rating": "up"}
        if (number * 7 + day) % 10 > 2 + day // 3:
            fields = {"rating": "down", "reasons": ["Out of date", "Wrong"][number // 2 % 2 :]}
            if number % 2:
                fields = {"correction": f"It costs {50 + day} dollars."}
        exchanges.append(made)
        tolds.append(builders.told(who, completion_id=made.id, **fields))
    builders.record(store, *exchanges)
    said = builders.tell(store, *tolds)
    corrected = [at for at, each in enumerate(tolds) if each.submission.correction]
    if corrected and day % 4:
        decision = ("accept", "refuse", "edit")[day % 4 - 1]
        more: dict[str, Any] = {}
        if decision == "edit":
            more = {"correction": "It costs 60 dollars."}
        builders.decide(store, said[corrected[0]], decision, **more)


def _judged(store: Store, pairs: list[Paired]) -> str:
    """A round in the ledger; nothing is promoted, so the server has nothing to change over to."""
    made = builders.published(store)
    assert made.round_id is not None
    with store.session(write=True) as session:
        ledger.write(session, session.get_one(Round, made.round_id), made, pairs)
        session.commit()
    return made.round_id


def _signals(store: Store) -> None:
    made = clicks(1, answers=150, people=20)
    exchanges = [
        builders.exchange(who=who, question=f"What of {number}?")
        for number, who in enumerate(made.people)
    ]
    names = [each.id for each in exchanges]
    builders.record(store, *exchanges)
    tolds = []
    for name, who, seen, liked in zip(
        names, made.people, made.signals, made.satisfied, strict=True
    ):
        vote = "up" if liked else "down"
        tolds.append(builders.told(who, completion_id=name, rating=vote))
        tolds += [
            builders.told(who, completion_id=name, signal=signal, value=value)
            for signal, value in seen.items()
        ]
    builders.tell(store, *tolds)
