"""Writes what a format yields into the store, in batches, so that doing it twice changes nothing.

Knows no format. Exchanges and events are named after the source's own ids, a batch is one transaction,
and a row is in one batch: an import that was killed is simply run again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from feedback import intake
from feedback.errors import HeedError, Invalid, TooLarge
from feedback.formats import on_record
from feedback.formats.json_rows import TOO_DEEP
from feedback.formats.records import Chat, Entry, Item, Place, Skipped, Tally, Unusable, Vote
from feedback.formats.texts import size_bytes, strings
from feedback.intake import Taken, Told
from feedback.models import Exchange
from feedback.people import PeopleKey
from feedback.settings import PROJECT, FeedbackSettings
from feedback.store import Store
from feedback.submission import Submission, parse

ORIGIN = "import"
BATCH_ITEMS = 2_000
"""Ids are hashes, so a row touches a page of its own in every index: a large batch shares them. Others
who write wait about a second meanwhile."""
BATCH_BYTES = 8 << 20
CACHE_KIB = 16_384
CHECKPOINT_PAGES = 16_384
"""64 MiB: pages that one batch after the other changes go into the database once."""
MOST_CHAT_BYTES = 1 << 20
"""A conversation beyond this is not taken: no model reads it."""
LOOKUP = 5_000
"""So many ids are asked for at once: databases bind no more than some tens of thousands."""
UNKNOWN = "about an answer that Heed does not know and the file does not hold"


@dataclass(frozen=True)
class Voices:
    """Whose words these are where a file does not say.

    Attributes:
        key: hashes the names of people.
        source: the format: whoever it does not name is one account of this name.
        user: who speaks where the file names nobody, if that is known.
    """

    key: PeopleKey
    source: str
    user: str | None = None

    def of(self, vote: Vote) -> str:
        """Return the keyed hash of who said something: the one they have when they chat here."""
        user = vote.user or self.user
        return self.key.person_id(f"user:{user}" if user else f"import:{self.source}")

    def asker(self, chat: Chat) -> str:
        """Return the keyed hash of who asked.

        Nobody known is not the same as the speaker: an answer that came later to the same person would
        count as liked better than the one before.
        """
        return self.key.person_id(f"user:{chat.user}" if chat.user else f"asked:{self.source}")


def load(
    store: Store,
    settings: FeedbackSettings,
    voices: Voices,
    entries: Iterable[Entry],
    *,
    tally: Tally,
    report: Callable[[Skipped], None],
) -> None:
    """Take everything that a format yields. Commits, batch by batch.

    Args:
        store: where to.
        settings: whose word counts, and how long a text may be.
        voices: turns names into keyed hashes.
        entries: the rows, as a format's module yields them.
        tally: counts what becomes of them, row by row: it holds when this raises, too.
        report: called with every row that is skipped.

    Raises:
        HeedError: the source breaks off or the database does not take it; whole batches stay.
    """
    batch = _Batch(store, settings, voices, tally=tally, report=report)
    try:
        for entry in entries:
            batch.add(entry)
    except Invalid:  # what was read before the fault holds, as its message says
        batch.flush()
        raise
    batch.flush()


@dataclass(frozen=True)
class _Plan:
    """What is to be done with a row.

    Attributes:
        names: the ids of its exchanges by their source ids.
        fresh: how many of them are new.
        gone: why one of them takes nothing more.
        skipped: nothing of it is written.
    """

    names: dict[str, str] = field(default_factory=dict)
    fresh: int = 0
    gone: str | None = None
    skipped: bool = False


class _Batch:
    """Rows on their way into one transaction."""

    def __init__(
        self,
        store: Store,
        settings: FeedbackSettings,
        voices: Voices,
        *,
        tally: Tally,
        report: Callable[[Skipped], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._voices = voices
        self._tally = tally
        self._report = report
        self._items: list[tuple[Item, list[Submission]]] = []
        self._bytes = 0
        # One time for all: rows that do not say when must not seem to follow each other.
        self._now = time.time()

    def add(self, entry: Entry) -> None:
        if isinstance(entry, Skipped):
            self._skip(entry.place, entry.reason, entry.detail)
            return
        try:
            size, said = _checked(entry, self._settings)
        except Unusable as fault:
            self._skip(entry.place, fault.reason, fault.detail)
            return
        except RecursionError:
            self._skip(entry.place, TOO_DEEP)
            return
        self._items.append((entry, said))
        self._bytes += size
        if len(self._items) >= BATCH_ITEMS or self._bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        items, self._items, self._bytes = self._items, [], 0
        if not items:
            return
        try:
            self._write(items)
        except IntegrityError:
            # Another process took some of the same rows at the same moment; now they are seen.
            self._write(items)

    def _write(self, items: Sequence[tuple[Item, list[Submission]]]) -> None:
        with self._store.session(write=True) as session:
            if self._store.is_sqlite:
                for pragma in (
                    f"cache_size=-{CACHE_KIB}",
                    f"wal_autocheckpoint={CHECKPOINT_PAGES}",
                ):
                    session.connection().exec_driver_sql(f"PRAGMA {pragma}")
            known = _known(session, [item for item, _ in items])
            exchanges: list[Exchange] = []
            tolds: list[Told] = []
            plans: list[_Plan] = []
            for item, submissions in items:
                plan = self._plan(item, known, exchanges)
                plans.append(plan)
                if not plan.skipped:
                    tolds += map(self._told, item.votes, submissions, repeat(plan.names))
            results = intake.apply(session, [*exchanges, *tolds], self._settings)
            outcomes = iter(on_record.settled(session, tolds, results[len(exchanges) :]))
            session.commit()
        for (item, submissions), plan in zip(items, plans, strict=True):
            if plan.skipped:
                lacking = next((chat.lacking for chat in item.chats if chat.lacking), UNKNOWN)
                self._skip(item.place, plan.gone or lacking)
            else:
                self._count(item, plan, [next(outcomes) for _ in submissions])

    def _count(self, item: Item, plan: _Plan, outcomes: list[on_record.Outcome]) -> None:
        faults = [each for each in outcomes if isinstance(each, HeedError)]
        if faults:
            self._skip(item.place, on_record.reason(faults[0], plan.gone))
            return
        fresh = plan.fresh
        new = sum(isinstance(each, Taken) and not each.repeated for each in outcomes)
        self._tally.read += 1
        self._tally.exchanges += fresh
        self._tally.feedback += new
        if fresh or new:
            self._tally.imported += 1
        else:
            self._tally.duplicates += 1

    def _skip(self, place: Place, reason: str, detail: str = "") -> None:
        self._tally.skip(reason)
        self._report(Skipped(place, reason, detail))

    def _plan(self, item: Item, known: dict[str, str | None], exchanges: list[Exchange]) -> _Plan:
        """What is to be done with an item; its new exchanges are put to the others."""
        names: dict[str, str] = {}
        made: list[Exchange] = []
        for chat in item.chats:
            name = next((each for each in _candidates(chat) if each in known), None)
            if name is None and chat.answer is None:
                return _Plan(skipped=True)
            if name is None:
                name = exchange_id(chat.source_id)
                if not any(each.id == name for each in made):
                    made.append(self._exchange(chat, name))
            names[chat.source_id] = name
        gone = next(filter(None, map(known.get, names.values())), None)
        if gone:  # nor is anything beside it written anew; a vote that is still on record is known
            return _Plan(names, gone=gone, skipped=gone == on_record.ERASED)
        known.update(dict.fromkeys(each.id for each in made))
        exchanges += made
        return _Plan(names, fresh=len(made))

    def _exchange(self, chat: Chat, name: str) -> Exchange:
        messages = [{**message} for message in chat.messages]
        prompt = json.dumps(messages, sort_keys=True)
        choice: dict[str, Any] = {"text": chat.answer, "finish_reason": "stop"}
        if chat.steps:
            choice["steps"] = list(chat.steps)
        at = self._now if chat.created_at is None else min(chat.created_at, self._now)
        # Every value is of the column's type already, and the ORM never sees this one: checking and
        # tracking it would cost eight times as much, a quarter of an import.
        return Exchange.model_construct(
            id=name,
            conversation_id=chat.conversation_id,
            turn=sum(message["role"] == "user" for message in messages),
            origin=ORIGIN,
            person_id=self._voices.asker(chat),
            people_key_id=self._voices.key.id,
            model=chat.model or "unknown",
            adapter_id=ORIGIN,
            base_hash="",
            messages=messages,
            prompt_hash=hashlib.sha256(prompt.encode()).hexdigest(),
            choices=[choice],
            sampling={},
            tags={"source": chat.source_id},
            prompt_tokens=0,
            completion_tokens=0,
            created_at=at,
        )

    def _told(self, vote: Vote, submission: Submission, names: dict[str, str]) -> Told:
        submission.completion_id = names[vote.about]
        if vote.preferred_over:
            submission.preferred_over = names[vote.preferred_over]
        return Told(
            submission,
            person_id=self._voices.of(vote),
            people_key_id=self._voices.key.id,
            arrived_at=self._now,
        )


@lru_cache(maxsize=8 * BATCH_ITEMS)  # each is asked for several times on its way
def exchange_id(source_id: str) -> str:
    """Return the id of the exchange that a source's answer becomes."""
    return "imp_" + hashlib.sha256(source_id.encode(errors="surrogatepass")).hexdigest()[:40]


