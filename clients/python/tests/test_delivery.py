"""From the queue to the server: in batches, once each, and what it leaves behind."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import NEVER, UNHURRIED, Make, goes_away, held, many, wait_until
from fake_heed import FakeHeed
from hypothesis import given
from hypothesis import strategies as st

import heed_client
from heed_client import AsyncHeed, Retry, core, posting
from heed_client.delivery import Delivery
from heed_client.disk_queue import DiskQueue
from heed_client.steps import Answer, Ask, Do, Pause, Rest


def test_what_is_enqueued_arrives_by_itself_as_one_batch(make: Make, fake: FakeHeed) -> None:
    heed = make(fake, linger_seconds=0.3)
    event_ids = [heed.enqueue(f"c-{n}", rating="up", user="dora") for n in range(5)]
    wait_until(lambda: set(fake.events) == set(event_ids))
    assert heed.flush().sent == 0
    assert heed.waiting() == 0
    assert sum(fake.batches) == 5
    assert len(fake.batches) < 5
    assert fake.singles == 0


def test_what_comes_within_the_linger_time_is_gathered(make: Make, fake: FakeHeed) -> None:
    heed = make(fake, linger_seconds=1e7)
    for round_ in range(1, 4):
        for number in range(4):
            heed.enqueue(f"c-{number}", rating="up")
        assert heed.flush().sent == 4
        assert fake.batches == [4] * round_


def test_the_background_gathers_before_it_looks_each_time(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path / "queue", max_bytes=1000)
    queue.append([b'{"event_id":"e"}'])
    delivery = Delivery(queue, Retry(), linger_seconds=7, on_refused=None, on_taken=None)
    waits: list[Pause | Rest] = []
    sent = []
    steps = delivery.forever()
    step = next(steps)
    with pytest.raises(StopIteration):
        while True:
            if isinstance(step, Pause | Rest):
                waits.append(step)
                step = steps.send(len(waits) < 4)
            elif isinstance(step, Do):
                step = steps.send(step.work())
            else:
                assert isinstance(step, Ask)
                sent.append(step.content)
                step = steps.send(Answer(200, {}, b'{"status": 201, "id": "fbk_0"}'))
    assert waits == [Pause(7), Rest(30), Pause(7), Rest(30)]
    assert sent == [b'{"event_id":"e"}\n']


def test_a_cancelled_flush_lets_nobody_in_before_the_disk_is_done(
    fake: FakeHeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling, may_settle = threading.Event(), threading.Event()
    settle = DiskQueue.settle

    def slow(*args: Any, **kwargs: Any) -> None:
        settling.set()
        assert may_settle.wait(20)
        settle(*args, **kwargs)

    async def cancelled() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(fake))
        queue = DiskQueue(tmp_path / "queue", max_bytes=1000)
        options: Any = {"queue_dir": queue.folder, "linger_seconds": 1e7, "http_client": http}
        async with http, AsyncHeed("http://heed.test", **options) as heed:
            await heed.enqueue("c", rating="up")
            flush = asyncio.create_task(heed.flush())
            assert await asyncio.to_thread(settling.wait, 20)
            flush.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
            assert not flush.done()
            assert queue.try_to_deliver() is None
            may_settle.set()
            with pytest.raises(asyncio.CancelledError):
                await flush
            assert queue.waiting() == 0
            turn = queue.try_to_deliver()
            assert turn is not None
            turn.release()

    monkeypatch.setattr(DiskQueue, "settle", slow)
    asyncio.run(cancelled())


def test_flush_tells_what_it_achieved(make: Make, fake: FakeHeed, tmp_path: Path) -> None:
    heed = held(make, fake, *many(3))
    assert heed.enqueue_many([]) == []
    fake.up = False
    with pytest.raises(heed_client.Unreachable) as caught:
        heed.flush()
    assert str(tmp_path) in caught.value.__notes__[0]
    fake.up = True
    fake.unknown = {"c-1"}
    done = heed.flush()
    assert done.sent == 2
    assert [refusal.event["completion_id"] for refusal in done.refused] == ["c-1"]


def test_a_server_that_comes_back_gets_everything_once(make: Make, fake: FakeHeed) -> None:
    fake.up = False
    heed = make(fake)
    event_ids = heed.enqueue_many(many(40))
    assert heed.waiting() == 40
    fake.up = True
    wait_until(lambda: heed.waiting() == 0)
    assert set(fake.events) == set(event_ids)
    assert fake.batches == [40]


def test_a_flush_waits_for_a_server_that_is_coming_up(make: Make, fake: FakeHeed) -> None:
    fake.up = False
    heed = make(fake)
    heed.enqueue_many(many(2))
    fake.failures.extend([goes_away] * 20)
    fake.up = True
    heed.flush(timeout_seconds=20)
    assert heed.waiting() == 0
    assert len(fake.events) == 2


def test_no_batch_is_larger_than_the_server_takes(
    make: Make, fake: FakeHeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert posting.BATCH_LINES <= 10_000
    assert posting.BATCH_BYTES <= 16 * 1024 * 1024
    monkeypatch.setattr(posting, "BATCH_LINES", 100)  # before the client is made
    monkeypatch.setattr(posting, "BATCH_BYTES", 50_000)
    heed = held(make, fake, *many(101))
    heed.enqueue_many(many(20, comment="ä" * 5_000))
    assert heed.flush().sent == 121
    assert fake.batches[:2] == [100, 1]
    assert sum(fake.batches) == 121
    assert 40_000 < max(len(request.content) for request in fake.requests) <= 50_000


@UNHURRIED
@given(st.lists(st.integers(0, 60), max_size=40))
def test_batches_hold_every_line_once_and_are_as_full_as_may_be(sizes: list[int]) -> None:
    lines = [b"%02d" % number + b"x" * size for number, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(posting, "BATCH_BYTES", 100)
        cut = list(posting.batches(lines, 5))
    assert [line for batch in cut for line in batch] == lines
    for batch, after in zip(cut, [*cut[1:], None], strict=False):
        size = sum(len(line) + 1 for line in batch)
        assert 1 <= len(batch) <= 5
        assert size <= 100
        assert after is None or len(batch) == 5 or size + len(after[0]) + 1 > 100


def test_one_that_fits_no_batch_is_refused_early(
    make: Make, fake: FakeHeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "BATCH_BYTES", 1000)
    heed = make(fake)
    with pytest.raises(heed_client.TooLarge):
        heed.enqueue("c", comment="x" * 1000)
    assert heed.waiting() == 0


def test_the_ids_that_the_server_gave_are_told(make: Make, fake: FakeHeed) -> None:
    told: dict[str, str] = {}
    heed = make(fake, on_taken=told.__setitem__)
    event_ids = heed.enqueue_many(many(3))
    wait_until(lambda: len(told) == 3)
    assert told == {event_id: fake.events[event_id][1] for event_id in event_ids}


def test_a_callback_that_fails_stops_nothing(
    make: Make, fake: FakeHeed, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the application's own fault")

    heed = make(fake, on_taken=broken)
    for _ in range(2):
        heed.enqueue_many(many(1))
        wait_until(lambda: heed.waiting() == 0)
    wait_until(lambda: caplog.messages.count("on_refused or on_taken failed") == 2)
    assert len(fake.events) == 2


def test_closing_delivers_and_what_it_cannot_waits_for_the_next(
    make: Make, fake: FakeHeed, caplog: pytest.LogCaptureFixture
) -> None:
    first = make(fake, linger_seconds=600)
    first.enqueue_many(many(2))
    first.close()
    assert len(fake.events) == 2
    fake.up = False
    second = make(fake, retry=NEVER)
    event_ids = second.enqueue_many(many(3))
    second.close()
    assert "closed; what remains stays in" in caplog.text
    fake.up = True
    third = make(fake)
    third.enter()
    wait_until(lambda: set(event_ids) <= set(fake.events))


def test_a_closed_client_takes_nothing(make: Make, fake: FakeHeed) -> None:
    heed = make(fake)
    heed.close()
    heed.close()
    for say in (heed.thumbs_up, heed.later.thumbs_up):
        with pytest.raises(heed_client.Closed):
            say("c")
    with pytest.raises(heed_client.Closed):
        heed.flush()
    assert heed.waiting() == 0


def test_a_client_from_before_a_fork_says_so(
    make: Make, fake: FakeHeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    heed = make(fake)
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: -1)
        with pytest.raises(heed_client.Closed, match="fork"):
            heed.enqueue("c", rating="up")


def test_the_queue_says_when_it_is_full(make: Make, fake: FakeHeed) -> None:
    fake.up = False
    heed = make(fake, queue_max_bytes=1000)
    kept = []
    with pytest.raises(heed_client.QueueFull):
        while True:
            kept.append(heed.enqueue("c", rating="up"))
    assert 5 < len(kept) < 12
    fake.up = True
    wait_until(lambda: set(fake.events) == set(kept))


def test_several_clients_share_a_queue(make: Make, fake: FakeHeed) -> None:
    clients = [make(fake) for _ in range(4)]
    event_ids = [client.enqueue("c", signal="copy") for client in clients * 10]
    for client in clients:
        client.flush()
        assert client.waiting() == 0
    assert set(fake.events) == set(event_ids)


def test_each_address_has_a_queue_of_its_own(make: Make, fake: FakeHeed, tmp_path: Path) -> None:
    fake.up = False
    for url in ("http://a.test", "http://b.test", "http://a.test/v1/"):
        make(fake, base_url=url, queue_dir=None, retry=NEVER).enqueue("c", rating="up")
    folders = list((tmp_path / "state" / "heed-client").iterdir())
    waiting = [DiskQueue(folder, max_bytes=1000).waiting() for folder in folders]
    assert sorted(waiting) == [1, 2]


def test_without_a_home_only_the_queue_is_missing(
    make: Make, fake: FakeHeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    heed = make(fake, queue_dir=None)
    assert heed.thumbs_up("c").status == "waiting"
    with pytest.raises(heed_client.QueueFailed, match="queue_dir"):
        heed.later.thumbs_up("c")
