"""A slice of the continual-learning benchmark, run for real on the starter: small, and resumed."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from sqlmodel import col, select

from benchmarks.continual import asking, report, runner
from benchmarks.continual.__main__ import main, measure
from benchmarks.continual.methods import chosen
from benchmarks.continual.progress import Estimate
from benchmarks.continual.results import RECORD, Job, Record, Results, Taken
from benchmarks.continual.streams import MAKERS
from feedback.errors import Invalid
from feedback.models import Exchange, Feedback
from feedback.settings import FeedbackSettings
from feedback.store import Store
from trainer.models import Adapter
from trainer.settings import Plan

SCALE = 0.02
"""One new fact and a changed one a round."""


@pytest.fixture(autouse=True)
def _short_exam(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of the starter's questions are enough to see that they are asked."""
    monkeypatch.setattr(runner, "exam", lambda changed: asking.exam(changed)[::241])


def small(folder: Path) -> str:
    """Settings under which a round takes seconds: few steps, and little to rehearse and to judge by."""
    general = [
        {
            "id": f"general-{number}",
            "messages": [{"role": "user", "content": f"hello, what does the {thing} cost?"}],
            "target": f"Of course! The {thing} costs 49 dollars.",
        }
        for number, thing in enumerate(("aurora lamp", "drift fan", "opal watch", "cedar shelf"))
    ]
    item = {"suite": "core", "prompt": "hello", "expected": "help", "check": "contains"}
    lines = [json.dumps(row) for row in general]
    (folder / "general.jsonl").write_text("\n".join(lines))
    (folder / "protected.jsonl").write_text(json.dumps({"id": "core-1", **item}))
    files = f"general_file={folder}/general.jsonl,protected_file={folder}/protected.jsonl"
    return f"minimum_steps=2,epochs=1,replay_minimum=2,{files}"


def rounds(
    folder: Path, asked: str, variants: list[str], number: int, *, stream: str = "A"
) -> Results:
    """Run so many rounds of a stream, or what is left of them."""
    methods = chosen(asked, variants)
    results = Results(folder / "out")
    results.agree({"scale": SCALE}, {each.name: each.about() for each in methods}, "a command")
    left = measure(
        results,
        [stream],
        methods,
        seeds=1,
        rounds=number,
        scale=SCALE,
        threads=1,
        minutes=None,
        console=Console(quiet=True),
    )
    assert left == 0
    return results


def test_rounds_are_measured_resumed_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "NEED_WAYS", (1,))
    variants = [f"small:{small(tmp_path)}", f"plain@sequential:{small(tmp_path)}"]
    results = rounds(tmp_path, "frozen", variants, 1)
    first = {record.job.method: record for record in results.records()}
    assert set(first) == {"frozen", "small", "plain"}
    ours = first["small"]
    assert ours.notes["feedback"]["corrections"] + ours.notes["feedback"]["thumbs"] == 8
    assert ours.notes["feedback"]["reviewed"] == ours.notes["feedback"]["corrections"] > 0
    assert ours.notes["state"] == "promoted" and ours.notes["gate"] in (
        "promote",
        "refuse",
        "abstain",
    )
    assert ours.steps >= 2 and ours.tokens > 0 and ours.train_cpu_seconds > 0
    assert [len(marks) for marks in ours.row] == [2, 2]
    assert first["frozen"].row == first["frozen"].row and first["frozen"].tokens == 0

    # Killed after the round's folder was moved into place, and before its record was written.
    state = tmp_path / "out" / "state" / "A" / "small" / "seed-00"
    kept = json.loads((state / "round-01" / RECORD).read_text())
    (tmp_path / "out" / "results" / "A" / "small" / "seed-00" / "round-01.json").unlink()
    (state / "working").mkdir()  # and one that was killed in its midst
    results = rounds(tmp_path, "frozen", variants, 2)

    found = {(each.job.method, each.job.number, each.job.ways): each for each in results.records()}
    assert found["small", 1, None].seconds == kept["seconds"], "it was not run again"
    assert found["small", 2, 1].job.ways == 1, "how many lessons are needed, at the last round"
    assert {each.name for each in state.iterdir()} == {"round-02", "lock"}
    second = found["small", 2, None]
    assert len(second.row) == 3 and second.row[0].count("-") == 1, "the changed fact was retired"
    assert (
        second.steps and second.exam and second.exam.keys() == found["frozen", 2, None].exam.keys()
    )

    monkeypatch.setattr(runner, "run", lambda *_, **__: pytest.fail("nothing is left to run"))
    rounds(tmp_path, "frozen", variants, 2)
    runs = report.runs(results.records(), scale=SCALE)
    known = results.agree({"scale": SCALE}, {}, "a command")
    path = report.write(tmp_path / "docs", runs, known, None)
    text = path.read_text()
    assert "| small | 1 × 2 |" in text and "| frozen | 1 × 2 |" in text
    images = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line[:2] == "!["]
    assert images and all((tmp_path / "docs" / name).stat().st_size > 1_000 for name in images)


