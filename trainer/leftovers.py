"""What rounds make on the disk before it counts, and who clears it away. No torch.

A round works below ``work/``: what it has half made, and the checkpoints from which it goes on when
its process died. Neither is needed once it has ended.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from feedback.store import Store
from trainer import checkpoints
from trainer.models import Round


def clear(store: Store, round_id: str) -> None:
    """Remove what a round that has ended left; one that is open keeps what it goes on from."""
    with store.session() as session:
        row = session.get(Round, round_id)
    if row is not None and row.state != "open":
        for each in _work(store.settings.data_dir, round_id):
            shutil.rmtree(each, ignore_errors=True)


def clear_others(data_dir: Path, round_id: str) -> None:
    """Remove what any other round left below ``work/``: only one is open at a time."""
    mine = set(_work(data_dir, round_id))
    for each in _work(data_dir, "rnd_"):
        if each not in mine:
            shutil.rmtree(each, ignore_errors=True)


def unstage(data_dir: Path, round_id: str) -> None:
    """Remove what a round has half made, and leave its checkpoints: it makes the rest anew."""
    for each in _work(data_dir, round_id):
        if each != checkpoints.folder(data_dir, round_id):
            shutil.rmtree(each, ignore_errors=True)


def _work(data_dir: Path, begin: str) -> Iterator[Path]:
    """The folders of rounds whose id begins so; an id is of fixed width."""
    return (data_dir / "work").glob(f"{begin}*")
