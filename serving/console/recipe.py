"""A round's frozen plan, split into what somebody chose and what is as it comes. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.settings import Plan


@dataclass(frozen=True)
class Setting:
    """One setting of a plan: its name, its value, what it is by default, and what it is for."""

    name: str
    value: str
    default: str
    meaning: str


def settings(plan: Mapping[str, Any]) -> tuple[list[Setting], list[Setting]]:
    """Return the settings that differ from the defaults, then the others, each by name.

    Args:
        plan: as it is stored on a round. A setting of an older Heed has no default here and counts
            as chosen.
    """
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in Plan.model_fields.items()
    }
    chosen: list[Setting] = []
    usual: list[Setting] = []
    for name, value in sorted(plan.items()):
        field = Plan.model_fields.get(name)
        default = _plain(defaults[name]) if field is not None else "not known any more"
        made = Setting(name, _plain(value), default, (field.description or "") if field else "")
        (usual if made.value == default else chosen).append(made)
    return chosen, usual


def _plain(value: Any) -> str:
    """A value as it would be written; what comes as a tuple is stored as a list."""
    return json.dumps(value, default=str, ensure_ascii=False)
