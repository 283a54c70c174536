"""What `heed doctor` looks at, one function per question; each changes nothing. Knows no screen."""

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pysqlite3
from sqlmodel import Session

from feedback.errors import Conflict, HeedError
from feedback.store import SQLITE_MINIMUM, Store
from serving import schema
from serving.commands import server
from serving.commands.opening import revision
from serving.settings import Settings, load
from trainer import attending, registry
from trainer import round as rounds
from trainer.base_folder import base_hash, check, resolve
from trainer.models import Adapter
from trainer.progress import LEASE_SECONDS

PYTHON_MINIMUM = (3, 11)
FREE_BYTES = 1 << 30
"""A round needs room for a snapshot and two copies of an adapter, the database for its log."""
ANSWER_SECONDS = 2.0
OUR_PACKAGES = ("feedback", "trainer", "serving")


@dataclass(frozen=True)
class Check:
    """One answer: what was found and, where it is not well, what to do."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def examine() -> Iterator[Check]:
    """Yield the answers one by one; what needs sound settings is left out where they are not."""
    yield python()
    yield packages()
    yield sqlite()
    try:
        settings = load()
    except HeedError as fault:
        yield Check("settings", False, fault.message, "Mend heed.toml or the environment.")
        return
    yield Check("settings", True, "heed.toml and the environment hold")
    yield _answered("data folder", lambda: data_folder(settings))
    yield _answered("database", lambda: database(settings))
    yield _answered("base model", lambda: base_model(settings))
    yield _answered("live adapter", lambda: live_adapter(settings))
    yield _answered("adapter folders", lambda: adapter_folders(settings))
    yield _answered("open round", lambda: open_round(settings))
    yield torch()
    yield _answered("port", lambda: port(settings))


def python() -> Check:
    """Is this Python new enough?"""
    found = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info[:2] >= PYTHON_MINIMUM
    wanted = ".".join(map(str, PYTHON_MINIMUM))
    return Check("python", ok, found, "" if ok else f"Install Python {wanted} or newer.")


def packages() -> Check:
    """Are the top-level packages ours alone?"""
    owners = packages_distributions()
    others = {
        f"{package} (also of {owner})"
        for package in OUR_PACKAGES
        for owner in owners.get(package, [])
        if owner != "heed"
    }
    if not others:
        return Check("packages", True, f"{', '.join(OUR_PACKAGES)} belong to Heed alone")
    return Check(
        "packages",
        False,
        f"another distribution owns {', '.join(sorted(others))}",
        "Heed is an application: install it into a virtual environment of its own, or with pipx.",
    )


def sqlite() -> Check:
    """Is SQLite new enough for several processes to write to one file?"""
    ok = pysqlite3.sqlite_version_info >= SQLITE_MINIMUM
    remedy = f"Install pysqlite3>=0.6.1 (SQLite {'.'.join(map(str, SQLITE_MINIMUM))})."
    return Check("sqlite", ok, pysqlite3.sqlite_version, "" if ok else remedy)


def data_folder(settings: Settings) -> Check:
    """Can the data folder be written, and is there room?"""
    folder = settings.feedback.data_dir.absolute()
    there = _existing(folder)
    remedy = "Change its owner or mode, or set HEED_FEEDBACK__DATA_DIR to another folder."
    if not there.is_dir():
        return Check("data folder", False, f"{there} is no folder", remedy)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Check("data folder", False, f"{there}: {error.strerror}", remedy)
    free = shutil.disk_usage(there).free
    found = f"{folder}, {free / (1 << 30):.1f} GiB free" + (
        "" if there == folder else " (made on first use)"
    )
    if free < FREE_BYTES:
        return Check("data folder", False, found, "Free at least 1 GiB; rounds need it.")
    return Check("data folder", True, found)


def database(settings: Settings) -> Check:
    """Can the database be reached, and does it have this version's shape?"""
    store = Store(settings.feedback)
    where = store.url.render_as_string(hide_password=True)
    if store.is_sqlite and not Path(store.url.database or "").exists():
        return Check("database", True, f"{where} (made on first use)")
    try:
        found = revision(store)
        if found != schema.head():
            remedy = "Stop what uses an older version, then run `heed db upgrade`."
            told = f"{where} is at revision {found}, not {schema.head()}"
            return Check("database", False, told, remedy)
        drift = schema.drift(store)
        if drift:
            remedy = "Something else changed its tables: undo that, or restore a backup."
            return Check("database", False, f"{where} differs: {drift[0]}", remedy)
    finally:
        store.close()
    return Check("database", True, f"{where}, revision {found}")


