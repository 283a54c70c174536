"""An adapter as others can use it: a plain PEFT folder with a model card. Knows no database.

The card may be published with the weights, so it quotes the shop's own protected items and never
what people wrote: of those it gives the numbers.
"""

import json
import os
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from feedback.errors import Conflict
from trainer import registry
from trainer.base_folder import STARTER
from trainer.models import Adapter, Round
from trainer.rebase import COUNT
from trainer.suites import SuiteKind

CARD = "README.md"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def export(data_dir: Path, adapter: Adapter, round_: Round | None, target: Path) -> Path:
    """Write an adapter's files and its card into a folder, whole or not at all.

    Args:
        data_dir: where the registry's folders lie.
        adapter: what to export; its files are verified first.
        round_: the round that made it, where it is on record.
        target: the folder to make; it may exist where it is empty.

    Raises:
        Invalid: the adapter's files are not those that were published.
        Conflict: there is something in `target` already.
    """
    source = registry.verify(data_dir, adapter)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(f"{target} exists and is not an empty folder; name another one.")
    target = target.absolute()
    staging = target.with_name(f".{target.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        for name in registry.FILES:
            shutil.copyfile(source / name, staging / name)
        (staging / CARD).write_text(model_card(adapter, round_), encoding="utf-8")
        os.replace(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def zipped(data_dir: Path, adapter: Adapter, round_: Round | None) -> Path:
    """Write what `export` writes into one archive, in a new folder beside the data; the caller's to remove.

    Nothing is compressed: weights hardly shrink, and there may be gigabytes of them.

    Raises:
        Invalid: the adapter's files are not those that were published.
    """
    own = Path(tempfile.mkdtemp(prefix="export-", dir=data_dir))
    try:
        files = export(data_dir, adapter, round_, own / adapter.id)
        with zipfile.ZipFile(own / f"{adapter.id}.zip", "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(files.iterdir()):
                archive.write(path, f"{adapter.id}/{path.name}")
        shutil.rmtree(files)
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return own / f"{adapter.id}.zip"


def model_card(adapter: Adapter, round_: Round | None) -> str:
    """Return the card (Markdown, with the hub's header): origin, data, judgement, known losses."""
    report = (round_.shown_report if round_ else None) or {}
    parts = [
        _header(adapter),
        f"# {adapter.id}",
        "A LoRA adapter that Heed trained on its users' feedback.",
        _table(("", ""), _facts(adapter, round_)),
        "## Data",
        _data(round_.counts if round_ else {}),
        "## What was left out",
        _filters(round_.counts if round_ else {}),
        "## How it was judged",
        _judgement(report),
        "## Known losses",
        _losses(report),
        "## How it was trained",
        _plan(round_.plan if round_ else {}),
        "## Use",
        _use(adapter),
    ]
    return "\n\n".join(parts) + "\n"


def _header(adapter: Adapter) -> str:
    known = _HUB_ID.fullmatch(adapter.base_model) and not Path(adapter.base_model).exists()
    lines = [
        "---",
        *([f"base_model: {adapter.base_model}"] if known else []),
        "library_name: peft",
        "pipeline_tag: text-generation",
        "tags: [lora, heed]",
        "---",
    ]
    return "\n".join(lines)


def _facts(adapter: Adapter, round_: Round | None) -> Iterator[tuple[str, object]]:
    yield "Base model", f"`{_base(adapter)}`"
    yield "Base model's SHA-256", f"`{adapter.base_hash}`"
    yield "Parent", f"`{adapter.parent_id}`" if adapter.parent_id else "the base model"
    yield "Round", f"`{adapter.round_id}`" if adapter.round_id else "none: it was not made by one"
    if round_ is not None:
        if COUNT in round_.counts:
            yield "Starts from", f"a fresh adapter, since {round_.counts[COUNT]}"
        yield "Verdict", round_.state
        yield "Snapshot's SHA-256", f"`{round_.snapshot_sha256}`"
    yield "Manifest's SHA-256", f"`{adapter.digest}`"
    yield "Made", datetime.fromtimestamp(adapter.created_at, UTC).isoformat(timespec="seconds")


def _base(adapter: Adapter) -> str:
    """A folder on the machine that trained it says nothing to others but its name."""
    if _HUB_ID.fullmatch(adapter.base_model):
        return adapter.base_model
    return Path(adapter.base_model).name


def _data(counts: Mapping[str, Any]) -> str:
    if not counts:
        return "Not on record."
    rows: list[tuple[str, object]] = []
    if "documents" in counts:
        read = counts["documents"]
        rows = [
            ("Documents that the round read", read.get("files", 0)),
            ("Pieces of them that it learned from", read.get("trained", 0)),
            ("… that judged it instead", read.get("held_out", 0)),
        ]
    else:
        rows = [
            ("Pieces of feedback that the round gathered", counts.get("feedback", 0)),
            ("… that it learned from", counts.get("used", 0)),
            ("… that judged it instead", counts.get("held_out", 0)),
            ("… that measured it instead", counts.get("measured", 0)),
            (
                "… refused, since a reviewed correction contradicts them",
                counts.get("contradicted", 0),
            ),
            (
                "… refused, since a reviewer accepted another answer later",
                counts.get("superseded", 0),
            ),
            ("… refused, since the base model cannot learn them", counts.get("unfit", 0)),
            ("Past examples that a correction replaced", counts.get("retired", 0)),
        ]
    rows += [
        (f"Training examples: {kind}", number)
        for kind, number in counts.get("examples", {}).items()
    ]
    return _table(("", "count"), rows)


def _filters(counts: Mapping[str, Any]) -> str:
    """What the round read and did not learn from, with the reason."""
    if not counts:
        return "Not on record."
    rows: list[tuple[str, object]] = [
        (reason, counts[name])
        for name, reason in (
            ("contradicted", "A reviewed correction says otherwise"),
            ("superseded", "A reviewer accepted another answer later"),
            ("personal", "The answer holds personal data"),
            ("unfit", "Too long for the base model, or refused by its chat template"),
            ("retired", "A newer correction replaces it"),
            ("dev", "It tuned the round"),
        )
        if counts.get(name)
    ]
    if counts.get("conflicts"):
        rows.append(("Corrections that contradict a protected item", len(counts["conflicts"])))
    read = counts.get("documents", {})
    rows += [
        (f"Pieces of documents: {each['reason']}", each["pieces"])
        for each in read.get("dropped", ())
    ]
    if read.get("personal_sentences"):
        rows.append(("Sentences of documents with personal data", read["personal_sentences"]))
    told = _table(("reason", "count"), rows) if rows else "Nothing."
    noise = counts.get("noise") or {}
    estimated = [
        f"{kind} {each['wrong_share']:.1%}"
        for kind, each in noise.items()
        if each.get("wrong_share") is not None
    ]
    return told + (
        f"\n\nEstimated share of wrong votes: {', '.join(estimated)}." if estimated else ""
    )


def _judgement(report: Mapping[str, Any]) -> str:
    if not report:
        return "No report is on record."
    rows = [
        (
            rule["suite"],
            rule["name"],
            rule["outcome"],
            _number(rule.get("estimate"), rule["unit"]),
            interval(rule),
            _number(rule["margin"], rule["unit"]),
            rule.get("items", 0),
            rule.get("lost", 0),
            rule.get("gained", 0),
        )
        for rule in report["rules"]
    ]
    columns = ("suite", "rule", "outcome", "change", "95% bounds", "margin", "items", "-", "+")
    enforced = "" if report.get("enforced", True) else " It only reported; it decided nothing."
    # Not the report's summary: that one quotes items, whoever wrote them.
    told = "\n".join(f"- {rule['sentence']}" for rule in report["rules"])
    return f"The gate said: {report['outcome']}.{enforced}\n\n{_table(columns, rows)}\n\n{told}"


def interval(rule: Mapping[str, Any]) -> str:
    """Return a rule's bounds as people read them; empty where it has none."""
    lower, upper = rule.get("lower"), rule.get("upper")
    if lower is None and upper is None:
        return ""
    shown = [_number(bound, "") for bound in (lower, upper)]
    return f"[{shown[0] or '-∞'}, {shown[1] or '∞'}]"


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}".strip()


def _losses(report: Mapping[str, Any]) -> str:
    caught = report.get("caught", [])
    if not caught:
        return "None was found." if report else "Not on record."
    ours = [item for item in caught if item["kind"] in get_args(SuiteKind)]
    others = Counter(item["suite"] for item in caught if item["kind"] not in get_args(SuiteKind))
    parts = []
    if ours:
        columns = ("suite", "item", "prompt", "expected", "now answers")
        keys = ("suite", "item_id", "prompt", "expected", "candidate_answer")
        parts.append(_table(columns, [tuple(item[key] for key in keys) for item in ours]))
    if others:
        told = ", ".join(f"{number} of {suite}" for suite, number in others.items())
        parts.append(
            f"Answered rightly before and wrongly now: {told} (not quoted: people wrote them)."
        )
    return "\n\n".join(parts)


def _plan(plan: Mapping[str, Any]) -> str:
    if not plan:
        return "Not on record."
    hidden: tuple[str, ...] = ("base_model", "general_file", "protected_file", "threads")
    hidden += ("augmentation_url", "augmentation_model", "judge_url", "judge_model")
    return _table(
        ("setting", "value"),
        [(f"`{name}`", json.dumps(value)) for name, value in plan.items() if name not in hidden],
    )


def _use(adapter: Adapter) -> str:
    base = _base(adapter)
    note = ""
    if base == STARTER:
        base, note = "PATH", "`PATH` is the folder of Heed's starter model."
    elif "/" not in base:
        base, note = "PATH", f"`PATH` is the folder of {base}."
    code = (
        "```python\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("{base}")\n'
        'model = PeftModel.from_pretrained(model, "THIS_FOLDER")\n'
        "```"
    )
    return f"{note}\n\n{code}".strip()


def _table(columns: tuple[str, ...], rows: Any) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(cell: object) -> str:
    return " ".join(str(cell).replace("|", "\\|").split())
