"""What a plan's options make of a round's material before it is frozen. No torch of its own.

Where all are off nothing is read, no model is loaded and the material stays as it is. The story is in
`enriched`; each option is a module of its own.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlmodel import Session, col, select

from feedback.errors import HeedError
from feedback.privacy import placeholders, redacted, redacted_json
from feedback.settings import PROJECT, FeedbackSettings
from feedback.words import normalised
from trainer import (
    label_noise,
    neighbours,
    off_policy,
    pseudo_labels,
    registry,
    replay,
    unlearned,
)
from trainer.augmentation import Paraphraser, augmented
from trainer.examples import Example
from trainer.material import Gathered, Sorted
from trainer.models import Adapter
from trainer.pseudo_labels import Logged
from trainer.settings import Plan

if TYPE_CHECKING:
    from trainer.policy import Policy

BASE = "base"
"""How exchanges name the base model."""


@dataclass(frozen=True)
class Extra:
    """What options need beside what every round gathers.

    Attributes:
        unlabelled: questions that nobody remarked on.
        older: adapters that gave answers which the round learns from, by id.
    """

    unlabelled: tuple[Logged, ...] = ()
    older: Mapping[str, Adapter] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """Where a round works.

    Attributes:
        settings: the data folder and what is redacted.
        present_id: id of the adapter that the round continues, None for the base model.
        base_hash: of the base model.
        open_policy: loads the base model with that adapter attached as ``incumbent``.
        should_stop: whether somebody wants the round to end.
        afresh: the round starts from a fresh adapter: what the live one knows does not matter to it.
        tell: told what takes long before it starts.
    """

    settings: FeedbackSettings
    present_id: str | None
    base_hash: str
    open_policy: Callable[[], "Policy"]
    should_stop: Callable[[], bool] = lambda: False
    afresh: bool = False
    tell: Callable[[str], None] = lambda _: None

    @property
    def present(self) -> str | None:
        """The adapter's name in the policy."""
        return None if self.present_id is None else "incumbent"


def read(session: Session, plan: Plan, gathered: Gathered) -> Extra:
    """Read what the plan's options need; nothing where they are off."""
    logged: list[Logged] = []
    if plan.pseudo_label_share:
        logged = pseudo_labels.unlabelled(session)
    older: dict[str, Adapter] = {}
    if plan.off_policy_weighting == "ratio":
        gave = {word.adapter_id for word in gathered.words}
        query = select(Adapter).where(Adapter.project_id == PROJECT, col(Adapter.id).in_(gave))
        older = {row.id: row for row in session.exec(query)}
    return Extra(tuple(logged), older)


def enriched(
    sorted_: Sorted, gathered: Gathered, extra: Extra, plan: Plan, around: Surroundings
) -> tuple[Sorted, tuple[str, ...]]:
    """Return the material with what the plan's options add, and notes on what they could not do.

    Args:
        sorted_: what the round would learn without them.
        gathered: what it was sorted from.
        extra: from `read`.
        plan: says which options are on.
        around: where the round works.
    """
    training: Sequence[Example] = sorted_.training
    notes: list[str] = []
    if plan.preference_loss in ("conservative", "robust") and plan.label_noise == "estimated":
        training = label_noise.estimated(training, gathered.words)
    models = _Models(around, extra)
    judging = cache(lambda: judging_questions(sorted_, gathered))
    if plan.off_policy_weighting != "off":
        policy = models.policy()
        behaviours: dict[str, str | None] = {}
        if plan.off_policy_weighting == "ratio":
            behaviours = models.attached()
        training, note = off_policy.weighted(
            training,
            gathered.words,
            by=plan.off_policy_weighting,
            clip=plan.off_policy_clip,
            policy=policy,
            present=around.present,
            present_id=around.present_id or BASE,
            behaviours=behaviours,
        )
        notes.append(note)
    shown = sum(each.kind == "demonstration" and each.source == "new" for each in training)
    if plan.teach_again and plan.new_exposures and around.present and not around.afresh:
        training = _taught_again(training, gathered, plan, around=around, models=models)
    if plan.augment_prompts or plan.typing_noise or _are_repeated(training, plan):
        training, note = augmented(
            training,
            plan,
            service=paraphraser(plan),
            should_stop=around.should_stop,
            judging=judging(),
        )
        notes.append(note)
    if plan.neighbour_share:
        training = _beside_neighbours(
            training, gathered, plan, around=around, models=models, judging=judging()
        )
    if most := int(plan.pseudo_label_share * shown):
        own = _pseudo_labelled(
            gathered, extra, plan, around=around, models=models, judging=judging(), most=most
        )
        training = [*training, *own]
    if training is sorted_.training:
        return sorted_, ()
    return replace(sorted_, training=tuple(training)), tuple(filter(None, notes))


def _are_repeated(training: Sequence[Example], plan: Plan) -> bool:
    return plan.paraphrase_repeats and any(each.repeats > 1 for each in training)


