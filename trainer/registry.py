"""Adapters: published atomically, verified by digest, promoted and rolled back. Knows no engine.

A published adapter is a folder of plain PEFT safetensors and a manifest, named by the SHA-256 of
that manifest, so that neither a name nor a file can be changed without it showing.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from feedback.durable import sync
from feedback.errors import Conflict, Invalid, NotFound
from feedback.ids import new_id
from feedback.settings import PROJECT
from trainer.models import Adapter, Deployment, DeploymentMode

FILES = ("adapter_config.json", "adapter_model.safetensors")
MANIFEST = "manifest.json"


def publish(
    data_dir: Path,
    staging: Path,
    *,
    adapter_id: str,
    parent_id: str | None,
    round_id: str,
    base_model: str,
    base_hash: str,
) -> Adapter:
    """Move a trained adapter into the registry's folder, whole or not at all.

    The files are synced before the rename and the parent folder after it, so a crash leaves either
    no folder or a complete one. The row is the caller's to add.

    Raises:
        Invalid: a file is missing from `staging`, is a link, or there is one too many: it could
            never be verified.
    """
    missing = [name for name in FILES if not _is_plain_file(staging / name)]
    if missing:
        raise Invalid(f"The trained adapter in {staging} lacks {', '.join(missing)}.")
    extra = _extra(staging)
    if extra:
        raise Invalid(f"The trained adapter in {staging} also holds {', '.join(extra)}.")
    manifest = {
        "adapter": adapter_id,
        "parent": parent_id,
        "round": round_id,
        "base_model": base_model,
        "base_hash": base_hash,
        "files": {
            name: {"sha256": _sha256(staging / name), "bytes": (staging / name).stat().st_size}
            for name in FILES
        },
    }
    content = json.dumps(manifest, indent=1, sort_keys=True).encode()
    (staging / MANIFEST).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    final = folder(data_dir, digest)
    final.parent.mkdir(parents=True, exist_ok=True)
    for name in (*FILES, MANIFEST):
        sync(staging / name)
    sync(staging)
    if final.exists():
        shutil.rmtree(staging)
    else:
        os.replace(staging, final)
    sync(final.parent)
    return Adapter(
        id=adapter_id,
        parent_id=parent_id,
        round_id=round_id,
        digest=digest,
        base_model=base_model,
        base_hash=base_hash,
        created_at=time.time(),
    )


def folder(data_dir: Path, digest: str) -> Path:
    """Return where an adapter of this digest lies."""
    return data_dir / "adapters" / digest


def unknown(session: Session, data_dir: Path) -> list[Path]:
    """Return the folders in the registry that no row names: of rounds that did not get so far."""
    known = set(session.exec(select(Adapter.digest)))
    return sorted(each for each in (data_dir / "adapters").glob("*") if each.name not in known)


def made_by(place: Path) -> str | None:
    """Return the id of the round that published a folder; None where no sound manifest says so."""
    try:
        content = (place / MANIFEST).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != place.name:
        return None
    said: str | None = json.loads(content)["round"]
    return said


def verify(data_dir: Path, adapter: Adapter) -> Path:
    """Return the adapter's folder after checking every byte of it against its digest.

    Raises:
        Invalid: a file is missing, changed, or there is one too many; says which, and what to do.
    """
    place = folder(data_dir, adapter.digest)
    remedy = (
        f"Adapter {adapter.id} is not served. Restore {place} from a backup, or roll back "
        "(`heed adapters rollback`)."
    )
    try:
        content = (place / MANIFEST).read_bytes()
    except OSError as error:
        raise Invalid(f"The manifest of {adapter.id} cannot be read. {remedy}") from error
    if hashlib.sha256(content).hexdigest() != adapter.digest:
        raise Invalid(f"The manifest of {adapter.id} is not the published one. {remedy}")
    manifest: dict[str, Any] = json.loads(content)
    for name in FILES:
        path = place / name
        if not _is_plain_file(path):
            raise Invalid(f"{name} of {adapter.id} is missing or a link. {remedy}")
        if _sha256(path) != manifest["files"][name]["sha256"]:
            raise Invalid(f"{name} of {adapter.id} differs from its digest. {remedy}")
    extra = _extra(place)
    if extra:
        raise Invalid(f"The folder of {adapter.id} also holds {', '.join(extra)}. {remedy}")
    return place


def get(session: Session, adapter_id: str) -> Adapter:
    """Return an adapter.

    Raises:
        NotFound: no adapter has this id.
    """
    adapter = session.get(Adapter, adapter_id)
    if adapter is None or adapter.project_id != PROJECT:
        raise NotFound(
            f"No adapter {adapter_id!r}; `heed adapters list` shows those there are.",
            param="adapter",
        )
    return adapter


def adapters(session: Session) -> Sequence[Adapter]:
    """Return every adapter, newest first."""
    query = select(Adapter).where(Adapter.project_id == PROJECT)
    return session.exec(query.order_by(col(Adapter.id).desc())).all()


def live(session: Session) -> Deployment | None:
    """Return the deployment in force; None before the first one (the base model answers)."""
    query = select(Deployment).where(Deployment.project_id == PROJECT)
    return session.exec(query.order_by(col(Deployment.generation).desc()).limit(1)).first()


def live_id(session: Session) -> str | None:
    """Return the live adapter's id; None where the base model answers."""
    deployment = live(session)
    return deployment.live_id if deployment else None


