"""The vote in force: derived from the events, never stored. Pure.

One vote per (exchange, choice, person, kind), the last by (time told, event id), so that late,
doubled and disordered delivery end in the same state.
"""

from collections.abc import Iterable

from feedback.models import Feedback

KINDS = ("rating", "correction", "preferred_over", "signal", "survey", "comment")


def kinds(feedback: Feedback) -> tuple[str, ...]:
    """Return what a delivery says: `signal:copy` and `signal:dwell` are different kinds."""
    return tuple(
        f"signal:{feedback.signal}" if kind == "signal" else kind
        for kind in KINDS
        if feedback.body.get(kind) is not None
    )


def superseded(events: Iterable[Feedback]) -> dict[str, str]:
    """Return each feedback id of which nothing is in force any more, with the id that replaced it.

    A delivery that said several things is replaced only once all of them have been said again.
    """
    ordered = sorted(events, key=lambda event: (event.told_at, event.event_id))
    last: dict[tuple[object, ...], str] = {}
    for event in ordered:
        for kind in kinds(event):
            last[_slot(event, kind)] = event.id
    return {
        event.id: last[_slot(event, kinds(event)[0])]
        for event in ordered
        if kinds(event) and all(last[_slot(event, kind)] != event.id for kind in kinds(event))
    }


def _slot(event: Feedback, kind: str) -> tuple[object, ...]:
    return event.exchange_id, event.conversation_id, event.choice, event.person_id, kind
