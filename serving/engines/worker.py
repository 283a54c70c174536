"""The thread that computes: takes what waits, steps what runs, hands out what is new.

Nothing waits for a batch to fill, nor to end unless the decoder takes nobody meanwhile. Knows
nothing of HTTP, of chat templates or (until it runs) of torch.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from feedback.errors import HeedError, NotFound, Unavailable
from serving.engines.answer import Answer, Outbox
from serving.engines.base import BASE

if TYPE_CHECKING:
    from serving.engines.decoder import Decoder

log = logging.getLogger(__name__)

_STOPPED = "The engine has stopped. Ask again in a moment."


class Worker(threading.Thread):
    """Owns the decoder from its making to its end.

    Args:
        build: makes the decoder, on this thread.
        max_batch: rows in flight at once.
        max_batch_tokens: newcomers wait while the rows in flight times the longest of them would
            exceed this, as far as lengths can be told; so memory for keys and values stays in
            bounds. A single row may exceed it.
    """

    def __init__(
        self, build: "Callable[[], Decoder]", *, max_batch: int, max_batch_tokens: int
    ) -> None:
        super().__init__(name="heed-engine", daemon=True)
        self.built: Future[Decoder] = Future()
        self._build = build
        self._max_batch = max_batch
        self._max_batch_tokens = max_batch_tokens
        self._wake = threading.Condition()
        # What follows is shared, under `_wake`, …
        self._stopping = False
        self._waiting: deque[Answer] = deque()
        self._loads: list[tuple[str, Callable[[Decoder], None], Future[None]]] = []
        self._loaded: set[str] = {BASE}
        self._leaving: dict[str, list[Future[None]]] = {}
        self._users: Counter[str] = Counter()
        # … and this belongs to the thread.
        self._running: list[Answer] = []
        self._outbox = Outbox()

    @property
    def alive(self) -> bool:
        """Whether requests are taken."""
        return self.is_alive() and not self._stopping

    @property
    def running(self) -> int:
        """Answers being made."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Answers not begun."""
        return len(self._waiting)

    def loaded(self) -> frozenset[str]:
        """Adapters that new requests may name, ``base`` not among them."""
        with self._wake:
            return frozenset(self._loaded - {BASE})

    def submit(self, answer: Answer) -> None:
        """Queue an answer; from here on its adapter stays until it has ended.

        Raises:
            NotFound: its adapter is not loaded.
            Unavailable: the worker has stopped.
        """
        with self._wake:
            self._check_alive()
            if answer.adapter not in self._loaded:
                raise NotFound(
                    f"Adapter {answer.adapter} is not loaded here. Name another model, or ask "
                    "again once it has been loaded.",
                    param="model",
                )
            self._users[answer.adapter] += 1
            self._waiting.append(answer)
            self._wake.notify()

    def cancel(self, answer: Answer) -> None:
        """Nobody reads this answer any more: free its place before the next step."""
        with self._wake:
            answer.cancelled = True
            self._wake.notify()

    def load(self, adapter_id: str, adopt: "Callable[[Decoder], None]") -> "Future[None]":
        """Run `adopt` between two steps; unless it raises, requests may then name the adapter.

        Raises:
            Unavailable: the worker has stopped.
        """
        done: Future[None] = Future()
        with self._wake:
            self._check_alive()
            self._loads.append((adapter_id, adopt, done))
            self._wake.notify()
        return done

    def unload(self, adapter_id: str) -> "Future[None]":
        """Refuse new requests for an adapter at once, drop it when its last answer has ended."""
        gone: Future[None] = Future()
        with self._wake:
            if self.alive and (adapter_id in self._loaded or adapter_id in self._leaving):
                self._loaded.discard(adapter_id)
                self._leaving.setdefault(adapter_id, []).append(gone)
                self._wake.notify()
                return gone
        _settle(gone)
        return gone

    def stop(self) -> None:
        """End after the step in progress; everything queued or in flight gets `Unavailable`."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def run(self) -> None:
        """The thread: build, then turn after turn until stopped."""
        try:
            decoder = self._build()
        # Told to whoever waits for the start, who decides what it means.
        except BaseException as error:  # noqa: BLE001
            self.built.set_exception(error)
            return
        self.built.set_result(decoder)
        try:
            while not self._stopping:
                try:
                    self._turn(decoder)
                # No failure may leave a reader waiting for ever, or the next request unanswered.
                except Exception as error:
                    log.exception("the engine failed; all its answers end with it")
                    decoder.clear()
                    self._fail(self._running, error)
        finally:
            try:
                decoder.clear()
            finally:
                self._close()

    def _turn(self, decoder: "Decoder") -> None:
        """One round: changes of adapters, newcomers, one step for all."""
        with self._wake:
            self._wake.wait_for(self._due)
            if self._stopping:
                return
            loads, self._loads = self._loads, []
        for load in loads:
            self._adopt(decoder, *load)
        self._end(decoder, [answer for answer in self._running if answer.cancelled])
        newcomers = self._admit(decoder)
        if newcomers:
            try:
                decoder.join(newcomers)
            # A prompt that cannot be computed costs those who came with it, nobody else.
            except Exception as error:
                log.exception("prompts failed; %d answers end with it", len(newcomers))
                self._fail(newcomers, error)
            else:
                self._running += newcomers
                self._hand_out(decoder, newcomers)
        if self._running:
            decoder.step()
            self._hand_out(decoder, self._running)
        self._drop_unused(decoder)
        self._outbox.send()

    def _due(self) -> bool:
        unused = any(not self._users[adapter] for adapter in self._leaving)
        return bool(self._stopping or self._running or self._waiting or self._loads or unused)

    def _adopt(
        self,
        decoder: "Decoder",
        adapter_id: str,
        adopt: "Callable[[Decoder], None]",
        done: "Future[None]",
    ) -> None:
        try:
            if adapter_id not in self._loaded and adapter_id not in self._leaving:
                adopt(decoder)
        # Belongs to whoever waits for the load, not to the answers in flight.
        except Exception as error:  # noqa: BLE001
            _settle(done, error)
            return
        with self._wake:
            self._loaded.add(adapter_id)
            # Wanted again before its last answer ended: then it stays.
            unloads = self._leaving.pop(adapter_id, [])
        for future in [*unloads, done]:
            _settle(future)

    def _admit(self, decoder: "Decoder") -> list[Answer]:
        """Take from the queue, in order, what fits beside the rows in flight."""
        newcomers: list[Answer] = []
        most = decoder.prefill_tokens
        widest = max((answer.expected_tokens for answer in self._running), default=0)
        longest = 0
        with self._wake:
            while self._waiting and len(self._running) + len(newcomers) < self._max_batch:
                first = self._waiting[0]
                if first.cancelled:
                    self._users[self._waiting.popleft().adapter] -= 1
                    continue
                if not decoder.takes(first, newcomers):
                    break
                widest = max(widest, first.expected_tokens)
                longest = max(longest, len(first.prompt))
                rows = len(self._running) + len(newcomers) + 1
                if rows > 1 and rows * widest > self._max_batch_tokens:
                    break
                if newcomers and most is not None and (len(newcomers) + 1) * longest > most:
                    break
                newcomers.append(self._waiting.popleft())
        return newcomers

    def _hand_out(self, decoder: "Decoder", answers: Sequence[Answer]) -> None:
        """Put what each answer's newest token adds into the outbox; end those that are done."""
        ended = []
        for answer in answers:
            item = answer.next_chunk()
            if isinstance(item, HeedError) or item.finish_reason:
                ended.append(answer)
            elif not item.text:
                continue
            self._outbox.put(answer, item)
        self._end(decoder, ended)

    def _end(self, decoder: "Decoder", answers: Sequence[Answer]) -> None:
        if answers:
            decoder.leave(answers)
            self._release(answers)

    def _fail(self, answers: Sequence[Answer], error: Exception) -> None:
        for answer in answers:
            # One for each: an exception that several tasks raise collects all their tracebacks.
            failure = Unavailable(f"The engine failed while answering ({error}). Ask again.")
            self._outbox.put(answer, failure)
        self._release(answers)
        self._outbox.send()

    def _release(self, answers: Sequence[Answer]) -> None:
        gone = set(answers)
        self._running = [answer for answer in self._running if answer not in gone]
        with self._wake:
            self._users.subtract(answer.adapter for answer in gone)

    def _drop_unused(self, decoder: "Decoder") -> None:
        with self._wake:
            unused = [adapter for adapter in self._leaving if not self._users[adapter]]
            futures = [future for adapter in unused for future in self._leaving.pop(adapter)]
        for adapter in unused:
            decoder.bank.remove(adapter)
        for future in futures:
            _settle(future)

    def _close(self) -> None:
        with self._wake:
            self._stopping = True
            lost = [*self._running, *self._waiting]
            self._running, self._waiting = [], deque()
            loads, self._loads = self._loads, []
            leaving, self._leaving = self._leaving, {}
            self._loaded = {BASE}
        for answer in lost:
            self._outbox.put(answer, Unavailable(_STOPPED))
        self._outbox.send()
        for _, _, done in loads:
            _settle(done, Unavailable(_STOPPED))
        for futures in leaving.values():
            for gone in futures:
                _settle(gone)

    def _check_alive(self) -> None:
        if not self.alive:
            raise Unavailable("The engine is not running. Start it, or ask again in a moment.")


def _settle(future: "Future[None]", error: Exception | None = None) -> None:
    """Resolve a future, unless whoever waited for it has gone."""
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
