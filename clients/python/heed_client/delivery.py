"""Delivers what waits in the queue: gathers, posts, keeps what was refused. Does no I/O itself."""

import json
import logging
import time
from collections.abc import Callable, Sequence

from heed_client.backoff import Retry
from heed_client.disk_queue import DiskQueue, Parcel
from heed_client.errors import HeedError, Unavailable, is_temporary
from heed_client.file_lock import FileLock
from heed_client.models import Delivered, Refusal
from heed_client.posting import Posting, Postponed, Refused, Result, Taken
from heed_client.steps import Pause, Rest, Steps, do, wait

log = logging.getLogger("heed_client")

LOOK_SECONDS = 30.0
"""How often an idle client looks for what another process left behind."""
_TURN_SECONDS = 0.02

OnRefused = Callable[[Refusal], None]
OnTaken = Callable[[str, str], None]


class Delivery:
    """Empties a queue.

    Args:
        queue: where it waits.
        retry: how long to wait after a failure.
        linger_seconds: how long to gather before a batch is sent.
        on_refused: told of each piece of feedback that the server will never take.
        on_taken: told of each that it took: its event id, and the feedback's id.
    """

    def __init__(
        self,
        queue: DiskQueue,
        retry: Retry,
        *,
        linger_seconds: float,
        on_refused: OnRefused | None,
        on_taken: OnTaken | None,
    ) -> None:
        self._queue = queue
        self._retry = retry
        self._linger_seconds = linger_seconds
        self._on_refused = on_refused
        self._on_taken = on_taken
        self._posting = Posting()

    def forever(self) -> Steps[None]:
        """Deliver whatever comes, until a wait is told not to go on; then once more, at once."""
        tries = 0
        going_on = yield from wait(Pause(self._linger_seconds))
        while going_on:
            tally = _Tally()
            try:
                yield from self._pass(tally, until_seconds=None)
                tries = 0
                going_on = yield from wait(Rest(LOOK_SECONDS))
                going_on = going_on and (yield from wait(Pause(self._linger_seconds)))
            except HeedError as fault:
                tries = 1 if tally.settled else tries + 1
                seconds = self._retry.queue_seconds(tries, fault)
                log.warning(
                    "feedback stays queued in %s; trying again in %.1f s: %s",
                    self._queue.folder,
                    seconds,
                    fault.message,
                )
                going_on = yield from wait(Pause(seconds))
        try:
            yield from self._pass(_Tally(), until_seconds=time.monotonic())
        except HeedError as fault:
            log.warning("closed; what remains stays in %s: %s", self._queue.folder, fault.message)

    def flush(self, timeout_seconds: float) -> Steps[Delivered]:
        """Deliver all that waits now, again and again for so long.

        Raises:
            HeedError: why something still waits; it stays on the disk.
        """
        until_seconds = time.monotonic() + timeout_seconds
        tally = _Tally()
        tries = 0
        while True:
            tries += 1
            try:
                yield from self._pass(tally, until_seconds=until_seconds)
                return Delivered(sent=tally.sent, refused=tally.refused)
            except HeedError as fault:
                seconds = self._retry.queue_seconds(tries, fault)
                if not is_temporary(fault) or time.monotonic() + seconds > until_seconds:
                    fault.add_note(f"What was not delivered stays in {self._queue.folder}.")
                    raise
            yield from wait(Pause(seconds))

    def _pass(self, tally: "_Tally", *, until_seconds: float | None) -> Steps[None]:
        turn = yield from self._turn(until_seconds)
        if turn is None:
            return
        try:
            highest = yield from do(self._queue.seal)
            while (parcel := (yield from do(lambda: self._queue.take(highest)))) is not None:
                yield from self._deliver(parcel, tally)
        finally:
            turn.release()

    def _turn(self, until_seconds: float | None) -> Steps[FileLock | None]:
        """Wait until nobody else delivers; None where this client is closing."""
        while (turn := (yield from do(self._queue.try_to_deliver))) is None:
            if until_seconds is not None and time.monotonic() > until_seconds:
                raise Unavailable("Another client is still delivering what waits in this queue.")
            # Whoever waits for a flush looks often; the background need not.
            seconds = self._linger_seconds if until_seconds is None else _TURN_SECONDS
            if not (yield from wait(Pause(max(seconds, _TURN_SECONDS)))):
                return None
        return turn

    def _deliver(self, parcel: Parcel, tally: "_Tally") -> Steps[None]:
        results = yield from self._posting.post(parcel.lines)
        refused = [
            _refusal(line, result.fault)
            for line, result in zip(parcel.lines, results, strict=True)
            if isinstance(result, Refused)
        ]
        again, fault = _again(parcel.lines, results)
        kept = [refusal.model_dump_json().encode() for refusal in refused]
        yield from do(lambda: self._queue.settle(parcel, again=again, refused=kept))
        tally.add(results, refused)
        self._report(parcel.lines, results, refused)
        if fault is not None:
            raise fault

    def _report(
        self, lines: Sequence[bytes], results: Sequence[Result], refused: Sequence[Refusal]
    ) -> None:
        for refusal in refused:
            log.warning(
                "feedback %s was refused for good (%s) and is kept in %s: %s",
                refusal.event_id,
                refusal.status,
                self._queue.folder,
                refusal.message,
            )
        try:
            if self._on_refused is not None:
                for refusal in refused:
                    self._on_refused(refusal)
            if self._on_taken is not None:
                for line, result in zip(lines, results, strict=True):
                    if isinstance(result, Taken):
                        self._on_taken(json.loads(line)["event_id"], result.feedback_id)
        except Exception:
            # The application's own fault, in a thread that it does not see, and nothing is lost.
            log.exception("on_refused or on_taken failed")


class _Tally:
    """What has been settled so far."""

    def __init__(self) -> None:
        self.sent = 0
        self.refused: list[Refusal] = []

    @property
    def settled(self) -> int:
        return self.sent + len(self.refused)

    def add(self, results: Sequence[Result], refused: Sequence[Refusal]) -> None:
        self.sent += sum(isinstance(result, Taken) for result in results)
        self.refused += refused


def line_of(kept: bytes) -> bytes:
    """Return the line that was sent, from what is kept of one that was refused."""
    event = Refusal.model_validate_json(kept).event
    if isinstance(event, str):
        return event.encode()
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def _again(
    lines: Sequence[bytes], results: Sequence[Result]
) -> tuple[list[bytes], HeedError | None]:
    """Return what to queue once more, what has failed last, so that it holds nobody up."""
    put_off = [
        (result.fault, line)
        for line, result in zip(lines, results, strict=True)
        if isinstance(result, Postponed)
    ]
    put_off.sort(key=lambda each: each[0] is not None)
    fault = next((fault for fault, _ in put_off if fault is not None), None)
    return [line for _, line in put_off], fault


def _refusal(line: bytes, fault: HeedError) -> Refusal:
    try:
        event = json.loads(line)
        json.dumps(event, ensure_ascii=False).encode()  # half a surrogate pair cannot be kept
    except (ValueError, RecursionError):
        event = None
    return Refusal(
        event=event if isinstance(event, dict) else line.decode(errors="replace"),
        status=fault.status,
        message=fault.message,
        param=fault.param,
        code=fault.code,
        refused_at=time.time(),
    )
