"""The vote in force: derived from the events, never stored. Pure.

One vote per (exchange, choice, person, kind), the last by (time told, event id), so that late,
doubled and disordered delivery end in the same state.
"""

from collections.abc import Iterable, Sequence

from feedback.models import Feedback

KINDS = ("rating", "correction", "preferred_over", "signal", "survey", "comment", "reasons")
VOTES = ("rating", "correction", "preferred_over")
"""What teaches. A remark beside a vote does not keep the vote once that was cast anew."""


def kinds(feedback: Feedback) -> tuple[str, ...]:
    """Return what a delivery says: `signal:copy` and `signal:dwell` are different kinds."""
    return tuple(
        f"signal:{feedback.signal}" if kind == "signal" else kind
        for kind in KINDS
        if feedback.body.get(kind) is not None
    )


def superseded(events: Iterable[Feedback]) -> dict[str, str]:
    """Return each feedback id of which nothing is in force any more, with the id that replaced it.

    A delivery that held several votes is replaced only once all of them have been cast again; one
    that held none, once everything has been said again.
    """
    ordered, last = _last(events)
    return {
        event.id: last[_slot(event, _counted(event)[0])]
        for event in ordered
        if _counted(event) and all(last[_slot(event, kind)] != event.id for kind in _counted(event))
    }


def in_force(events: Iterable[Feedback]) -> dict[str, frozenset[str]]:
    """Return for each feedback id the kinds that nobody has said again since."""
    ordered, last = _last(events)
    return {
        event.id: frozenset(kind for kind in kinds(event) if last[_slot(event, kind)] == event.id)
        for event in ordered
    }


def _last(events: Iterable[Feedback]) -> tuple[list[Feedback], dict[tuple[object, ...], str]]:
    ordered = sorted(events, key=lambda event: (event.told_at, event.event_id))
    return ordered, {_slot(event, kind): event.id for event in ordered for kind in kinds(event)}


def _counted(event: Feedback) -> Sequence[str]:
    said = kinds(event)
    return [kind for kind in said if kind in VOTES] or said


def _slot(event: Feedback, kind: str) -> tuple[object, ...]:
    return event.exchange_id, event.conversation_id, event.choice, event.person_id, kind