def base_model(settings: Settings) -> Check:
    """Is the base model here, and which is it?"""
    folder = resolve(settings.trainer.base_model)
    if settings.serving.engine == "local":
        check(folder)
    found = f"{settings.trainer.base_model} ({base_hash(folder)[:12]}) in {folder}"
    return Check("base model", True, found)


def live_adapter(settings: Settings) -> Check:
    """Are the files of what is deployed those that were published?"""
    with _reading(settings) as (_, session):
        adapters = _deployed(session) if session is not None else []
    for adapter in adapters:
        registry.verify(settings.feedback.data_dir, adapter)
    told = ", ".join(adapter.id for adapter in adapters)
    return Check("live adapter", True, f"{told} verified" if told else "the base model answers")


def adapter_folders(settings: Settings) -> Check:
    """Is every adapter's folder one that the database knows, so that it can be listed?"""
    data_dir = settings.feedback.data_dir
    with _reading(settings) as (_, session):
        current = rounds.current(session) if session is not None else None
        found = registry.unknown(session, data_dir) if session is not None else []
    running = current.id if current is not None else ""
    lost = [each for each in found if registry.made_by(each) != running]
    if not lost:
        return Check("adapter folders", True, "each is in the database")
    return Check(
        "adapter folders",
        False,
        f"{len(lost)} in {data_dir / 'adapters'} are not in the database, so that nothing lists "
        "what they learned",
        "Unless the database was restored from a backup that is older than they are, remove them: "
        f"rm -r {' '.join(shlex.quote(str(each.absolute())) for each in lost)}",
    )


def open_round(settings: Settings) -> Check:
    """Does a process run the round that is open?"""
    with _reading(settings) as (store, session):
        row = attending.unattended(store, session) if session is not None else None
    if row is None:
        return Check("open round", True, "none that no process runs")
    if time.time() - row.created_at < LEASE_SECONDS:
        return Check("open round", True, f"{row.id} waits for its process")
    return Check(
        "open round",
        False,
        f"{row.id} is open ({row.stage}), and no process runs it",
        f"`heed round run` goes on with it, and so does `heed up` by itself; `heed round cancel "
        f"{row.id}` ends it.",
    )


def torch() -> Check:
    """Does torch load, and what will it compute on?"""
    try:
        loaded = import_module("torch")
    except Exception as error:  # noqa: BLE001 - a broken installation raises whatever it likes
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check("torch", False, told, "Reinstall torch for this machine (pytorch.org).")
    device = "CUDA" if loaded.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    return Check("torch", True, f"{loaded.__version__} on {device}")


def port(settings: Settings) -> Check:
    """Is the port free, or does a Heed answer there already?"""
    host, number = settings.serving.host, settings.serving.port
    try:
        server.bind(host, number).close()
    except Conflict as fault:
        if _heed_answers(host, number):
            return Check("port", True, f"a server answers on {host}:{number}")
        return Check("port", False, fault.message, "Stop the other program, or set serving.port.")
    return Check("port", True, f"{host}:{number} is free")


@contextmanager
def _reading(settings: Settings) -> Iterator[tuple[Store, Session | None]]:
    """The database and a session of it; no session where it has no table yet."""
    store = Store(settings.feedback)
    if store.is_sqlite and not Path(store.url.database or "").exists():
        yield store, None
        return
    try:
        if revision(store) is None:
            yield store, None
            return
        with store.session() as session:
            yield store, session
    finally:
        store.close()


def _deployed(session: Session) -> list[Adapter]:
    deployed = registry.live(session)
    names = [deployed.live_id, deployed.canary_id] if deployed else []
    return [registry.get(session, name) for name in names if name]


def _answered(name: str, ask: Callable[[], Check]) -> Check:
    """What a part refuses with is an answer too."""
    try:
        return ask()
    except HeedError as fault:
        return Check(name, False, fault.message)
    except OSError as fault:
        return Check(name, False, f"{fault.filename or ''} {fault.strerror or fault}".strip())


def _heed_answers(host: str, number: int) -> bool:
    import httpx

    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    try:
        answer = httpx.get(f"http://{local}:{number}/healthz", timeout=ANSWER_SECONDS)
        return bool(answer.json() == {"status": "ok"})
    except (httpx.HTTPError, ValueError):
        return False


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
