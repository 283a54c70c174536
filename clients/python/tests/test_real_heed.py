"""Against Heed itself over real HTTP: beside the stock client, while it is down, and after kills."""

import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE_SECONDS, SOON, Make, wait_until
from real_heed import asked, door, event_ids, heed_up, stock, url_of

import heed_client
from heed_client import Feedback, Heed

CLIENT = Path(__file__).parents[1]
PROMISED = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("heed")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with heed_up(folder) as served:
        yield served


def test_both_clients_side_by_side(make: Make, url: str) -> None:
    with stock(url) as openai:
        completion = openai.chat.completions.create(
            model="heed", messages=[{"role": "user", "content": "what does the lamp cost?"}]
        )
        beside = Heed.beside(openai)
        assert beside.base_url == url
        beside.close()
    heed = make(url)
    receipt = heed.thumbs_down(completion.id, user="dora")
    assert (receipt.status, receipt.completion_id) == ("waiting", completion.id)
    corrected = heed.correct(completion.id, "It costs 59 dollars.", user="dora")
    assert corrected.status == "review"
    assert heed.receipt(corrected.id) == corrected
    assert heed.withdraw(receipt.id).status == "withdrawn"
    assert heed.withdraw(receipt.id).status == "withdrawn"
    assert heed.receipt(receipt.id).status == "withdrawn"


def test_the_readme_keeps_its_word(url: str, folder: Path, tmp_path: Path) -> None:
    example = (CLIENT / "README.md").read_text().split("```python\n")[1].partition("```")[0]
    assert "http://127.0.0.1:8642/v1" in example
    before = len(event_ids(folder))
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://127.0.0.1:8642/v1", url))
    runpy.run_path(str(script))
    assert len(event_ids(folder)) == before + 2


def test_the_same_event_again_is_the_same_receipt(make: Make, url: str) -> None:
    heed = make(url)
    said = Feedback(completion_id=asked(url), rating=4, scale=5, user="emil", choice=0)
    assert heed.send(said) == heed.send(said)
    with pytest.raises(heed_client.Conflict) as caught:
        heed.send(said.model_copy(update={"rating": 3.0}))
    assert (caught.value.status, caught.value.param) == (409, "event_id")


def test_what_heed_refuses_is_said_in_its_words(make: Make, url: str) -> None:
    heed = make(url)
    with pytest.raises(heed_client.NotFound, match="chatcmpl-none") as caught:
        heed.thumbs_up("chatcmpl-none")
    assert (caught.value.status, caught.value.param, caught.value.code) == (
        404,
        "completion_id",
        "not_found",
    )
    with pytest.raises(heed_client.Invalid) as invalid:
        heed.thumbs_up(asked(url), choice=3)
    assert (invalid.value.status, invalid.value.param) == (422, "choice")
    with pytest.raises(heed_client.TooLarge):
        heed.correct(asked(url), "x" * 70_000)
    with pytest.raises(heed_client.NotFound):
        heed.receipt("fbk_none")


def test_every_kind_is_queued_and_taken(make: Make, url: str, folder: Path) -> None:
    taken: dict[str, str] = {}
    heed = make(url, on_taken=taken.__setitem__)
    completion = asked(url)
    kinds: list[dict[str, Any]] = [
        {"rating": "up"},
        {"rating": 2, "scale": 5, "comment": "Hm – “so, so”\u2028\n"},
        {"signal": "dwell", "value": 1.5},
        {"survey": {"clear?": "no", "useful?": 2.0}},
        {"correction": "It costs 59 dollars.", "reasons": ["wrong"]},
    ]
    said = [
        Feedback.model_validate({"completion_id": completion, "user": f"u{n}", **kinds[n % 5]})
        for n in range(200)
    ]
    ids = heed.enqueue_many(said)
    lost = heed.enqueue("chatcmpl-none", rating="up")
    heed.flush()
    assert heed.waiting() == 0
    assert set(taken) == set(ids)
    assert [refusal.event_id for refusal in heed.refused()] == [lost]
    assert heed.receipt(taken[ids[4]]).status == "review"
    assert set(ids) <= set(event_ids(folder))
    assert heed.send(said[0]).id == taken[ids[0]], "queued and sent at once, it is one event"


