"""What rounds make on the disk before it counts, and who clears it away. No torch.

A round works below ``work/``: what it has half made, and the checkpoints from which it goes on when
its process died. What it publishes counts once its last transaction has written a row for it. None
of this is needed once it has ended, and an adapter that nobody lists is one that nobody forgets.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlmodel import Session

from feedback.store import Store
from trainer import checkpoints, registry
from trainer.models import Round


def clear(store: Store, round_id: str) -> None:
    """Remove what a round that has ended left; one that is open keeps what it goes on from."""
    with store.session() as session:
        row = session.get(Round, round_id)
        if row is None or row.state == "open":
            return
        found = unrecorded(session, store.settings.data_dir, {round_id})
    remove([*_work(store.settings.data_dir, round_id), *found])


def unrecorded(session: Session, data_dir: Path, rounds: Iterable[str]) -> list[Path]:
    """Return the folders of adapters that these rounds published, and that no row names."""
    wanted = set(rounds)
    return [
        each for each in registry.unknown(session, data_dir) if registry.made_by(each) in wanted
    ]


def remove(folders: Iterable[Path]) -> None:
    """Remove folders; one that cannot be is left, and `heed doctor` names an adapter's."""
    for each in folders:
        shutil.rmtree(each, ignore_errors=True)


def clear_others(data_dir: Path, round_id: str) -> None:
    """Remove what any other round left below ``work/``: only one is open at a time."""
    remove(set(_work(data_dir, "rnd_")) - set(_work(data_dir, round_id)))


def unstage(data_dir: Path, round_id: str) -> None:
    """Remove what a round has half made, and leave its checkpoints: it makes the rest anew."""
    remove(set(_work(data_dir, round_id)) - {checkpoints.folder(data_dir, round_id)})


def _work(data_dir: Path, begin: str) -> Iterator[Path]:
    """The folders of rounds whose id begins so; an id is of fixed width."""
    return (data_dir / "work").glob(f"{begin}*")
