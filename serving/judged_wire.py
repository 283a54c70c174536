"""How suites and the ledger look on the wire. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer import suite_files
from trainer.guarded import Kept
from trainer.ledger import Line
from trainer.models import LedgerEntry


def suite(kept: Kept, *, whole: bool = False) -> dict[str, Any]:
    """Return a suite; its items only where it is asked for alone."""
    return {
        "id": kept.name,
        "object": "suite",
        "kind": kept.kind,
        "origin": kept.origin,
        "items_count": len(kept.items),
        **({"items": [suite_files.to_row(item) for item in kept.items]} if whole else {}),
    }


def entries(
    rows: Sequence[LedgerEntry], prompts: Mapping[tuple[str, str], str]
) -> list[dict[str, Any]]:
    """Return the rows of one round's ledger."""
    return [
        {
            "id": f"{row.suite}/{row.item_id}",
            "object": "ledger.entry",
            "round": row.round_id,
            "kind": row.kind,
            "suite": row.suite,
            "item": row.item_id,
            "prompt": prompts.get((row.suite, row.item_id)),
            "incumbent": row.incumbent_id,
            "adapter": row.adapter_id,
            "right_before": row.right_before,
            "right_after": row.right_after,
            "forgotten": row.right_before and not row.right_after,
            "replay": replay(row),
        }
        for row in rows
    ]


def line(found: Line) -> dict[str, Any]:
    """Return one item with its marks under each adapter."""
    return {
        "id": f"{found.suite}/{found.item_id}",
        "object": "ledger.item",
        "kind": found.kind,
        "suite": found.suite,
        "item": found.item_id,
        "prompt": found.prompt,
        "forgotten": found.forgotten,
        "marks": [
            {"round": mark.round_id, "adapter": mark.adapter, "right": mark.right}
            for mark in found.marks
        ],
    }


def replay(row: LedgerEntry) -> str | None:
    """Return whether a forgotten item is to be rehearsed: `asked`, `done` or None."""
    if row.replay_asked_at is None:
        return None
    return "done" if row.replayed_in else "asked"
