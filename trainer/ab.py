"""Any two versions side by side, for as long as somebody wants to look. Decides nothing.

The registry's rows, read another way: the deployment's second version is not on its way to everybody, so
nothing happens by itself; the comparison is the canary's.
"""

from sqlmodel import Session, col, select

from feedback.errors import Conflict, Invalid
from feedback.settings import PROJECT
from trainer import registry
from trainer.models import Deployment

BASE = "base"
"""What stands for the base model, which is no adapter and has no row."""


def start(
    session: Session, first: str, second: str, *, share: float, actor: str, reason: str
) -> Deployment:
    """Let `first` answer everybody but a share of the people, whom `second` answers. The caller commits.

    Raises:
        Invalid: the two are the same, or the share is none.
        NotFound: no adapter has this id.
        Conflict: one was refused by the gate, or a canary is being watched.
    """
    if first == second:
        raise Invalid(f"{first} cannot be compared with itself; name two versions.", param="b")
    if not 0 < share < 1:
        raise Invalid("The share lies above 0 and below 1; 0.5 sees most.", param="share")
    for name in (first, second):
        if name != BASE and registry.get(session, name).state == "rejected":
            raise Conflict(f"Adapter {name} was refused by the gate and is not deployed.")
    current = registry.live(session)
    if current is not None and current.canary_id is not None and current.mode != "ab":
        raise Conflict(
            f"{current.canary_id} is the canary now, and a third version would blur what is learned "
            "of it. Wait until it goes or stays (`heed canary`), or take it away "
            "(`heed adapters rollback`)."
        )
    if second == BASE:  # which cannot be named in a deployment, only left out
        first, second, share = second, first, 1 - share
    return registry.deploy(
        session,
        current,
        live_id=None if first == BASE else first,
        canary_id=second,
        canary_share=share,
        mode="ab",
        actor=actor,
        reason=reason,
    )


def stop(session: Session, *, actor: str, reason: str) -> Deployment:
    """End the comparison: what was live before it is live again. The caller commits.

    Raises:
        Conflict: none is running, or somebody deployed at the same moment.
    """
    current = registry.live(session)
    if current is None or current.canary_id is None or current.mode != "ab":
        raise Conflict("No A/B comparison is running; `heed adapters list` shows what is live.")
    query = select(Deployment).where(Deployment.project_id == PROJECT, Deployment.mode != "ab")
    before = session.exec(query.order_by(col(Deployment.generation).desc()).limit(1)).first()
    return registry.deploy(
        session,
        current,
        live_id=before.live_id if before else None,
        actor=actor,
        reason=reason,
    )