def lineage(session: Session, adapter_id: str | None) -> Iterator[Adapter]:
    """Yield an adapter and its ancestors, youngest first."""
    while adapter_id is not None:
        adapter = get(session, adapter_id)
        yield adapter
        adapter_id = adapter.parent_id


def promote(
    session: Session, adapter_id: str, *, actor: str, reason: str, canary_share: float = 0.0
) -> Deployment:
    """Make an adapter live, or a canary for a share of people. Idempotent. The caller commits.

    Raises:
        NotFound: no adapter has this id.
        Conflict: it was rejected, or somebody deployed at the same moment.
    """
    adapter = get(session, adapter_id)
    if adapter.state == "rejected":
        raise Conflict(
            f"Adapter {adapter_id} was refused by the gate and is not deployed; round "
            f"{adapter.round_id} says why."
        )
    current = live(session)
    if canary_share:
        if current is not None and (
            current.live_id == adapter_id
            or (current.canary_id == adapter_id and current.canary_share == canary_share)
        ):
            return current
        return deploy(
            session,
            current,
            live_id=current.live_id if current else None,
            canary_id=adapter_id,
            canary_share=canary_share,
            actor=actor,
            reason=reason,
        )
    if current is not None and current.live_id == adapter_id and current.canary_id is None:
        return current
    return deploy(session, current, live_id=adapter_id, actor=actor, reason=reason)


def rollback(session: Session, *, actor: str, reason: str = "rolled back by hand") -> Deployment:
    """Return to the live adapter's parent; a canary is simply taken away. The caller commits.

    An ancestor that never was live, such as a checkpoint that a round started from, was judged by
    nobody and is passed over.

    Raises:
        Conflict: the base model is live already, so there is nothing to go back to.
    """
    current = live(session)
    return deploy(session, current, live_id=_before(session, current), actor=actor, reason=reason)


def rollback_target(session: Session) -> str | None:
    """Return what `rollback` would leave live; None where that is the base model. Changes nothing.

    Raises:
        Conflict: the base model is live already, so there is nothing to go back to.
    """
    return _before(session, live(session))


def deploy(
    session: Session,
    current: Deployment | None,
    *,
    live_id: str | None,
    actor: str,
    reason: str,
    canary_id: str | None = None,
    canary_share: float = 0.0,
    mode: DeploymentMode = "canary",
) -> Deployment:
    """Put a deployment into force after `current`, the one that was read. The caller commits.

    Raises:
        Conflict: somebody deployed at the same moment.
    """
    deployment = Deployment(
        id=new_id("dep"),
        generation=(current.generation if current else 0) + 1,
        live_id=live_id,
        canary_id=canary_id,
        canary_share=canary_share,
        mode=mode,
        reason=reason,
        actor=actor,
        created_at=time.time(),
    )
    states = {canary_id: "canary", live_id: "live"}
    # As they are now: one that was read before `current` was may have been retired meanwhile, and
    # setting what it seems to be already would write nothing.
    query = select(Adapter).where(Adapter.project_id == PROJECT)
    for adapter in session.exec(query.execution_options(populate_existing=True)):
        if adapter.id in states:
            adapter.state = states[adapter.id]
        elif adapter.state in ("live", "canary"):
            adapter.state = "retired"
        session.add(adapter)
    session.add(deployment)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(
            "Somebody else deployed an adapter at this moment; look at `heed adapters list` and "
            "try again."
        ) from error
    return deployment


def _before(session: Session, current: Deployment | None) -> str | None:
    if current is not None and current.canary_id is not None:
        return current.live_id
    if current is None or current.live_id is None:
        raise Conflict("The base model is live; there is nothing to roll back to.")
    ancestors = lineage(session, get(session, current.live_id).parent_id)
    return next((each.id for each in ancestors if each.state != "candidate"), None)


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _extra(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name not in (*FILES, MANIFEST))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
