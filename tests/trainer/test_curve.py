"""The loss curve: written as it grows, taken up again, thinned out, and shown."""

import json
from pathlib import Path

import pytest

from tests.serving.command_line import document, done, ended, store_at
from tests.serving.conftest import running
from trainer.curve import CurveFile, Progress, place, read, thinned


def step(number: int, *, loss: float = 1.0, dev_loss: float | None = None) -> Progress:
    return Progress(
        number, 9, loss, 1e-3, 10 * number, float(number), {"demonstration": loss}, 0.5, dev_loss
    )


def test_every_step_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = place(tmp_path, "rnd_1")
    assert read(path) == []
    file = CurveFile(path)
    for number in (1, 2):
        file.add(step(number, dev_loss=0.25))
        assert [row["step"] for row in read(path)] == list(range(1, number + 1))
    assert read(path)[0] == {
        "step": 1,
        "steps": 9,
        "loss": 1.0,
        "learning_rate": 1e-3,
        "tokens": 10,
        "seconds": 1.0,
        "objectives": {"demonstration": 1.0},
        "gradient_norm": 0.5,
        "dev_loss": 0.25,
    }


def test_an_attempt_that_goes_on_drops_what_the_last_one_wrote_beyond(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    first, second = CurveFile(path), CurveFile(path)
    for number in range(1, 6):
        first.add(step(number, loss=1.0))
    with path.open("a") as file:
        file.write('{"step": 6, "lo')  # cut short by a crash
    for number in range(4, 7):
        second.add(step(number, loss=2.0))
    assert [(row["step"], row["loss"]) for row in read(path)] == [
        (1, 1.0),
        (2, 1.0),
        (3, 1.0),
        (4, 2.0),
        (5, 2.0),
        (6, 2.0),
    ]


def test_a_long_curve_is_thinned_out_but_for_its_ends_and_looks_at_dev(tmp_path: Path) -> None:
    assert thinned(range(5), 9) == [0, 1, 2, 3, 4]
    assert thinned(range(101), 3) == [0, 50, 100]
    path = tmp_path / "curve.jsonl"
    rows = [step(n, dev_loss=0.1 if n == 777 else None) for n in range(1, 1001)]
    file = CurveFile(path)
    file.add(rows[0])
    with path.open("a") as more:
        more.writelines(f"{json.dumps(vars(row))}\n" for row in rows[1:])
    steps = [row["step"] for row in read(path, points=11)]
    assert len(steps) == 12 and {1, 777, 1000} < set(steps)


def test_the_command_and_the_api_give_the_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path / "data", monkeypatch)
    row = ended(store, counts={"notes": ["Stopped early after step 2 of 9."]})
    bare = ended(store)
    file = CurveFile(place(store.settings.data_dir, row.id))
    file.add(step(1, loss=2.5, dev_loss=3.0))
    file.add(step(2, loss=1.5, dev_loss=2.0))
    shown = document("round", "show", row.id)
    assert [point["loss"] for point in shown["curve"]] == [2.5, 1.5]
    with running(store.settings) as server:
        assert server.http.get(f"/v1/rounds/{row.id}").json() == shown
        assert server.http.get(f"/v1/rounds/{bare.id}").json()["curve"] == []
        assert "curve" not in server.http.get("/v1/rounds").json()["data"][0]
    told = done("round", "show", row.id)
    assert "2 of 9 steps, loss 2.5 → 1.5, on dev 3 → 2" in told
    assert "Stopped early after step 2 of 9." in told
    store.close()
