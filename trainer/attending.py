"""An open round that no process runs: it is gone on with, or ended. Starts no process itself.

Where a server schedules it asks here at every tick; a command that sees to a round asks too. The
lease decides who runs it, so nothing is lost where both start a process.
"""

from pathlib import Path

from sqlmodel import Session

from feedback.store import Store
from trainer import faults, lease
from trainer import round as rounds
from trainer.models import Round
from trainer.settings import Plan


def unattended(store: Store, session: Session) -> Round | None:
    """Return the open round, where no process runs it."""
    found = rounds.current(session)
    return found if found is not None and lease.is_free(store, session, "round") else None


def goes_on(
    store: Store,
    session: Session,
    found: Round,
    *,
    starts: int,
    most_attempts: int,
    log: Path,
    killed: bool = False,
) -> bool:
    """Whether a process should be started for a round; one that should run no more is ended.

    The caller commits, and clears away what an ended one left (`leftovers.clear`).

    Args:
        found: any round.
        starts: how often the caller has started a process for it: one that dies before it takes
            the lease counts as no attempt by itself.
        most_attempts: after so many it is given up.
        log: where its processes wrote.
        killed: the last of them was ended by SIGKILL.
    """
    if found.state != "open" or not lease.is_free(store, session, "round"):
        return False
    tries = max(found.attempts, starts)
    if not found.cancel_requested and tries < most_attempts:
        return True
    lease.bar(store, session, "round")
    if found.cancel_requested:
        rounds.close(session, found, "cancelled", "Cancelled by hand.")
    else:
        told = f"Its process died {tries} times; {log} says more."
        if killed:
            told = f"{told} {_of_a_kill(found)}"
        rounds.close(session, found, "failed", told)
    return False


def _of_a_kill(found: Round) -> str:
    trains = found.stage == "train"
    advice = faults.room(Plan.model_validate(found.plan) if trains else None)
    return f"It was killed (SIGKILL), as the kernel does where memory runs out. {advice}"
