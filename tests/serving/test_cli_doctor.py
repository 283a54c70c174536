"""`heed doctor`: what is not well is named, with what to do."""

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving.commands import checks
from serving.settings import Settings, load
from tests.builders import opened_round, unrecorded
from tests.serving import attendance
from tests.serving.command_line import adapter, damage, document, heed, store_at
from trainer import lease, registry


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("HEED_SERVING__PORT", "0")
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base model of three small files, and a torch that loads at once."""
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (model / name).write_text("{}")
    monkeypatch.setenv("HEED_TRAINER__BASE_MODEL", str(model))
    light = SimpleNamespace(__version__="0", cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setattr(checks, "import_module", lambda name: light)


@pytest.mark.usefixtures("store")
def test_all_is_well_on_a_sound_installation() -> None:
    answer = document("doctor")
    assert answer["ok"], answer
    names = [check["name"] for check in answer["checks"]]
    assert names == [
        "python",
        "packages",
        "sqlite",
        "settings",
        "data folder",
        "database",
        "base model",
        "live adapter",
        "adapter folders",
        "open round",
        "torch",
        "port",
    ]


def test_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HEED_SERVING__PORT", "0")
    assert all(check.ok for check in checks.examine())
    assert not (tmp_path / "data").exists()


def test_fails_and_says_so_in_both_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_TRAINER__BASE_MODEL", "/no/such/model")
    told = heed("doctor")
    assert told.exit_code == 1
    assert "FAIL  base model: The base model '/no/such/model'" in told.stdout
    assert heed("doctor", "--json").exit_code == 1


def test_names_what_the_base_models_folder_lacks(tmp_path: Path) -> None:
    (tmp_path / "model" / "model.safetensors").unlink()
    check = next(check for check in checks.examine() if check.name == "base model")
    assert not check.ok
    assert "it has no weights" in check.found


def test_names_another_owner_of_our_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        checks, "packages_distributions", lambda: {"serving": ["heed", "serving"], "trainer": []}
    )
    check = checks.packages()
    assert not check.ok
    assert "serving (also of serving)" in check.found
    assert "virtual environment" in check.remedy


def test_names_an_old_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        checks,
        "pysqlite3",
        SimpleNamespace(sqlite_version_info=(3, 40, 0), sqlite_version="3.40.0"),
    )
    assert "pysqlite3" in checks.sqlite().remedy


def test_names_a_torch_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        raise OSError("libcudart.so: no such file")

    monkeypatch.setattr(checks, "import_module", broken)
    assert "libcudart" in checks.torch().found


def test_names_a_database_that_is_behind_or_was_changed(store: Store) -> None:
    with store.engine.execution_options(write=True).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE person ADD COLUMN nickname TEXT")
    assert "nickname" in checks.database(load()).found
    with store.engine.execution_options(write=True).begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    assert "heed db upgrade" in checks.database(load()).remedy


def test_names_a_damaged_live_adapter(store: Store) -> None:
    made = adapter(store)
    with store.session(write=True) as session:
        registry.promote(session, made.id, actor="test", reason="test")
        session.commit()
    assert made.id in checks.live_adapter(load()).found
    damage(store, made)
    damaged = next(check for check in checks.examine() if check.name == "live adapter")
    assert not damaged.ok
    assert registry.FILES[1] in damaged.found


def test_names_adapter_folders_that_nothing_lists(store: Store) -> None:
    adapter(store)
    going = opened_round(store)
    published = unrecorded(store, going.id)
    assert checks.adapter_folders(load()).ok  # it may get its row yet
    lost = unrecorded(store, "rnd_gone")
    other = lost.with_name("other thing")
    other.mkdir()
    found = checks.adapter_folders(load())
    assert not found.ok
    assert found.found.startswith("2 in ")
    assert found.remedy.endswith(f"rm -r {lost} '{other}'")
    assert str(published) not in found.remedy


def test_names_a_round_that_no_process_runs(store: Store) -> None:
    row = opened_round(store, created_at=0.0, stage="train")
    held = attendance.held(store, row)
    assert checks.open_round(load()).ok
    with store.session(write=True) as session:
        lease.release(store, session, held)
        session.commit()
    left = checks.open_round(load())
    assert not left.ok
    assert row.id in left.found and "no process" in left.found
    assert "heed round run" in left.remedy and f"heed round cancel {row.id}" in left.remedy


def test_a_round_that_was_opened_just_now_waits_for_its_process(store: Store) -> None:
    row = opened_round(store)
    assert f"{row.id} waits" in checks.open_round(load()).found
    assert checks.open_round(load()).ok


def test_names_a_port_that_something_else_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ANSWER_SECONDS", 0.1)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        taken = load(serving={"port": deaf.getsockname()[1]})
        assert not checks.port(taken).ok
    assert checks.port(taken).ok


def test_names_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(feedback=FeedbackSettings(data_dir=tmp_path / "file"))
    assert "is no folder" in checks.data_folder(settings).found