def test_a_server_that_is_down_first_and_comes_back(make: Make, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with heed_up(data) as early:
        completion = asked(early)
    bound = door()
    heed = make(url_of(bound))
    ids = [heed.later.thumbs_up(completion, user=f"u{n}") for n in range(30)]
    with pytest.raises(heed_client.Unreachable):
        heed.thumbs_up(completion)
    assert heed.waiting() == 30
    with heed_up(data, bound):
        wait_until(lambda: heed.waiting() == 0)
    assert sorted(event_ids(data)) == sorted(ids)
    assert heed.refused() == []


@contextmanager
def writer(kind: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """A process of its own that enqueues; killed at the end."""
    command = [sys.executable, str(Path(__file__).with_name("writer_process.py")), kind]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(CLIENT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()  # SIGKILL: nothing in it can tidy up
        process.wait(PATIENCE_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


def promised(process: "subprocess.Popen[str]", count: int | None) -> list[str]:
    """So many of the ids that it says; all of them where there is no number."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if line.endswith("\n"):
            lines.append(line.strip())
        if len(lines) == count:
            break
    return lines


@pytest.mark.parametrize("kind", ["blocking", "awaited"])
def test_nothing_acknowledged_is_lost_to_kill_9(
    url: str, folder: Path, tmp_path: Path, kind: str
) -> None:
    """Two processes queue into one folder and deliver from it; both are killed while they do."""
    completion, queue = asked(url), tmp_path / "queue"
    with writer(kind, url, queue, completion) as one, writer(kind, url, queue, completion) as two:
        ids = promised(one, PROMISED) + promised(two, PROMISED)
        one.kill()
        two.kill()
        ids += promised(one, None) + promised(two, None)
    with Heed(url, queue_dir=queue, retry=SOON) as heed:
        heed.flush()
        assert heed.waiting() == 0
        assert heed.refused() == []
    arrived = event_ids(folder)
    assert set(ids) - set(arrived) == set()
    assert len(arrived) == len(set(arrived))
    assert len(ids) >= 2 * PROMISED


def test_a_killed_process_leaves_its_queue_to_the_next(make: Make, tmp_path: Path) -> None:
    """The server was never there while the first one lived."""
    data, queue = tmp_path / "data", tmp_path / "queue"
    with heed_up(data) as early:
        completion = asked(early)
    bound = door()
    with writer("blocking", url_of(bound), queue, completion) as process:
        ids = promised(process, PROMISED)
        process.kill()
        ids += promised(process, None)
    heed = make(url_of(bound), queue_dir=queue)
    assert heed.waiting() >= len(ids)
    with heed_up(data, bound):
        heed.enter()
        wait_until(lambda: heed.waiting() == 0)
    arrived = event_ids(data)
    assert set(ids) - set(arrived) == set()
    assert len(arrived) == len(set(arrived))


def test_a_script_that_ends_without_closing_delivers_on_its_way_out(
    url: str, folder: Path, tmp_path: Path
) -> None:
    with writer("unclosed", url, tmp_path / "queue", asked(url)) as process:
        ids = promised(process, None)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert len(ids) == 3
    assert set(ids) <= set(event_ids(folder))


def test_threads_share_one_client(url: str, folder: Path, tmp_path: Path) -> None:
    completion = asked(url)
    ids: list[str] = []
    with Heed(url, queue_dir=tmp_path / "queue", linger_seconds=0) as heed:

        def speak() -> None:
            ids.extend(heed.enqueue(completion, signal="copy") for _ in range(25))

        threads = [threading.Thread(target=speak) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        heed.flush()
    assert len(set(ids)) == 200
    assert set(ids) <= set(event_ids(folder))
