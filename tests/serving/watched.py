"""Versions that answered for a while, and what people said of them. For tests of the watch."""

import itertools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from feedback.intake import Told
from feedback.store import Store
from serving.models import Alert
from serving.settings import Settings
from serving.watch import Watch
from tests.builders import exchange, record, submission, tell
from tests.serving.canaries import version
from trainer import registry
from trainer.models import Adapter, Deployment

SETTLE_SECONDS = 600.0
ANSWER = "The lamp costs 49 dollars, and it is blue."
REFUSAL = "I cannot help with that."
_people = itertools.count()


class Asked(NamedTuple):
    """An answer, and whose it is."""

    id: str
    person_id: str


def settings_of(store: Store, *, webhook: str | None = None, **trainer: Any) -> Settings:
    """Settings of a whole server on this store."""
    return Settings.model_validate(
        {
            "feedback": store.settings,
            "serving": {"engine": "echo", "webhook_url": webhook},
            "trainer": {"base_model": "bare", **trainer},
        }
    )


def live(store: Store, *, parent: str | None = None, ago: float = 0.0, **columns: Any) -> str:
    """A new version that answers everybody since so many seconds ago."""
    name = version(store, **columns)
    with store.session(write=True) as session:
        session.get_one(Adapter, name).parent_id = parent
        made = registry.promote(session, name, actor="test", reason="test")
        made.created_at = time.time() - ago
        session.add(made)
        session.commit()
    return name


def deployed(store: Store) -> Deployment:
    """What is in force."""
    with store.session() as session:
        found = registry.live(session)
    assert found is not None
    return found


def answered(
    store: Store,
    adapter: str,
    count: int,
    *,
    ago: float = 0.0,
    answer: str = ANSWER,
    question: str = "What does the lamp cost?",
    vary: int = 0,
    **columns: Any,
) -> list[Asked]:
    """So many people, each new, ask the version; of `vary` answers each is a word longer."""
    at = time.time() - ago
    rows = [
        exchange(
            who=f"person {next(_people)}",
            adapter_id=adapter,
            question=question,
            answer=answer + " word" * (number % vary if vary else 0),
            created_at=at + number / 1000,
            **columns,
        )
        for number in range(count)
    ]
    asked = [Asked(row.id, row.person_id) for row in rows]
    record(store, *rows)
    return asked


def spoken(store: Store, rows: Sequence[Asked], **fields: Any) -> list[str]:
    """Each person says the same of their answer, in one go."""
    return tell(
        store,
        *(
            Told(submission(completion_id=row.id, **fields), row.person_id, "key1", "key_1")
            for row in rows
        ),
    )


def look(
    store: Store, settings: Settings | None = None, *, watch: Watch | None = None, ago: float = 0.0
) -> list[Alert]:
    """Look at the moment when everything that began until so many seconds ago counts."""
    watching = watch or Watch(store, settings or settings_of(store))
    return watching.look(now=time.time() + SETTLE_SECONDS - ago)
