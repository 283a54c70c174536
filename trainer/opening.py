"""How a round comes to be open: one at most, with its plan frozen. Knows nothing of what it does."""

import time
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from feedback.errors import Conflict
from feedback.ids import new_id
from feedback.settings import PROJECT
from trainer import pending, registry, starting
from trainer.models import Round
from trainer.progress import LEASE_SECONDS
from trainer.settings import TrainerSettings

DOCUMENTS = "documents"
"""How the trigger of a round begins that learns from documents."""
OF_FEEDBACK = ~col(Round.trigger).startswith(DOCUMENTS)
"""Rounds that learn from feedback: when the last of those was decides when the next one is due."""


def current(session: Session) -> Round | None:
    """Return the open round, if there is one."""
    return session.exec(select(Round).where(Round.open_slot == PROJECT)).first()


def vacant(session: Session) -> None:
    """Refuse where a round is open, or waits for reviewers.

    Raises:
        Conflict: names it.
    """
    running = current(session)
    if running is not None:
        raise Conflict(
            f"Round {running.id} is open ({running.stage}); wait for it, or end it with "
            f"`heed round cancel {running.id}`. If its process has died, `heed round run` goes on "
            f"with it {LEASE_SECONDS:.0f} seconds later, and a server does by itself."
        )
    pending.vacant(session)


def insert(
    session: Session,
    settings: TrainerSettings,
    *,
    trigger: str,
    counts: dict[str, Any] | None = None,
) -> Round:
    """Insert a round with its frozen plan, whatever it is to learn from. The caller commits.

    Raises:
        Conflict: one was opened at this moment, or what it should start from cannot be used.
    """
    live_id = registry.live_id(session)
    plan = settings.plan()
    start_from = starting.resolve(session, plan.start_from, live_id=live_id)
    opened = Round(
        id=new_id("rnd"),
        trigger=trigger,
        plan=plan.model_copy(update={"start_from": start_from}).model_dump(mode="json"),
        counts=counts or {},
        incumbent_id=live_id,
        created_at=time.time(),
        message="Waits for its process.",
    )
    session.add(opened)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict("Another round was opened at this moment.") from error
    return opened
