"""What tests of the learner's options train on, and how."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from trainer.examples import Example, Message, Source
from trainer.learner import Trained, train
from trainer.settings import Plan

SKY, LETTER, APPLES = "What colour is the sky?", "Who wrote the letter?", "How many apples?"


def ask(question: str) -> tuple[Message, ...]:
    """A conversation that waits for an answer."""
    return (Message(role="user", content=question),)


def demonstration(
    question: str, answer: str, source: Source = "new", *, weight: float = 1.0
) -> Example:
    """An answer to imitate."""
    return Example("demonstration", ask(question), answer, source=source, weight=weight)


MIXED = [
    demonstration(SKY, "It is green."),
    demonstration("Why?", "Because.", "past"),
    demonstration("Where is the station?", "Behind the old market.", "general"),
    Example("preference", ask(LETTER), "Ana.", rejected="I do not know."),
    Example("verdict", ask(APPLES), "Seven apples.", liked=True),
    Example("verdict", ask("Where?"), "There.", liked=False, weight=0.3),
]


def plan(**changes: Any) -> Plan:
    """A plan for a model of two small layers."""
    return Plan(
        **{
            "base_model": "tiny",
            "rank": 8,
            "alpha": 16,
            "epochs": 4.0,
            "minimum_steps": 0,
            "threads": 1,
            "learning_rate": 1e-2,
            **changes,
        }
    )


def learn(
    model: Path,
    examples: list[Example],
    out: Path,
    *,
    parent: Path | None = None,
    **changes: Any,
) -> Trained:
    """Train an adapter."""
    return train(plan(**changes), model, examples, parent=parent, out=out, report=lambda _: None)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """An adapter's weights by name."""
    found: dict[str, torch.Tensor] = load_file(folder / "adapter_model.safetensors")
    return found


def apart(one: Path, other: Path) -> float:
    """The greatest difference between two adapters' weights."""
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
