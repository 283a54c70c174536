"""Canaries in a database: two versions, people of either, and what they say. For tests."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

from feedback.ids import new_id
from feedback.store import Store
from serving.routing import Route
from serving.settings import Settings
from tests.builders import exchange as an_exchange
from tests.builders import person, record, recorded, tell, told
from trainer import ab, registry
from trainer.models import Adapter, Deployment

BEGAN_SECONDS_AGO = 300.0


def settings_of(store: Store, **trainer: Any) -> Settings:
    """Settings of a whole server on this store."""
    return Settings.model_validate(
        {
            "feedback": store.settings,
            "serving": {"engine": "echo"},
            "trainer": {"base_model": "bare", "canary_minimum_people": 5, **trainer},
        }
    )


def version(store: Store, *, state: str = "candidate", round_id: str | None = None) -> str:
    """An adapter's row."""
    name = new_id("adp")
    with store.session(write=True) as session:
        session.add(
            Adapter(
                id=name,
                state=state,
                round_id=round_id,
                digest=name,
                base_model="echo",
                base_hash="b" * 64,
                created_at=time.time(),
            )
        )
        session.commit()
    return name


def canary(store: Store, *, share: float = 0.5, round_id: str | None = None) -> Deployment:
    """A canary beside a live version, for some minutes now."""
    live, new = version(store), version(store, round_id=round_id)
    with store.session(write=True) as session:
        registry.promote(session, live, actor="test", reason="first")
        made = registry.promote(session, new, actor="test", reason="next", canary_share=share)
        made.created_at = time.time() - BEGAN_SECONDS_AGO
        session.add(made)
        session.commit()
    return made


def compared(store: Store, *, share: float = 0.5) -> Deployment:
    """An A/B comparison of two versions, for some minutes now."""
    first, second = version(store), version(store)
    with store.session(write=True) as session:
        made = ab.start(session, first, second, share=share, actor="test", reason="which?")
        made.created_at = time.time() - BEGAN_SECONDS_AGO
        session.add(made)
        session.commit()
    return made


def assigned(deployed: Deployment) -> Iterator[tuple[str, str]]:
    """(name, the version that is theirs), of one person after the other, without end."""
    route = Route(
        live=deployed.live_id or "base",
        canary=deployed.canary_id,
        canary_share=deployed.canary_share,
    )
    for number in itertools.count():
        yield f"person {number}", route.adapter_for(person(f"person {number}"))


def of_each(deployed: Deployment, count: int) -> list[tuple[str, str]]:
    """So many people of either version, in turn."""
    everybody = assigned(deployed)
    olds: list[tuple[str, str]] = []
    news: list[tuple[str, str]] = []
    while len(olds) < count or len(news) < count:
        who, adapter = next(everybody)
        (news if adapter == deployed.canary_id else olds).append((who, adapter))
    return [each for pair in zip(olds[:count], news[:count], strict=True) for each in pair]


def asked(store: Store, who: str, adapter: str, **columns: Any) -> str:
    """One answered question of theirs."""
    return recorded(store, who=who, adapter_id=adapter, **columns)


def vote(store: Store, people: list[tuple[str, str]], rating: dict[str, str]) -> None:
    """Everybody asks and votes as their version's rating says, all in one go."""
    exchanges = [an_exchange(who=who, adapter_id=adapter) for who, adapter in people]
    ids = [each.id for each in exchanges]
    record(store, *exchanges)
    votes = [
        told(who, completion_id=name, rating=rating[adapter])
        for name, (who, adapter) in zip(ids, people, strict=True)
    ]
    tell(store, *votes)