def event_id(vote: Vote) -> str:
    """Return the id of the event that a vote becomes.

    A vote that was changed in the source is another event, and the later one counts.
    """
    parts = [vote.source_id, vote.about, vote.said, vote.created_at, vote.preferred_over]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{vote.source_id.partition(':')[0]}:{digest[:40]}"


def _candidates(chat: Chat) -> Iterator[str]:
    yield from chat.completion_ids
    yield exchange_id(chat.source_id)


def _known(session: Session, items: Sequence[Item]) -> dict[str, str | None]:
    """The exchanges that are named and on record, each with why it takes nothing more, if so."""
    named = sorted({name for item in items for chat in item.chats for name in _candidates(chat)})
    known: dict[str, str | None] = {}
    for start in range(0, len(named), LOOKUP):
        query = select(Exchange.id, Exchange.state, Exchange.person_id).where(
            Exchange.project_id == PROJECT, col(Exchange.id).in_(named[start : start + LOOKUP])
        )
        known.update((name, on_record.gone(*what)) for name, *what in session.exec(query))
    return known


def _submission(vote: Vote) -> Submission:
    return parse(
        {
            **vote.said,
            "completion_id": exchange_id(vote.about),
            "preferred_over": exchange_id(vote.preferred_over) if vote.preferred_over else None,
            "event_id": event_id(vote),
            "created_at": vote.created_at,
        }
    )


