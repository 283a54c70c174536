"""Ana and ben, who said the same things; a round that learned from both; and where ana still is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlmodel import SQLModel

from feedback import review
from feedback.ids import new_id
from feedback.models import Receipt
from feedback.people import PeopleKey
from feedback.store import Store
from serving.auth import audit
from serving.forgetting import forget
from tests import builders
from trainer import snapshot
from trainer.answered import Answered
from trainer.examples import Example, Message
from trainer.models import Adapter, Deployment, PastExample, Retirement, Round

CANARY = "zanzibar-4711"
"""Stands in everything that ana says or is told, and nowhere else."""


@dataclass
class Life:
    """Ana, who said many things, and ben, who said as many; a round learned from both."""

    store: Store
    people: PeopleKey
    round_id: str
    adapter: Adapter
    child: Adapter
    said: dict[str, str]
    """Feedback ids by what they are."""

    def forget(self, user: str = "ana", *, dry_run: bool = False) -> dict[str, Any]:
        return forget(self.store, self.people, user, actor="test", dry_run=dry_run).to_json()

    @property
    def folder(self) -> Path:
        return self.store.settings.data_dir / "snapshots" / self.round_id

    def places(self) -> list[str]:
        """Where the canary or ana's keyed hash still is: tables, and files byte by byte."""
        words = [CANARY, *self.people.traceable("ana")]
        found = []
        with self.store.session() as session:
            for table in SQLModel.metadata.sorted_tables:
                rows = repr(session.execute(table.select()).all())
                found += [f"{table.name}: {word}" for word in words if word in rows]
        for path in self.store.settings.data_dir.rglob("*"):
            if path.is_file():
                content = path.read_bytes().decode("latin-1")
                found += [f"{path.name}: {word}" for word in words if word in content]
        return found


def lived(store: Store, people: PeopleKey) -> Life:
    def exchange(who: str, text: str, **columns: Any) -> str:
        made = builders.exchange(
            question=f"{text}?",
            answer=f"{text}!",
            person_id=people.person_id(f"user:{who}"),
            people_key_id=people.id,
            tags={"note": text},
            **columns,
        )
        name = made.id
        builders.record(store, made)
        return name

    def tell(who: str, about: str | None, text: str, **fields: Any) -> str:
        told = builders.told(completion_id=about, event_id=f"{text}-{new_id('evt')}", **fields)
        told = replace(told, person_id=people.person_id(f"user:{who}"))
        return builders.tell(store, told)[0]

    said = {}
    for who, text in (("ana", CANARY), ("ben", "harmless")):
        about = exchange(who, text, conversation_id=f"talk {text}")
        exchange(who, f"{text} unrated")
        said[who] = tell(who, about, text, correction=f"{text} corrected", comment=text)
        said[f"{who} up"] = tell(who, exchange(who, f"{text} liked"), text, rating="up")
    mine = exchange("ben", "ben's own")
    hers = exchange("ana", f"{CANARY} again")
    said["of hers"] = tell("ben", hers, "harmless", comment=f"I think {CANARY} is right")
    said["rather"] = tell("ben", mine, "harmless", preferred_over=hers)
    said["session"] = builders.tell(
        store,
        builders.told(
            "anybody",
            conversation_id=f"talk {CANARY}",
            survey={"who?": CANARY},
            completion_id=None,
        ),
    )[0]
    with store.session(write=True) as session:
        for who in ("ana", "ben"):
            review.decide(
                session,
                store.settings,
                feedback_id=said[who],
                decision="edit",
                reviewer="rita",
                correction=f"{CANARY} edited" if who == "ana" else "ben edited",
                reason=CANARY if who == "ana" else "fine",
            )
        audit(session, actor="rita", action="prompt.read", subject=people.person_id("user:ana"))
        session.commit()
    round_id, adapter, child = learned(store, people, said)
    return Life(store, people, round_id, adapter, child, said)


def learned(store: Store, people: PeopleKey, said: dict[str, str]) -> tuple[str, Adapter, Adapter]:
    """A round that was promoted and learned from both, and one that came after it."""
    adapter = builders.published(store, state="retired")
    child = builders.published(store, parent=adapter.id, state="live")
    assert adapter.round_id is not None
    examples = [
        Example(
            kind="demonstration",
            messages=(Message(role="user", content=f"{text}?"),),
            target=f"{text} edited",
            feedback_ids=(said[who],),
            cluster=people.person_id(f"user:{who}"),
        )
        for who, text in (("ana", CANARY), ("ben", "ben"))
    ]
    rehearsed = Example(
        kind="demonstration",
        messages=(Message(role="user", content=CANARY),),
        target=CANARY,
        source="general",
        cluster=people.person_id("user:ana"),
    )
    folder = store.settings.data_dir / "snapshots" / adapter.round_id
    frozen = snapshot.freeze(folder, [*examples, rehearsed], about={"round": adapter.round_id})
    Answered(store.settings.data_dir / "answered", model="m", max_new_tokens=1).answers(
        [[Message(role="user", content=CANARY)]], lambda asked: [CANARY for _ in asked]
    )
    summary = f"The gate refuses. Lost: “{CANARY}?” (expected “x”, now “y”)."
    with store.session(write=True) as session:
        for who in ("ana", "ben"):
            receipt = session.get_one(Receipt, said[who])
            receipt.status, receipt.round_id = "used", adapter.round_id
            receipt.adapter_id, receipt.role = adapter.id, "demonstration"
            session.add(receipt)
        past = {}
        for example, who in zip(examples, ("ana", "ben"), strict=True):
            past[who] = new_id("pst")
            session.add(
                PastExample(
                    id=past[who],
                    round_id=adapter.round_id,
                    split="train",
                    messages=[{**message} for message in example.messages],
                    target=example.target,
                    feedback_ids=list(example.feedback_ids),
                    cluster=example.cluster,
                    created_at=0,
                )
            )
        session.flush()
        for past_id, target in ((past["ana"], "x"), ("pst_x", f"{CANARY} edited"), ("pst_y", "y")):
            session.add(Retirement(past_id=past_id, round_id=adapter.round_id, new_target=target))
        row = session.get_one(Round, adapter.round_id)
        row.snapshot_sha256 = frozen.sha256
        row.message = summary
        row.report = {
            "outcome": "refuse",
            "summary": summary,
            "rules": [],
            "caught": [
                {
                    "item_id": said["ana"],
                    "prompt": f"{CANARY}?",
                    "expected": CANARY,
                    "incumbent_answer": CANARY,
                    "candidate_answer": CANARY,
                },
                {
                    "item_id": "other",
                    "prompt": "p",
                    "expected": "e",
                    "incumbent_answer": "i",
                    "candidate_answer": "c",
                },
            ],
        }
        session.add(row)
        session.add(
            Deployment(
                id=new_id("dep"),
                generation=1,
                live_id=child.id,
                reason=summary,
                actor=f"round {adapter.round_id}",
                created_at=0,
            )
        )
        session.commit()
    return adapter.round_id, adapter, child
