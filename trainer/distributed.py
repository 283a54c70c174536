"""Several processes take one step of training together: each some batches, all the same gradient.

Every process has the whole model and the same rows; of every step each computes its share of the
batches, the gradients are summed over all processes, and each then takes the same optimizer step.
Denominators are those of the whole step, so the processes together do what one would have done
alone. What one of them cannot go on with, a wish to stop included, ends the others at the end of
the same step.

Knows no objective and no schedule. Uses torch.distributed alone: gloo between CPUs, NCCL between
GPUs; the Trainer in each process takes itself for the only one.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import distributed_c10d

from feedback.errors import Invalid, Unavailable
from trainer.packing import Step
from trainer.rows import Row

# What launchers set, and what accelerate would read as an order to wrap the model.
_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
_PATIENCE = timedelta(minutes=30)
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Seat:
    """Which of how many processes this is, and where they meet.

    Attributes:
        rank: 0 is the one that reports and writes.
        size: how many there are.
        meet: makes the store through which they find each other; called once.
        check: raises where another of them is known to have ended; called while waiting.
    """

    rank: int
    size: int
    meet: Callable[[], Any]
    check: Callable[[], None] = lambda: None


def launched() -> Seat | None:
    """The seat that torchrun gave this process; None where it was started alone.

    Its variables are taken out of the environment, so that no library acts on them as well.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local = int(os.environ.get("LOCAL_RANK", rank))
    keep_gpu(local)
    for name in _LAUNCHED:
        os.environ.pop(name, None)
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # torchrun itself hosts the store, other launchers leave that to the first process.
    hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"

    def meet() -> Any:
        return torch.distributed.TCPStore(  # type: ignore[attr-defined]
            address, port, size, is_master=hosts, timeout=_PATIENCE, wait_for_workers=False
        )

    return Seat(rank, size, meet)


def local(folder: Path, rank: int, size: int, check: Callable[[], None] = lambda: None) -> Seat:
    """A seat beside others on this machine, who meet through a file; no port is open to others.

    Args:
        folder: private to them, the same for all.
        rank: of this process.
        size: how many there are.
        check: as in `Seat`.
    """
    loopback = "lo" if sys.platform == "linux" else "lo0"
    for library in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", loopback)

    def meet() -> Any:
        path = str(folder / "store")
        return torch.distributed.FileStore(path, size)  # type: ignore[attr-defined]

    return Seat(rank, size, meet, check)


def keep_gpu(number: int) -> None:
    """Show this process one GPU only, before CUDA is first used: it is `cuda:0` from then on.

    Raises:
        Invalid: there are GPUs, and fewer than that.
    """
    count = torch.cuda.device_count()
    if not count:
        return
    if number >= count:
        raise Invalid(
            f"There are {count} GPUs here, and process {number + 1} of the training has none. Set "
            f"trainer.processes to {count} or less.",
            param="processes",
        )
    shown = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    os.environ["CUDA_VISIBLE_DEVICES"] = shown.split(",")[number]


