"""Late, doubled and disordered delivery, and the death of whoever writes it down."""

import asyncio
import signal
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlmodel import col, func, select

from feedback import harvest, votes
from feedback.errors import HeedError
from feedback.ids import new_id
from feedback.intake import Intake, Taken, Told
from feedback.models import Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests import builders
from tests.feedback import writer_process

WAIT_SECONDS = 20

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ana", "ben"]),
        st.integers(0, 1),  # which of two completions
        st.sampled_from(["up", "down", "correction", "comment", "copy"]),
        st.integers(0, 3),  # when; equal times are told apart by the event id
    ),
    min_size=1,
    max_size=7,
)


@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, data=st.data())
def test_late_doubled_and_disordered_delivery_ends_in_the_same_state(
    store: Store, events: list[tuple[str, int, str, int]], data: st.DataObject
) -> None:
    indexes = list(range(len(events)))
    doubled = indexes + data.draw(st.lists(st.sampled_from(indexes), max_size=4))
    order = data.draw(st.permutations(doubled))
    cuts = data.draw(st.lists(st.integers(0, len(order)), max_size=3))
    settings = store.settings.model_copy(update={"account_cap_minimum": 100})

    def outcome(delivered: list[int], cuts: list[int]) -> dict[int, tuple[str, bool, str | None]]:
        completions = [builders.recorded(store), builders.recorded(store)]
        run = new_id("run")
        names = {f"{run}-{index}": index for index in indexes}
        said = [_event(events[index], completions, f"{run}-{index}") for index in indexes]
        bounds = [0, *sorted(cuts), len(delivered)]
        for start, end in pairwise(bounds):
            batch = [said[index] for index in delivered[start:end]]
            assert all(isinstance(each, Taken) for each in asyncio.run(deliver(store, batch)))
        with store.session(write=True) as session:
            harvest.claim(session, settings, run)
            rows = session.exec(
                select(Feedback, Receipt)
                .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
                .where(col(Feedback.exchange_id).in_(completions))
            ).all()
            session.commit()
        replaced = votes.superseded([feedback for feedback, _ in rows])
        event_of = {feedback.id: feedback.event_id for feedback, _ in rows}
        return {
            names[feedback.event_id]: (
                receipt.status,
                receipt.round_id is not None,
                event_of[replaced[feedback.id]].removeprefix(run)
                if feedback.id in replaced
                else None,
            )
            for feedback, receipt in rows
        }

    assert outcome(order, cuts) == outcome(indexes, [])


async def deliver(store: Store, batch: list[Told]) -> list[Taken | HeedError]:
    """Hand a batch to an intake of its own, as one request, and the first of it alone as well."""
    taking = Intake(store, store.settings)
    taking.start()
    alone = asyncio.gather(*(taking.take(each) for each in batch[:1]))
    results = await taking.take_all(batch)
    await alone
    await asyncio.to_thread(taking.stop)
    return results


def _event(event: tuple[str, int, str, int], completions: list[str], event_id: str) -> Told:
    who, which, what, when = event
    says: dict[str, Any] = {
        "up": {"rating": "up"},
        "down": {"rating": "down"},
        "correction": {"correction": "It costs 59."},
        "comment": {"comment": "Hm."},
        "copy": {"signal": "copy"},
    }[what]
    return builders.told(
        who,
        completion_id=completions[which],
        event_id=event_id,
        created_at=1_700_000_000 + when,
        **says,
    )


def test_acknowledged_rows_survive_the_death_of_the_writer(
    settings: FeedbackSettings, tmp_path: Path, count: int
) -> None:
    store = Store(settings)
    completion_id = builders.recorded(store)
    for run in range(count):
        process = subprocess.Popen(
            [
                *writer_process.COMMAND,
                store.url.render_as_string(hide_password=False),
                "acknowledge",
                completion_id,
                f"run{run}",
            ],
            cwd=tmp_path,
            env=writer_process.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        acknowledged = {process.stdout.readline().strip() for _ in range(100)}
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")
        acknowledged.update(rest[:-1])  # what comes after the last line end was cut off
        process.stdout.close()
        process.wait(WAIT_SECONDS)
        with store.session() as session:
            stored = set(session.exec(select(Feedback.event_id)))
            receipts = session.exec(select(func.count()).select_from(Receipt)).one()
        assert acknowledged - {""} <= stored
        assert len(acknowledged) >= 100
        assert receipts == len(stored)
    store.close()
