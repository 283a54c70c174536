"""The command line as a whole: quick help, plain faults, keys, the database, the settings shown."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest

from feedback.store import Store
from serving.auth import KEY_ROLES
from serving.auth import keys as all_keys
from serving.commands.keys import RoleName as KeyRole
from serving.commands.up import RoleName as ProcessRole
from serving.settings import Role
from tests.serving.command_line import document, done, fault, heed, store_at

COMMANDS = {
    "": (
        "demo",
        "up",
        "round",
        "adapters",
        "feedback",
        "receipt",
        "forget",
        "keys",
        "db",
        "config",
        "doctor",
    ),
    "round": ("run", "list", "show", "cancel"),
    "adapters": ("list", "show", "promote", "rollback", "export", "verify"),
    "feedback": ("stats", "export"),
    "keys": ("create", "list", "revoke", "rotate-people", "rotate-tokens"),
    "db": ("upgrade", "purge"),
    "config": ("show",),
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def test_help_answers_within_half_a_second() -> None:
    """Of processor time: by the clock, whatever runs beside it counts as well."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-c", "from serving.cli import main; main()", "--help"],
            check=True,
            capture_output=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from serving.cli import app\n"
        "try:\n"
        "    app(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'transformers', 'sqlmodel', 'fastapi', 'alembic', 'pydantic', 'rich'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, f"help imported {ran.stderr}"
    assert "Usage" in ran.stdout


@pytest.mark.parametrize("group", COMMANDS)
def test_help_names_every_command(group: str) -> None:
    shown = done(*filter(None, [group]), "--help")
    for name in COMMANDS[group]:
        assert f"\n  {name} " in shown


def test_says_its_version() -> None:
    assert done("--version") == f"heed {version('heed')}\n"


def test_roles_are_those_of_the_server() -> None:
    assert {role.value for role in ProcessRole} == set(get_args(Role))
    assert get_args(KeyRole) == KEY_ROLES


@pytest.mark.usefixtures("store")
def test_a_fault_is_one_line_and_with_json_a_document_too() -> None:
    assert "No round 'rnd_none'" in fault("round", "show", "rnd_none")
    result = heed("round", "show", "rnd_none", "--json")
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert (error["code"], error["param"]) == ("not_found", "round")


def test_a_misspelt_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_SERVING__PRT", "1")
    for command in (["round", "list"], ["up"], ["config", "show"], ["db", "upgrade"]):
        said = fault(*command)
        assert "serving.prt" in said
        assert "HEED_SERVING__PRT" in said


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(tmp_path / "file" / "data"))
    assert str(tmp_path / "file") in fault("round", "list")


def test_a_file_that_is_no_database_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heed.sqlite3").write_text("this is no database, whatever its name says" * 100)
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(tmp_path))
    said = fault("round", "list")
    assert "heed.sqlite3 cannot be used: file is not a database" in said


def test_a_database_of_another_version_is_left_alone(store: Store) -> None:
    with store.engine.execution_options(write=True).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "heed db upgrade" in fault("feedback", "stats")
    assert "newer version" in fault("db", "upgrade")


def test_empty_states_say_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(tmp_path / "data"))
    assert "heed round run" in done("round", "list")
    assert "heed round run" in done("adapters", "list")
    assert "heed up" in done("feedback", "stats")
    assert "heed keys create" in done("keys", "list")
    assert "no adapters" in done("adapters", "verify").lower()
    assert "learn from" in fault("round", "run")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("command", ["round list", "adapters list", "keys list", "adapters verify"])
def test_lists_have_the_shape_of_the_api(command: str) -> None:
    listed = document(*command.split())
    assert listed["object"] == "list"
    assert (listed["data"], listed["has_more"], listed["next"]) == ([], False, None)


def test_a_key_is_shown_once_and_kept_as_a_hash(store: Store) -> None:
    made = document("keys", "create", "--role", "reviewer", "--name", "ana")
    assert made["key"].startswith("heed_")
    with store.session() as session:
        [row] = all_keys(session)
    assert (row.id, row.role, row.name) == (made["id"], "reviewer", "ana")
    assert made["key"] not in row.model_dump_json()
    assert made["key"] not in heed("keys", "list").output
    printed = heed("keys", "create", "--role", "client")
    assert printed.stdout.startswith("heed_")
    assert len(printed.stdout.split()) == 1  # TOKEN=$(heed keys create …) works


@pytest.mark.usefixtures("store")
def test_a_revoked_key_stays_in_the_list() -> None:
    made = document("keys", "create", "--role", "client")
    first = document("keys", "revoke", made["id"])
    assert first["revoked_at"]
    assert document("keys", "revoke", made["id"]) == first
    assert document("keys", "list")["data"] == [first]
    assert "No key 'key_none'" in fault("keys", "revoke", "key_none")


def test_db_upgrade_is_the_same_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(tmp_path / "data"))
    first = document("db", "upgrade")
    assert first["before"] is None
    assert first["after"]
    assert document("db", "upgrade")["before"] == first["after"]
    assert "up to date" in done("db", "upgrade")


def test_demo_is_started_with_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def play(**flags: object) -> int:
        asked.update(flags)
        return 3

    monkeypatch.setattr("serving.demo.play", play)
    assert heed("demo", "--rounds", "2", "--seed", "7", "--exit", "--json").exit_code == 3
    assert asked == {"rounds": 2, "seed": 7, "exit_after": True, "as_json": True}