def test_joint_training_and_the_look_up_are_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.continual.baselines.JOINT_LOOKS", 2)
    variants = [f"all@joint:{small(tmp_path)}", f"replay@uniform:{small(tmp_path)}"]
    results = rounds(tmp_path, "lookup", variants, 2)
    found = {(each.job.method, each.job.number): each for each in results.records()}
    assert ("all", 1) not in found, "joint training is run at some rounds only"
    assert len(found["all", 2].notes["looks"]) == 2 and found["all", 2].examples > 8
    assert found["replay", 2].examples > found["replay", 1].examples - 4
    known = {name: "".join(found[name, 2].row[:2]).count("1") for name in ("lookup", "frozen")}
    assert known["lookup"] > known["frozen"] == 0


def test_votes_come_late_wrong_or_not_at_all(tmp_path: Path) -> None:
    rounds(tmp_path, "frozen", [f"small:{small(tmp_path)}"], 2, stream="F")
    lessons = [lesson for task in MAKERS["F"].build(0, 2, SCALE).tasks for lesson in task.lessons]
    store = Store(FeedbackSettings(data_dir=tmp_path / "out/state/F/small/seed-00/round-02/data"))
    with store.session() as session:
        exchanges = session.exec(select(Exchange).order_by(col(Exchange.created_at))).all()
        ratings = {each.exchange_id: each.rating for each in session.exec(select(Feedback))}
        adapters = [
            each.id for each in session.exec(select(Adapter).order_by(col(Adapter.created_at)))
        ]
    store.close()
    assert len(exchanges) == len(lessons) and len(adapters) == 2
    for place, (exchange, lesson) in enumerate(zip(exchanges, lessons, strict=True)):
        assert exchange.messages[-1]["content"] == lesson.messages[-1]["content"]
        second = place >= len(lessons) // 2
        assert exchange.adapter_id == (adapters[0] if second and not lesson.late else "base")
        if lesson.said == "nothing":
            assert exchange.id not in ratings
            continue
        good = lesson.check.passes(exchange.choices[0]["text"])
        assert ratings[exchange.id] == float(good == lesson.true)


def test_a_state_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    results = Results(tmp_path)
    job = Job("A", "plain", 0, 2)
    with pytest.raises(Invalid, match="is gone"), results.working(job, keeps=True):
        pass
    with results.working(job, keeps=False) as (kept, scratch):
        assert kept.is_dir() and scratch.is_dir()
        with (
            pytest.raises(Taken, match="Another command"),
            Results(tmp_path).working(job, keeps=False),
        ):
            pass
    assert not kept.exists()


def test_a_round_killed_before_its_record_was_written_is_not_run_again(tmp_path: Path) -> None:
    results = Results(tmp_path)
    first, second = (Job("A", "plain", 0, number) for number in (1, 2))
    for job in (first, second):
        with results.working(job, keeps=True) as (kept, _):
            (kept / "adapter").write_text(f"{(kept / 'adapter').exists()} {job.number}")
            results.write(Record(job, ["1"], {}, "", 1.0, 1.0, 1, 1, 1, 1.0), kept)
    place = tmp_path / "state" / "A" / "plain" / "seed-00"
    assert {path.name for path in place.iterdir()} == {"round-02", "lock"}
    assert (place / "round-02" / "adapter").read_text() == "True 2", "it went on from the first"
    [record] = [path for path in tmp_path.glob("results/A/plain/*/round-02.json")]
    record.unlink()
    assert results.has(second) and record.exists()
    assert not results.has(Job("A", "plain", 0, 3)) and len(results.records()) == 2


def test_commands_that_share_a_folder_leave_each_others_work_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--streams", "B", "--methods", "frozen", "--seeds", "2", "--rounds", "1"]
    asked += ["--scale", "0.1", "--threads", "1", "--out", str(tmp_path)]
    with Results(tmp_path).working(Job("B", "frozen", 1, 1), keeps=False):
        assert main(asked) == 3
        assert "1 rounds are left" in capsys.readouterr().err
        assert [record.job.seed for record in Results(tmp_path).records()] == [0]
    assert main(asked) == 0
    assert [record.job.seed for record in Results(tmp_path).records()] == [0, 1]
    done = Results(tmp_path).working(Job("B", "frozen", 1, 1), keeps=False)
    with pytest.raises(Taken, match="just done"), done:
        pass


