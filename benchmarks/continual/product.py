"""Heed as it is: exchanges and feedback written down, reviewers who decide, and a round.

Nothing is simulated but the people and the HTTP between them and the store. What a round learns,
rehearses, holds out and judges is decided by the product, not here.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from sqlmodel import col, update

from benchmarks.continual.asking import Asked
from benchmarks.continual.methods import Learned, Method, Work, plan
from benchmarks.continual.tasks import Check, Lesson, Stream, user
from feedback import harvest, intake, review, trust
from feedback.errors import HeedError, Invalid
from feedback.ids import new_id
from feedback.intake import Taken, Told
from feedback.models import Exchange, Person
from feedback.settings import FeedbackSettings
from feedback.store import Store
from feedback.submission import Submission
from serving import schema
from trainer import learner, registry
from trainer import round as rounds
from trainer.base_folder import base_hash, resolve
from trainer.learner import Trained
from trainer.settings import TrainerSettings

DAY_SECONDS = 86_400.0
KEY = "key"
REVIEWER = "reviewer"


def learn(method: Method, work: Work) -> Learned:
    """People talk to the live model and say what they think; then a round runs.

    Raises:
        Invalid: the round failed; says why.
    """
    settings = FeedbackSettings(data_dir=work.folder / "data", **method.feedback)
    store = Store(settings)
    try:
        schema.upgrade(store)
        if work.number == 1:
            _old_accounts(store, work.stream)
        work.report(0.0, "people talk to the model")
        task = work.stream.tasks[work.number - 1]
        lessons = given(task.lessons, work.ways)
        said = _say(store, lessons, _answered(store, lessons, work.threads))
        work.report(0.1, "a round runs")
        started = time.process_time()
        opened = _open(store, method, work)
        if opened is None:
            notes = {"feedback": said, "state": "nothing to learn from"}
            return Learned(live(store)[1], notes=notes)
        with training() as trained:
            state = rounds.run(store, settings, opened)
        cpu_seconds = time.process_time() - started
        with store.session() as session:
            row = rounds.get(session, opened)
        if state in ("failed", "cancelled"):
            raise Invalid(f"Round {work.number} of {work.stream.name} {state}: {row.message}")
        report = row.report or {}
        return Learned(
            live(store)[1],
            train_cpu_seconds=sum(seconds for seconds, _ in trained),
            cpu_seconds=cpu_seconds,
            tokens=sum(done.tokens for _, done in trained),
            steps=sum(done.steps for _, done in trained),
            examples=sum(row.counts.get("examples", {}).values()),
            notes={
                "feedback": said,
                "state": state,
                "gate": report.get("outcome"),
                "gate_summary": report.get("summary"),
                "caught": len(report.get("caught", ())),
                "counts": {key: row.counts.get(key) for key in ("used", "held_out", "retired")},
            },
        )
    finally:
        store.close()


def given(lessons: Sequence[Lesson], ways: int | None) -> list[Lesson]:
    """The lessons, or only the first so many about each thing."""
    seen: dict[str, int] = {}
    found = []
    for lesson in lessons:
        seen[lesson.about] = seen.get(lesson.about, 0) + 1
        if ways is None or seen[lesson.about] <= ways:
            found.append(lesson)
    return found


def live(store: Store) -> tuple[str | None, Path | None]:
    """The adapter that answers people now, and its folder."""
    with store.session() as session:
        deployment = registry.live(session)
        if deployment is None or deployment.live_id is None:
            return None, None
        adapter = registry.get(session, deployment.live_id)
    return adapter.id, registry.folder(store.settings.data_dir, adapter.digest)


@contextmanager
def training() -> Iterator[list[tuple[float, Trained]]]:
    """Watch what training costs, from outside: CPU seconds and what came of it, a call each."""
    seen: list[tuple[float, Trained]] = []
    real = learner.train

    def train(*arguments: Any, **options: Any) -> Trained:
        started = time.process_time()
        done = real(*arguments, **options)
        seen.append((time.process_time() - started, done))
        return done

    with mock.patch.object(learner, "train", train):
        yield seen


def _answered(
    store: Store, lessons: Sequence[Lesson], threads: int | None
) -> list[tuple[str, str | None]]:
    """What each person gets to see, and which adapter says it: the live one, or the one before it."""
    found: dict[int, tuple[str, str | None]] = {}
    for late in (False, True):
        places = [place for place, lesson in enumerate(lessons) if lesson.late == late]
        if not places:
            continue
        speaker, folder = _before(store) if late else live(store)
        answers = Asked(folder, threads=threads).answers([lessons[place] for place in places])
        found |= {place: (answer, speaker) for place, answer in zip(places, answers, strict=True)}
    return [found[place] for place in range(len(lessons))]


def _before(store: Store) -> tuple[str | None, Path | None]:
    """The adapter that the live one continues, and its folder."""
    live_id, _ = live(store)
    if live_id is None:
        return None, None
    with store.session() as session:
        before = registry.get(session, live_id).parent_id
        if before is None:
            return None, None
        return before, registry.folder(
            store.settings.data_dir, registry.get(session, before).digest
        )


def _say(
    store: Store, lessons: Sequence[Lesson], answered: Sequence[tuple[str, str | None]]
) -> dict[str, int]:
    """Write down what was answered and what people say of it; reviewers decide on their part."""
    base = base_hash(resolve("starter"))
    made = [
        _exchange(lesson, answer, speaker, base)
        for lesson, (answer, speaker) in zip(lessons, answered, strict=True)
    ]
    spoken = [
        (lesson, _told(lesson, answer, exchange))
        for lesson, (answer, _), exchange in zip(lessons, answered, made, strict=True)
        if lesson.said != "nothing"
    ]
    tolds = [told for _, told in spoken]
    with store.session(write=True) as session:
        _taken(intake.apply(session, made, store.settings))
        results = _taken(intake.apply(session, tolds, store.settings))
        session.commit()
    decided = 0
    with store.session(write=True) as session:
        for (lesson, told), result in zip(spoken, results, strict=True):
            if not lesson.reviewed or told.submission.correction is None:
                continue
            review.decide(
                session,
                store.settings,
                feedback_id=result.receipt.feedback_id,
                decision="accept" if lesson.true else "refuse",
                reviewer=REVIEWER,
            )
            decided += 1
        session.commit()
    corrections = sum(told.submission.correction is not None for told in tolds)
    return {"corrections": corrections, "thumbs": len(tolds) - corrections, "reviewed": decided}


def _told(lesson: Lesson, answer: str, exchange: Exchange) -> Told:
    """A correction where the answer is not as wanted, else a thumb."""
    liked = lesson.check.passes(answer)
    up = liked if lesson.said == "correction" else liked == lesson.true
    said: dict[str, Any] = {"rating": "up" if up else "down"}
    if lesson.said == "correction" and not liked:
        said = {"correction": lesson.wanted}
    return Told(
        Submission(completion_id=exchange.id, **said),
        person_id=exchange.person_id,
        people_key_id=KEY,
        key_id=exchange.key_id,
    )


def _exchange(lesson: Lesson, answer: str, live_id: str | None, base: str) -> Exchange:
    asked = lesson.messages[-1]["content"]
    return Exchange(
        id=new_id("chatcmpl"),
        person_id=_person(lesson.person),
        people_key_id=KEY,
        key_id=_person(lesson.person),
        model="heed",
        adapter_id=live_id or "base",
        base_hash=base,
        messages=[dict(message) for message in lesson.messages],
        prompt_hash=hashlib.sha256(asked.encode()).hexdigest(),
        choices=[{"text": answer, "finish_reason": "stop"}],
        sampling={},
        tags={},
        prompt_tokens=len(asked.split()),
        completion_tokens=len(answer.split()),
        created_at=time.time(),
    )


def _old_accounts(store: Store, stream: Stream) -> None:
    """Let everybody have asked something days ago, one after the other: nobody is a newcomer."""
    if not stream.accounts:
        return
    base = base_hash(resolve("starter"))
    with store.session(write=True) as session:
        greetings = []
        for number, name in enumerate(stream.accounts):
            hello = Lesson(user("hello"), name, "hello", "Hello!", Check("hello"))
            greeting = _exchange(hello, hello.wanted, None, base)
            greeting.created_at -= _age_seconds(number)
            greetings.append(greeting)
        _taken(intake.apply(session, greetings, store.settings))
        for number, name in enumerate(stream.accounts):
            session.connection().execute(
                update(Person)
                .where(col(Person.id) == _person(name))
                .values(first_seen_at=time.time() - _age_seconds(number))
            )
        session.commit()


def _age_seconds(number: int) -> float:
    return 30 * DAY_SECONDS + 3_600.0 * number


def _open(store: Store, method: Method, work: Work) -> str | None:
    """Open a round; None where nothing is accepted yet."""
    settings = TrainerSettings(**plan(method, work).model_dump())
    with store.session(write=True) as session:
        trust.settle(session, store.settings)
        if not harvest.available(session):
            session.commit()
            return None
        opened = rounds.open(session, store.settings, settings, trigger="benchmark")
        session.commit()
        return opened.id


def _taken(results: Sequence[Any]) -> list[Taken]:
    for result in results:
        if isinstance(result, HeedError):
            raise result
    return [result for result in results if result is not None]


def _person(name: str) -> str:
    return "per_" + hashlib.sha256(name.encode()).hexdigest()[:32]