def paraphraser(plan: Plan) -> Paraphraser | None:
    """Return the service that paraphrases, where the plan names one."""
    if plan.augmentation_url is None or plan.augmentation_model is None:
        return None
    from trainer.paraphrasing_service import ParaphrasingService

    return ParaphrasingService(plan.augmentation_url, plan.augmentation_model)


def _taught_again(
    training: Sequence[Example],
    gathered: Gathered,
    plan: Plan,
    *,
    around: Surroundings,
    models: "_Models",
) -> Sequence[Example]:
    olds = sum(each.source != "new" for each in training)
    if not olds:
        return training
    around.tell(f"Asking the live model {olds} old questions")
    doubtful = {
        name for old in gathered.past if old.trust < replay.TRUSTED for name in old.feedback_ids
    }
    return unlearned.taught_again(
        training,
        policy=models.policy(),
        present=around.present,
        exposures=plan.new_exposures,
        epochs=plan.epochs,
        max_new_tokens=plan.max_new_tokens,
        doubtful=frozenset(doubtful),
    )


def _pseudo_labelled(
    gathered: Gathered,
    extra: Extra,
    plan: Plan,
    *,
    around: Surroundings,
    models: "_Models",
    judging: set[str],
    most: int,
) -> list[Example]:
    keeps = around.settings.redaction == "off"
    taken = {old.id for old in gathered.general}  # its own answers may be rehearsed already
    logged = [
        each if keeps else replace(each, messages=redacted_json(each.messages, around.settings))
        for each in extra.unlabelled
        if each.id not in taken
    ]
    if not logged:
        return []
    return pseudo_labels.labelled(
        logged,
        policy=models.policy(),
        present=around.present,
        present_id=around.present_id or BASE,
        reviewed=[word for word in gathered.words if word.correction is not None],
        judging=judging,
        most=most,
        confidence=plan.pseudo_label_confidence,
        weight=plan.pseudo_label_weight,
        max_new_tokens=plan.max_new_tokens,
        may_be_said=_may_be_said(around),
    )


def judging_questions(sorted_: Sorted, gathered: Gathered) -> set[str]:
    """Return the questions that judge the round, in normal form."""
    questions = [
        *(item.messages[-1]["content"] for item in gathered.protected),
        *(old.messages[-1]["content"] for old in sorted_.judging),
        *(word.messages[-1]["content"] for word in sorted_.held_out),
    ]
    return {normalised(question) for question in questions}


def _may_be_said(around: Surroundings) -> Callable[[str], bool]:
    """Whether an answer of a model holds nothing that no model is taught to say."""
    keeps = around.settings.redaction == "off"
    return lambda answer: keeps or not placeholders(redacted(answer, around.settings))


def _beside_neighbours(
    training: Sequence[Example],
    gathered: Gathered,
    plan: Plan,
    *,
    around: Surroundings,
    models: "_Models",
    judging: set[str],
) -> Sequence[Example]:
    """The same with questions next to the new ones, in place of as much general material, and with some
    next to the past ones."""
    passes = math.ceil(plan.epochs)
    news = sum(each.repeats for each in training if neighbours.is_news(each))
    past = sum(each.repeats / each.in_turn for each in training if each.source == "past")
    of_new = round(plan.neighbour_share * news)
    of_past = round(plan.neighbour_past_share * past)
    asked = neighbours.neighbours(
        training,
        [*gathered.general, *gathered.past],
        count=of_new * passes,
        of_past=of_past * passes,
        seed=plan.seed,
        judging=judging,
    )
    if not asked.asked:
        return training
    around.tell(f"Asking the live model {len(asked.asked)} questions next to the new ones")
    answered = neighbours.answered(
        asked,
        policy=models.policy(),
        present=around.present,
        reviewed=[word for word in gathered.words if word.correction is not None],
        max_new_tokens=plan.max_new_tokens,
        may_be_said=_may_be_said(around),
    )
    beside = replay.taking_turns(answered, of_new + of_past, passes)
    draw = random.Random(plan.seed)
    general = [at for at, each in enumerate(training) if each.source == "general"]
    out = set(draw.sample(general, min(len(general), len(beside), of_new * passes)))
    mixed = [*(each for at, each in enumerate(training) if at not in out), *beside]
    draw.shuffle(mixed)
    return mixed


class _Models:
    """The base model with adapters, loaded once and only if some option asks for it."""

    def __init__(self, around: Surroundings, extra: Extra) -> None:
        self._around = around
        self._extra = extra
        self._policy: Policy | None = None

    def policy(self) -> "Policy":
        if self._policy is None:
            self._policy = self._around.open_policy()
        return self._policy

    def attached(self) -> dict[str, str | None]:
        """Names in the policy of the older adapters that can still be loaded, by id."""
        data_dir: Path = self._around.settings.data_dir
        names: dict[str, str | None] = {BASE: None}
        for adapter_id, adapter in sorted(self._extra.older.items()):
            if adapter_id == self._around.present_id or adapter.base_hash != self._around.base_hash:
                continue
            try:
                self.policy().attach(adapter_id, registry.verify(data_dir, adapter))
            except HeedError:
                continue  # pruned or damaged: its answers count in full, which the note says
            names[adapter_id] = adapter_id
        return names
