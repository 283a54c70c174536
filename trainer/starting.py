"""What a round's training starts from: the live adapter, or a checkpoint that somebody chose.

Knows no training. The gate compares with the live adapter whatever a round started from.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, select

from feedback.errors import Conflict, Invalid
from trainer import registry
from trainer.models import PastExample, Round
from trainer.settings import Plan


@dataclass(frozen=True)
class Start:
    """The adapter that training continues; nothing where it starts from the base model.

    Attributes:
        adapter_id: its id.
        folder: its verified files.
        base_hash: of the base model that it belongs to.
    """

    adapter_id: str | None = None
    folder: Path | None = None
    base_hash: str | None = None

    def check(self, base_hash: str) -> None:
        """Refuse an adapter of another base model.

        Raises:
            Invalid: says which.
        """
        if self.base_hash is not None and self.base_hash != base_hash:
            raise Invalid(
                f"Adapter {self.adapter_id} was made for another base model "
                f"({self.base_hash[:12]}) than the one that is set ({base_hash[:12]}). Set "
                "trainer.base_model back, or start from an adapter of this one.",
                param="start_from",
            )


def resolve(session: Session, wanted: str | None, *, live_id: str | None) -> str | None:
    """Return the adapter that a round opened now starts from, or None for the live one.

    A chosen adapter counts until what is live descends from it: then it has served.

    Args:
        session: of the store.
        wanted: the setting.
        live_id: what is live; None for the base model.

    Raises:
        NotFound: there is no such adapter.
        Conflict: the gate refused it, or starting there would drop what was learned since.
    """
    if wanted is None:
        return None
    chosen = registry.get(session, wanted)
    live = list(registry.lineage(session, live_id))
    if wanted in {each.id for each in live}:
        return None
    if chosen.state == "rejected":
        raise Conflict(f"Adapter {wanted} was refused by the gate; no round starts from it.")
    kept = {each.round_id for each in registry.lineage(session, wanted)}
    lost = {each.round_id for each in live} - kept
    learned = session.exec(
        select(PastExample.round_id).where(col(PastExample.round_id).in_(lost)).distinct()
    ).all()
    if learned:
        raise Conflict(
            f"Adapter {wanted} is older than round(s) {', '.join(sorted(learned))}, from whose "
            "feedback the live one has learned; starting there would drop it. Run `heed pretrain` "
            "again for checkpoints that descend from the live adapter."
        )
    return wanted


def found(session: Session, data_dir: Path, row: Round, plan: Plan) -> Start:
    """Return what an open round starts from, every byte of it verified.

    Raises:
        Invalid: its files are not those that were published.
    """
    adapter_id = plan.start_from or row.incumbent_id
    if adapter_id is None:
        return Start()
    adapter = registry.get(session, adapter_id)
    return Start(adapter_id, registry.verify(data_dir, adapter), adapter.base_hash)
