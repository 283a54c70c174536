"""Rows of a store that has seen a lot, made up: who asked what, and what was said of it.

Everything follows from its number, so that the same store is made each time. Knows no database.
"""

import json
import random
import time
from collections.abc import Iterator
from typing import Any

from feedback import trust
from feedback.ids import new_ids
from feedback.ledger import Event, Kept
from feedback.settings import PROJECT

ROUNDS, PEOPLE, PROMPTS = 50, 5000, 20_000
REGENERATED = 20
"""Every so manieth answer is asked for again by the same person."""
TURNS = 3
_DAY_SECONDS = 86_400.0
_EXCHANGE = (
    *("id", "project_id", "conversation_id", "turn", "origin", "person_id", "people_key_id"),
    *("model", "adapter_id", "base_hash", "messages", "prompt_hash", "choices", "sampling", "tags"),
    *("prompt_tokens", "completion_tokens", "state", "created_at"),
)

Table = tuple[str, tuple[str, ...], list[tuple[Any, ...]]]


class Rows:
    """So many exchanges, one a second until now, of which every second one has feedback.

    Args:
        exchanges: how many.
        harvestable: votes that the next round would claim.
        review: corrections that wait for a reviewer; as many as those votes unless told.
    """

    def __init__(self, exchanges: int, harvestable: int, review: int | None = None) -> None:
        self._begun = time.time() - exchanges
        said = exchanges // 2
        kinds = ["waiting"] * harvestable
        kinds += ["review"] * (harvestable if review is None else review)
        kinds += ["signal", "used"] * ((said - len(kinds)) // 2 + 1)
        random.Random(0).shuffle(kinds)
        self._kinds = kinds

    def people(self, number: int) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """The columns and rows of the people, who came one after the other."""
        columns = ("id", "project_id", "key_id", "first_seen_at")
        since = self._begun - 2 * _DAY_SECONDS
        return columns, [
            (_person(each), PROJECT, "key", since - each * _DAY_SECONDS / 50)
            for each in range(number)
        ]

    def between(self, first: int, end: int) -> Iterator[Table]:
        """The tables, columns and rows of exchanges by number, in the order to insert them."""
        exchanges = [self._exchange(number) for number in range(first, end)]
        yield "exchange", _EXCHANGE, exchanges
        spoken = range(first + first % 2, end, 2)
        ids = iter(new_ids("fbk", 2 * len(spoken)))
        pairs = [pair for number in spoken for pair in self._said(number, ids)]
        yield "feedback", Event._fields, [event for event, _ in pairs]
        yield "receipt", Kept._fields, [kept for _, kept in pairs]

    def _exchange(self, number: int) -> tuple[Any, ...]:
        asked = _asked(number)
        prompt = asked * 7919 % PROMPTS
        question = f"What about {_words(prompt, 12)}, and why?"
        messages = [{"role": "user", "content": question}]
        answer = f"It is number {number}: {_words(number, 60)}."
        choices = [{"text": answer, "finish_reason": "stop"}]
        return (
            *(_name(number), PROJECT, f"conversation {asked // TURNS}", asked % TURNS + 1, "chat"),
            *(_person(_who(number)), "key", "heed", f"adp_{number % ROUNDS}", "b" * 64),
            *(json.dumps(messages), f"{prompt:064x}", json.dumps(choices), "{}", "{}"),
            *(30, 60, "complete", self._begun + number),
        )

    def _said(self, number: int, ids: Iterator[str]) -> Iterator[tuple[tuple[Any, ...], Kept]]:
        """What was said of one exchange: a vote or a signal, and beside half of the votes both."""
        kind = self._kinds[number // 2]
        luck = random.Random(number)
        happy = luck.random() < 0.6
        if kind == "signal" or luck.random() < 0.5:
            told = {"signal": "dwell", "value": luck.lognormvariate(2 + happy, 1)}
            yield self._row(number, next(ids), told)
        if kind != "signal":
            vote: dict[str, Any] = {"rating": "up" if happy == (luck.random() < 0.9) else "down"}
            if kind == "review":
                vote = {"correction": f"It is {number}."}
            yield self._row(number, next(ids), vote, kind)

    def _row(
        self, number: int, name: str, told: dict[str, Any], kind: str = "signal"
    ) -> tuple[tuple[Any, ...], Kept]:
        rating = float(told["rating"] == "up") if "rating" in told else None
        at = self._begun + number
        event = Event(
            id=name,
            event_id=name,
            body_hash="0" * 64,
            exchange_id=_name(number),
            conversation_id=None,
            choice=0,
            person_id=_person(_who(number)),
            key_id="key",
            rating=rating,
            correction=told.get("correction"),
            preferred_over=None,
            signal=told.get("signal"),
            told_at=at,
            received_at=at,
            project_id=PROJECT,
            body={},
        )
        teaches = trust.teaches(rating, event.correction, None)
        kept = Kept(name, "waiting", "Waits for the next round.", at, teaches=teaches)
        if kind == "review":
            kept = kept._replace(status="review", reason="Waits for a reviewer.")
        elif kind == "used":
            kept = kept._replace(
                status="used", reason="Learned.", round_id=f"rnd_{number % ROUNDS}"
            )
        return (*event[:-1], json.dumps(told)), kept


def _asked(number: int) -> int:
    """The number of the exchange whose question this one repeats, mostly its own."""
    return number - 1 if number % REGENERATED == REGENERATED - 1 else number


def _who(number: int) -> int:
    return (_asked(number) // TURNS) * 2_654_435_761 % 4_294_967_291 % PEOPLE


def _person(number: int) -> str:
    return f"per_{number:032x}"


def _name(number: int) -> str:
    return f"chatcmpl_{number:026d}"


def _words(number: int, count: int) -> str:
    """Words that look drawn by chance, of a few thousand."""
    found, state = [], number * 2 + 1
    for _ in range(count):
        state = state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407 & 0xFFFFFFFFFFFFFFFF
        found.append(f"word{(state >> 33) % 3000}")
    return " ".join(found)