class Group:
    """The processes that train together; made by `joined`.

    Args:
        rank: this one's number.
        size: how many there are.
        store: what the processes tell each other by.
        reduce: sums a tensor over all processes, in place.
    """

    def __init__(
        self, rank: int, size: int, store: Any, reduce: Callable[[Tensor], object]
    ) -> None:
        self.rank, self.size = rank, size
        self._store, self._all_reduce = store, reduce
        self._steps = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def share(self, step: Step) -> Step:
        """This process's batches of a step.

        Whole batches, since KTO's divergence is a mean over a batch; only where there are fewer
        than processes are those without verdicts cut, which changes no sum. The dearest go first,
        each to the process that has the least to do.
        """
        pieces = list(step)
        while len(pieces) < self.size:
            cuttable = [batch for batch in pieces if len(batch) > 1 and not _judged(batch)]
            if not cuttable:
                break
            largest = max(cuttable, key=_cost)
            at = next(i for i, batch in enumerate(pieces) if batch is largest)
            half = len(largest) // 2
            pieces[at : at + 1] = [largest[:half], largest[half:]]
        loads = [0] * self.size
        owner = [0] * len(pieces)
        for at in sorted(range(len(pieces)), key=lambda i: -_cost(pieces[i])):
            owner[at] = loads.index(min(loads))
            loads[owner[at]] += _cost(pieces[at])
        return [piece for at, piece in enumerate(pieces) if owner[at] == self.rank]

    def sum(
        self,
        weights: Sequence[Tensor],
        numbers: Sequence[float],
        fault: BaseException | None = None,
    ) -> list[float]:
        """Sum the gradients of the weights, and some numbers, over all processes.

        A weight that has a gradient in one process has it in all of them afterwards.

        Args:
            weights: the same in every process, in the same order.
            numbers: as many in every process.
            fault: why this process cannot go on; every process raises then.

        Returns:
            The sums of the numbers.

        Raises:
            Invalid: another process cannot go on; says which, and why.
            Unavailable: another process is gone.
        """
        self._steps += 1
        device = weights[0].device
        faults = [0.0] * self.size
        if fault is not None:
            faults[self.rank] = 1.0
            self._store.set(self._key(self.rank), f"{fault}" or type(fault).__name__)
        has = [float(fault is None and weight.grad is not None) for weight in weights]
        head = torch.tensor([*faults, *has, *numbers], dtype=torch.float32, device=device)
        parts = [
            weight.grad.flatten().float()
            if here and weight.grad is not None
            else torch.zeros(weight.numel(), device=device)
            for weight, here in zip(weights, has, strict=True)
        ]
        flat = torch.cat([head, *parts])
        self._reduce(flat)
        sums: list[float] = flat[: len(head)].tolist()
        self._raise(sums[: self.size], fault)
        at = len(head)
        for weight, count in zip(weights, sums[self.size :], strict=False):
            if count:
                weight.grad = flat[at : at + weight.numel()].view_as(weight).to(weight.dtype)
            at += weight.numel()
        return sums[self.size + len(weights) :]

    def own(self, rows: Sequence[Row]) -> list[Row]:
        """This process's share of the rows whose references are needed."""
        return list(rows[self.rank :: self.size])

    def tell_references(self, rows: Sequence[Row], device: torch.device) -> None:
        """Give all processes the references that each has filled in on its own rows.

        Raises:
            Unavailable: another process is gone.
        """
        known = [row.reference or [0.0] * len(row.branches) for row in rows]
        flat = torch.tensor([v for each in known for v in each], device=device)
        self._reduce(flat)
        values = iter(flat.tolist())
        for row in rows:
            row.reference = [next(values) for _ in row.branches]

    def own_chance(self, seed: int) -> None:
        """Let every process draw its own dropout."""
        torch.manual_seed(seed * 1_000_003 + self.rank)

    def _reduce(self, flat: Tensor) -> None:
        try:
            self._all_reduce(flat)
        except RuntimeError as error:
            raise Unavailable(
                "Another process of this training ended before it was done, so it cannot go on. "
                f"The log of the rounds says why. ({str(error).splitlines()[0]})"
            ) from error

    def _raise(self, faults: Sequence[float], fault: BaseException | None) -> None:
        if fault is not None:
            raise fault
        for rank, failed in enumerate(faults):
            if failed:
                why = self._store.get(self._key(rank)).decode()
                raise Invalid(f"Process {rank} of this training could not go on: {why}")

    def _key(self, rank: int) -> str:
        return f"heed/fault/{self._steps}/{rank}"


@contextmanager
def joined(seat: Seat | None, wait: Callable[[], None]) -> Iterator[Group | None]:
    """Meet the others, and leave them in the end; None where there are none.

    Args:
        seat: of this process.
        wait: called again and again until all are there; may raise to stop waiting.

    Raises:
        Unavailable: the others did not come.
    """
    if seat is None:
        yield None
        return
    try:
        store = seat.meet()
        _meet(store, seat, wait)
        torch.distributed.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            store=distributed_c10d.PrefixStore("heed", store),
            rank=seat.rank,
            world_size=seat.size,
            timeout=_PATIENCE,
        )
    except (RuntimeError, TimeoutError) as error:
        raise Unavailable(
            f"The {seat.size} processes of this training did not find each other: "
            f"{str(error).splitlines()[0]}"
        ) from error
    try:
        yield Group(seat.rank, seat.size, store, torch.distributed.all_reduce)
    finally:
        torch.distributed.destroy_process_group()


def _meet(store: Any, seat: Seat, wait: Callable[[], None]) -> None:
    """Look now and then, so that a process that fails to start is noticed, and a wish to stop."""
    store.set(f"heed/here/{seat.rank}", "yes")
    while not store.check([f"heed/here/{rank}" for rank in range(seat.size)]):
        wait()
        seat.check()
        time.sleep(_LOOK_SECONDS)


def _judged(batch: Sequence[Row]) -> bool:
    return any(row.kind == "verdict" for row in batch)


def _cost(batch: Sequence[Row]) -> int:
    return len(batch) * max(row.tokens for row in batch)
