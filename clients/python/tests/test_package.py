"""What is installed: this package alone, typed, standing on httpx and pydantic and nothing else."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import heed_client

CLIENT = Path(__file__).parents[1]
ROOT = CLIENT.parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
    shutil.copytree(CLIENT, folder / "source", ignore=skipped)
    code = (
        "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        cwd=folder / "source",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(CLIENT).as_posix()
        for path in (CLIENT / "heed_client").iterdir()
        if path.suffix == ".py"
    }
    assert held == sources | {"heed_client/py.typed"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_it_needs_httpx_and_pydantic_and_no_more(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    said = wheel.read(name).decode()
    needed = re.findall(r"^Requires-Dist: (.*)$", said, re.MULTILINE)
    assert {Requirement(line).name for line in needed} == {"httpx", "pydantic"}
    for requirement in map(Requirement, needed):
        assert requirement.specifier.contains(metadata.version(requirement.name))
    assert f"Version: {heed_client.__version__}\n" in said


def test_the_wheel_runs_on_what_it_asks_for(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Imported from the wheel alone, by a Python that sees no checkout."""
    wheel.extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import heed_client; "
        "heed_client.Heed().close(); print(heed_client.__file__); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    place, modules = done.stdout.splitlines()
    assert place.startswith(str(tmp_path))
    homes = metadata.packages_distributions()
    tops = {name.partition(".")[0] for name in modules.split()} - set(sys.stdlib_module_names)
    used = {canonicalize_name(home) for top in tops for home in homes.get(top, [])}
    assert {"httpx", "pydantic"} <= used
    assert used <= closure("httpx", "pydantic") | plain_paths()


def closure(*names: str) -> set[str]:
    """Distributions with everything that they need themselves, or use where it is there."""
    found: set[str] = set()
    extras = [{"extra": extra} for name in names for extra in _extras(name)]
    present = {canonicalize_name(each.name) for each in metadata.distributions()}
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        found.add(name)
        if name not in present:
            continue
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or any(map(needed.marker.evaluate, extras)):
                todo.append(needed.name)
    return found


def _extras(name: str) -> list[str]:
    return ["", *(metadata.metadata(name).get_all("Provides-Extra") or ())]


def plain_paths() -> set[str]:
    """What Python itself imports at every start here: editable installs bring finders."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    homes = metadata.packages_distributions()
    tops = {name.partition(".")[0] for name in done.stdout.split()}
    return {canonicalize_name(home) for top in tops for home in homes.get(top, [])}


def test_the_versions_agree() -> None:
    said = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    assert said["version"] == heed_client.__version__
    assert f'version = "{heed_client.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_the_licence_is_the_projects() -> None:
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_everything_public_is_named_once() -> None:
    assert sorted(heed_client.__all__) == sorted(set(heed_client.__all__))
    for name in heed_client.__all__:
        assert hasattr(heed_client, name)