def _checked(item: Item, settings: FeedbackSettings) -> tuple[int, list[Submission]]:
    """Return about how many bytes a row holds, and what its votes say.

    Raises:
        Unusable: something in it cannot be kept.
    """
    size, said = 0, []
    for chat in item.chats:
        bytes_here = sum(size_bytes(text) for text in _texts(chat))
        if bytes_here > MOST_CHAT_BYTES:
            raise Unusable(f"a conversation of more than {MOST_CHAT_BYTES >> 20} MiB")
        size += bytes_here
    for vote in item.votes:
        size += sum(
            size_bytes(text) for text in strings([vote.source_id, vote.user or "", vote.said])
        )
        try:
            said.append(_submission(vote))
            said[-1].check_texts(settings)
        except TooLarge as fault:
            raise Unusable(f"`{fault.param}` is too long (feedback.max_text_bytes)") from fault
        except HeedError as fault:
            raise Unusable(fault.message) from fault
    return size, said


def _texts(chat: Chat) -> Iterator[str]:
    for name in (chat.source_id, *chat.completion_ids, chat.user, chat.model, chat.answer):
        yield name or ""
    yield chat.conversation_id or ""
    for message in chat.messages:
        yield message["content"]
        if len(message) > 2:  # more than a role and a text: calls of tools
            yield from strings(message)