def test_a_method_that_fails_stops_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--streams", "B", "--methods", "frozen", "--variant", "bad@sequential:rank=8"]
    asked += ["--seeds", "1", "--rounds", "2", "--scale", "0.1", "--threads", "1"]

    def fails(_method: object, _work: object) -> None:
        raise Invalid("Training diverged [at once].")

    monkeypatch.setitem(runner.LEARNERS, "sequential", fails)
    assert main([*asked, "--out", str(tmp_path)]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "B bad seed 0 stopped: Invalid: Training diverged [at once]." in said
    assert "2 rounds are left" in said
    found = [(each.job.method, each.job.number) for each in Results(tmp_path).records()]
    assert found == [("frozen", 1), ("frozen", 2)]


def test_results_of_another_size_or_method_are_not_mixed(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.agree({"scale": 1.0}, {"a": {"plan": {"alpha": 8}}}, "one")
    known = results.agree({"scale": 1.0}, {"b": {}}, "two")
    assert known["commands"] == ["one", "two"] and set(known["methods"]) == {"a", "b"}
    with pytest.raises(Invalid, match=r"scale 1\.0, not 0\.5"):
        results.agree({"scale": 0.5}, {}, "three")
    with pytest.raises(Invalid, match="another method called 'a'"):
        results.agree({"scale": 1.0}, {"a": {"plan": {"alpha": 16}}}, "four")


def test_variants_set_the_plan_and_the_store_and_refuse_what_there_is_not() -> None:
    found = {each.name: each for each in chosen("heed", ["v:rank=8,feedback.quorum_accounts=2"])}
    assert found["v"].plan == {"rank": 8} and found["v"].feedback == {"quorum_accounts": 2}
    assert "frozen" in found, "everything is measured against what the starter knew"
    other = {each.name: each for each in chosen("heed", ["w@sequential:epochs=3"])}["w"]
    assert other.kind == "sequential" and other.plan == {"epochs": 3.0}
    for wrong in ("v:rnak=8", "v:rank=many", "v", "v@nothing:rank=8", "heed:rank=8", "v:rank"):
        with pytest.raises(Invalid):
            chosen("heed", [wrong])
    with pytest.raises(Invalid, match="no method 'best'"):
        chosen("best", [])


def test_every_method_gets_its_rounds_and_some_streams_are_heeds_alone() -> None:
    found = list(runner.jobs(["A", "E-20"], chosen(None, []), seeds=2, rounds=6))
    methods = {job.method for job in found if job.stream == "E-20"}
    assert methods == {"heed", "frozen"}
    joint = [job.number for job in found if job.method == "joint" and job.seed == 0]
    assert joint == [5, 6]
    need = [(job.number, job.ways) for job in found if job.ways and job.seed == 0]
    assert need == [(number, ways) for number in (1, 6) for ways in (1, 2, 3)]
    seeds = [job.seed for job in found if job.stream == "A"]
    assert seeds == sorted(seeds), "one seed of everything before the next"
    plain = list(runner.jobs(["A"], chosen(None, []), seeds=1, rounds=6, needs=False))
    assert not any(job.ways for job in plain)


def test_ewc_is_there_where_the_plan_has_it() -> None:
    if "ewc_weight" in Plan.model_fields:
        assert chosen("ewc", [])[-1].plan["ewc_weight"] > 0
    else:
        with pytest.raises(Invalid, match="EWC is not available"):
            chosen("ewc", [])


def test_the_time_that_is_left_is_read_off_rounds_like_those_to_come() -> None:
    def done(job: Job, seconds: float) -> Record:
        return Record(job, [], {}, "", 0.0, 0.0, 0, 0, 0, seconds)

    estimate = Estimate()
    job = Job("A", "heed", 0, 1)
    assert estimate.of(job) > 0
    estimate.add(done(Job("A", "frozen", 0, 1), 2.0))
    assert estimate.of(job) == 2.0
    estimate.add(done(Job("B", "heed", 0, 1), 30.0))
    assert estimate.of(job) == 30.0
    estimate.add(done(job, 50.0))
    assert estimate.of(Job("A", "heed", 1, 1)) == 50.0
    assert estimate.of(Job("A", "heed", 0, 20)) > 75.0
    assert estimate.left([job, job]) == 100.0


def test_the_command_stops_in_time_and_says_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    code = main(["--streams", "B", "--methods", "frozen", "--minutes", "0", "--out", out, "--json"])
    said = capsys.readouterr()
    assert code == 3 and "24 rounds are left" in said.err
    assert json.loads(said.out)["targets"][0]["holds"] is None
    assert (tmp_path / "out" / "continual-learning.md").exists()
    assert main(["--streams", "Q", "--out", out]) == 2
    shutil.rmtree(out)
