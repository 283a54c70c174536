"""The house keeps its promises: layers, names, sizes, the wheel, the database's shape."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlmodel import text

from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema

ROOT = Path(__file__).parents[1]
PACKAGES = ("feedback", "trainer", "serving")
MOST_LINES = 400
# Where torch is lent, in words: it may be imported, lazily, but not by importing the door.
DOORS = ("serving.app", "serving.cli", "trainer.round", "feedback.intake")


def ours() -> list[Path]:
    """Every Python file of the project."""
    folders = (*PACKAGES, "migrations", "tests", "benchmarks", "clients")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def written() -> Iterator[tuple[Path, str]]:
    """Every text that is kept with the project."""
    kinds = {".py", ".md", ".toml", ".txt", ".json", ".jsonl", ".mako", ".jinja", ".sh", ".html"}
    kinds |= {".js", ".css"}
    folders = (*PACKAGES, "migrations", "tests", "benchmarks", "clients", "docs", ".ci")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    for path in sorted([*paths, *ROOT.glob("*")]):
        if (
            path.is_file()
            and (path.suffix in kinds or not path.suffix)
            and path.name != "heed.toml"
        ):
            yield path, path.read_text(encoding="utf-8")


def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


@pytest.mark.parametrize("folder", [ROOT, ROOT / "clients" / "python"], ids=["heed", "client"])
def test_imports_point_one_way_and_torch_stays_in_its_rooms(folder: Path) -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [linter, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("door", DOORS)
def test_no_door_needs_torch(door: str) -> None:
    code = (
        f"import sys, {door}; "
        "heavy = {'torch', 'transformers', 'trl', 'peft'} & sys.modules.keys(); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_module_is_too_long_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in ours()
        if path.parent.name != "versions"
        and (lines := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [path for path in ours() if nothing & {path.stem, path.parent.name}] == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in ours()
        if "tests" not in path.relative_to(ROOT).parts
        if (source := path.read_text().lstrip()) and not source.startswith(('"""', "#!", 'r"""'))
    ]
    assert silent == []


def test_every_tests_folder_is_a_package() -> None:
    """Or tests/feedback would shadow feedback."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_tests_are_plain_functions() -> None:
    tests = [path for path in ours() if path.name.startswith("test_")]
    assert [
        path for path in tests if re.search(r"^class Test", path.read_text(), re.MULTILINE)
    ] == []


def test_the_migrations_make_exactly_the_tables_in_code(empty_store: Store) -> None:
    schema.upgrade(empty_store)
    assert schema.drift(empty_store) == []
    with empty_store.session() as session:
        assert schema.revision(session.connection()) == schema.head()
    schema.upgrade(empty_store)  # again changes nothing


def test_a_column_that_no_migration_makes_is_seen(empty_store: Store) -> None:
    """The check above can fail."""
    schema.upgrade(empty_store)
    with empty_store.session(write=True) as session:
        session.connection().execute(text("ALTER TABLE receipt DROP COLUMN role"))
        session.commit()
    assert schema.drift(empty_store) != []


def test_processes_that_start_together_migrate_once(empty_store: Store, tmp_path: Path) -> None:
    url = empty_store.url.render_as_string(hide_password=False)
    settings = FeedbackSettings(data_dir=tmp_path / "data", database_url=url)
    code = (
        "import sys; from pathlib import Path; from feedback.settings import FeedbackSettings; "
        "from feedback.store import Store; from serving import schema; "
        "schema.upgrade(Store(FeedbackSettings(data_dir=Path(sys.argv[1]), "
        "database_url=sys.argv[2])))"
    )
    settings.data_dir.mkdir(exist_ok=True)
    command = [sys.executable, "-c", code, str(settings.data_dir), url]
    starting = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in starting] == [0, 0]
    assert schema.drift(empty_store) == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in (*PACKAGES, "migrations", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    code = (
        "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheels_top_level_is_exactly_the_three_packages(wheel: zipfile.ZipFile) -> None:
    top = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    } | {
        f"serving/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "migrations").rglob("*.py")
    }
    assert sources - set(wheel.namelist()) == set()


def test_the_wheel_holds_the_starters_weights_and_the_migrations_template(
    wheel: zipfile.ZipFile,
) -> None:
    names = set(wheel.namelist())
    weights = (ROOT / "trainer" / "starter" / "weights").iterdir()
    assert {f"trainer/starter/weights/{path.name}" for path in weights} <= names
    assert "trainer/starter/weights/model.safetensors" in names
    assert "serving/migrations/script.py.mako" in names


def test_the_wheel_holds_the_widget(wheel: zipfile.ZipFile) -> None:
    files = {f"serving/widget/{path.name}" for path in (ROOT / "serving" / "widget").glob("*.*")}
    assert "serving/widget/heed-feedback.js" in files
    assert files <= set(wheel.namelist())


def test_the_wheel_asks_for_no_pinned_torch(wheel: zipfile.ZipFile) -> None:
    """Who has a GPU chooses the build."""
    [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    needed = re.findall(r"^Requires-Dist: (torch\b.*)$", wheel.read(name).decode(), re.MULTILINE)
    assert needed and all("==" not in line for line in needed)


def test_the_constraints_satisfy_the_projects_ranges() -> None:
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pinned[canonicalize_name(name)] = version
    found = project()
    extras = found["optional-dependencies"]
    assert isinstance(extras, dict) and isinstance(found["dependencies"], list)
    needed = [*found["dependencies"], *(each for extra in extras.values() for each in extra)]
    for requirement in map(Requirement, needed):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"constraints.txt lacks {name}"
        version = pinned[name]
        assert requirement.specifier.contains(version), f"{requirement} but {version}"


def test_no_test_changes_everybodys_clock() -> None:
    """Servers run beside the tests: a timer set by a false clock never goes off again."""
    place = re.compile(
        r"""setattr\(\s*(?:time,\s*["']monotonic|["'][\w.]+\.time\.monotonic|["'][\w.]*asyncio\.sleep|asyncio,)"""
    )
    found = [str(path.relative_to(ROOT)) for path, content in written() if place.search(content)]
    assert found == []


def test_no_text_names_a_folder_of_one_machine() -> None:
    folders = "work|root|home|Users|tmp"
    place = re.compile(rf"(?<![\w.$}}~-])/(?:{folders})/\w")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path, content in written()
        for number, line in enumerate(content.split("\n"), start=1)
        if place.search(line)
    ]
    assert found == []
