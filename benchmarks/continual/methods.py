"""The methods by name: Heed itself, what it is compared with, and variants of either.

Knows how they are called and what each may set; how they learn is in `product` and `baselines`.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.continual.tasks import Stream
from feedback.errors import Invalid
from feedback.settings import FeedbackSettings
from trainer.settings import Plan

Kind = Literal["heed", "frozen", "sequential", "ewc", "uniform", "joint", "lookup"]

JOINT_ROUNDS = (5, 10, 20)
EWC_FIELD = "ewc_weight"
EWC_WEIGHT = 1.0
"""With it two small rounds were learned and half of the first was kept; others are variants."""
FEEDBACK = "feedback."


@dataclass(frozen=True)
class Method:
    """One way to learn, with what it sets differently.

    Attributes:
        name: as it stands in the tables.
        kind: which of the ways it is.
        plan: fields of the plan that differ from the product's defaults.
        feedback: settings of the store that differ; for Heed alone.
    """

    name: str
    kind: Kind
    plan: dict[str, Any] = field(default_factory=dict)
    feedback: dict[str, Any] = field(default_factory=dict)

    def learns_in(self, number: int, rounds: int) -> bool:
        """Whether there is anything to do in a round, counted from 1."""
        return self.kind != "joint" or number in JOINT_ROUNDS or number == rounds

    def about(self) -> dict[str, Any]:
        """What tells it from another of the same name."""
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """One round's work.

    Attributes:
        stream: the stream.
        number: the round, counted from 1.
        seed: of the run.
        folder: holds what the method kept after the round before; what it leaves is kept.
        scratch: an empty folder that is thrown away.
        threads: CPU threads, or None as the product chooses.
        ways: only the first so many lessons about each thing are given; None gives all.
        report: told a share between 0 and 1 and what is being done.
    """

    stream: Stream
    number: int
    seed: int
    folder: Path
    scratch: Path
    threads: int | None
    ways: int | None = None
    report: Callable[[float, str], None] = lambda _share, _what: None


@dataclass
class Learned:
    """What a round left: the adapter that answers now, what it cost, and what was noted.

    Attributes:
        adapter: PEFT folder, or None for the base model.
        train_cpu_seconds: CPU time of training, all threads.
        cpu_seconds: of everything that the round did, judging included.
        tokens: trained on, without padding.
        steps: optimizer steps.
        examples: rows that were trained on, old ones included.
        notes: whatever else should be kept: the gate's verdict, counts.
    """

    adapter: Path | None
    train_cpu_seconds: float = 0.0
    cpu_seconds: float = 0.0
    tokens: int = 0
    steps: int = 0
    examples: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


def standard() -> dict[str, Method]:
    """The methods that need no option."""
    kinds: tuple[Kind, ...] = ("frozen", "heed", "sequential", "uniform", "joint", "lookup")
    found: dict[str, Method] = {kind: Method(kind, kind) for kind in kinds}
    if EWC_FIELD in Plan.model_fields:
        found["ewc"] = Method("ewc", "ewc", plan={EWC_FIELD: EWC_WEIGHT})
    return found


def chosen(asked: str | None, variants: list[str]) -> list[Method]:
    """The methods to run: all that need no option, or those that are asked for, and the variants.

    Args:
        asked: names separated by commas; None for all.
        variants: ``NAME:key=value,…`` varies Heed, ``NAME@METHOD:key=value,…`` another method; a key
            is a field of the plan, or ``feedback.`` and a setting of the store.

    Raises:
        Invalid: there is no such method or field, or a value does not fit; says which.
    """
    known = standard()
    found = []
    for name in asked.split(",") if asked else known:
        if name not in known:
            missing = (
                f" The plan has no field {EWC_FIELD!r} yet, so EWC is not available."
                if name == "ewc"
                else ""
            )
            raise Invalid(
                f"There is no method {name!r}; choose from {', '.join(known)}.{missing}",
                param="methods",
            )
        found.append(known[name])
    found += [_variant(text, known) for text in variants]
    # Everything is measured against what the starter knew before.
    if not any(method.kind == "frozen" for method in found):
        found.insert(0, known["frozen"])
    names = [method.name for method in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise Invalid(f"Two methods are called {twice!r}; give the variant another name.")
    return found


def plan(method: Method, work: Work) -> Plan:
    """The plan of one round."""
    fields = {"base_model": "starter", "seed": work.seed, "threads": work.threads}
    return Plan(**{**fields, "gate": "report-only", **method.plan})


def _variant(text: str, known: dict[str, Method]) -> Method:
    head, colon, tail = text.partition(":")
    name, _, base = head.partition("@")
    base = base or "heed"
    if not colon or not name or base not in known:
        raise Invalid(
            f"{text!r} is no variant; write NAME:key=value,… or NAME@METHOD:key=value,…, with a "
            f"method of {', '.join(known)}.",
            param="variant",
        )
    of = known[base]
    fields: dict[str, str] = {}
    for pair in filter(None, tail.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise Invalid(f"{pair!r} in {text!r} is no key=value.", param="variant")
        fields[key] = value
    settings = {
        key.removeprefix(FEEDBACK): value
        for key, value in fields.items()
        if key.startswith(FEEDBACK)
    }
    own = {key: value for key, value in fields.items() if not key.startswith(FEEDBACK)}
    try:
        # Read as the settings read them, so that "0.5" is a number and a misspelt name a fault.
        read = Plan(**{**of.plan, **own}).model_dump(include=set(of.plan) | set(own))
        stored = FeedbackSettings(**settings).model_dump(include=set(settings))
    except ValueError as error:
        raise Invalid(f"The variant {text!r} does not fit: {error}", param="variant") from error
    return Method(name, of.kind, read, stored)
