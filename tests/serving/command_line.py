"""Running `heed` in this process, on a data folder of the test's own."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from feedback.ids import new_id
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from serving.cli import app
from tests.builders import opened_round, staged
from trainer import registry
from trainer.models import Adapter, Round


def heed(*arguments: str) -> Result:
    """Run a command; what it raises that no person should see is raised here."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(*arguments: str) -> str:
    """Run a command that must work, and return what it printed."""
    result = heed(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def document(*arguments: str) -> Any:
    """Run a command that must work with ``--json``, and return its one document."""
    return json.loads(done(*arguments, "--json"))


def fault(*arguments: str, exit_code: int = 1) -> str:
    """Run a command that must fail, and return the line that says why."""
    result = heed(*arguments)
    assert result.exit_code == exit_code, result.output
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output
    return result.stderr


def store_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A migrated SQLite store in a folder that `heed` works on from now on."""
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(folder))
    monkeypatch.setenv("HEED_SERVING__ENGINE", "echo")
    store = Store(FeedbackSettings(data_dir=folder))
    schema.upgrade(store)
    return store


def ended(store: Store, **columns: Any) -> Round:
    """A round that is over; it ends after it is inserted, as rounds do."""
    row = opened_round(store)
    with store.session(write=True) as session:
        found = session.get_one(Round, row.id)
        for name, value in {"state": "promoted", "open_slot": None, **columns}.items():
            setattr(found, name, value)
        session.add(found)
        session.commit()
    return found


def adapter(store: Store, *, parent: str | None = None, made_by: Round | None = None) -> Adapter:
    """An adapter in the registry, its folder included."""
    name = new_id("adp")
    made = registry.publish(
        store.settings.data_dir,
        staged(store.settings.data_dir / "staging" / name, name.encode()),
        adapter_id=name,
        parent_id=parent,
        round_id=(made_by or ended(store)).id,
        base_model="owner/bare",
        base_hash="b" * 64,
    )
    with store.session(write=True) as session:
        session.add(made)
        session.commit()
    return made


def damage(store: Store, made: Adapter) -> None:
    """Change an adapter's weights behind the registry's back."""
    folder = registry.folder(store.settings.data_dir, made.digest)
    (folder / "adapter_model.safetensors").write_bytes(b"other weights")


REPORT: dict[str, Any] = {
    "outcome": "promote",
    "enforced": True,
    "summary": "The gate promotes. Lost: “prompt past”.",
    "rules": [
        {
            "name": "superiority",
            "suite": "new corrections",
            "outcome": "holds",
            "unit": "points",
            "margin": 0.0,
            "sentence": "New corrections: it gained 9 of 10.",
            "estimate": 90.0,
            "lower": 61.5,
            "upper": None,
            "items": 10,
            "clusters": 10,
            "lost": 0,
            "gained": 9,
            "discordant": 9,
            "needed": None,
        }
    ],
    "caught": [
        {
            "item_id": f"item_{kind}",
            "suite": f"suite {kind}",
            "kind": kind,
            "prompt": f"prompt {kind} | with a bar",
            "expected": f"expected {kind}",
            "incumbent_answer": f"before {kind}",
            "candidate_answer": f"now {kind}",
        }
        for kind in ("protected", "past")
    ],
}
COUNTS = {"feedback": 12, "used": 9, "held_out": 2, "examples": {"new demonstration": 9}}
