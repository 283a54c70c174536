"""One trial of a search: a short round on the material at hand, and what it gained and cost.

Knows no study and no settings file. A trial is scored by how probable right answers become, which
tells small differences on few items; the gate's question, whether an answer is right, needs more.
Torch is imported when a trial runs.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from feedback import harvest, receipts
from feedback.errors import Conflict, Invalid
from feedback.settings import FeedbackSettings
from feedback.store import Store
from trainer import enrichment, material, opening, personal, registry
from trainer.base_folder import base_hash, resolve
from trainer.candidate import INCUMBENT
from trainer.curve import Progress
from trainer.enrichment import Extra, Surroundings
from trainer.examples import Example, Message, turns
from trainer.material import Gathered
from trainer.models import Adapter
from trainer.replay import place
from trainer.settings import Plan

if TYPE_CHECKING:
    from trainer.policy import Policy

DEV_SHARE = 0.25
FEWEST_DEV = 8
MOST_ITEMS = 200
"""So many items of either kind are scored; they are drawn once, by their ids."""
SHORT = 0.5
"""A trial takes this share of a round's passes and steps."""

_LOOKING = "rnd_search"

Row = tuple[Sequence[Message], str]


@dataclass(frozen=True)
class Item:
    """A question with its right answer, and who stands behind it."""

    id: str
    row: Row
    cluster: str


@dataclass(frozen=True)
class Preview:
    """What a round would learn from if it were opened now, with a part kept for comparing plans.

    Attributes:
        gathered: without what would judge the round: a plan chosen on that would be judged by it.
        extra: what the plan's options need.
        dev: new corrections that no trial learns from.
        known: old material that a trial must still know.
        incumbent: the adapter to continue, None for the base model.
        shown: new demonstrations in a trial.
        rehearsed: old ones, under the plan as it is.
        words: feedback that a round would claim.
    """

    gathered: Gathered
    extra: Extra
    dev: tuple[Item, ...]
    known: tuple[Item, ...]
    incumbent: Adapter | None
    shown: int
    rehearsed: int
    words: int


@dataclass(frozen=True)
class Scored:
    """What one trial's adapter is worth, at one share of the way to it.

    Attributes:
        step_share: α.
        learned: per dev item, by how much its right answer became more probable, per token.
        forgotten: per known item, by how much its answer became less probable, 0 where it did not.
    """

    step_share: float
    learned: tuple[float, ...]
    forgotten: tuple[float, ...]


def preview(store: Store, settings: FeedbackSettings, plan: Plan) -> Preview:
    """Gather what a round would claim, without claiming it: everything is rolled back.

    Raises:
        Conflict: a round is open, or there is nothing to learn from.
        Invalid: there are too few corrections to compare plans by.
    """
    with store.session() as session:
        incumbent_id = registry.live_id(session)
        incumbent = registry.get(session, incumbent_id) if incumbent_id else None
    with harvest.claimed_for_a_look(store, settings, _LOOKING) as session:
        opened = opening.current(session)
        if opened is not None:
            raise Conflict(f"Round {opened.id} is open ({opened.stage}); search once it has ended.")
        gathered = material.gather(
            session, plan, settings.data_dir, round_id=_LOOKING, incumbent_id=incumbent_id
        )
        extra = enrichment.read(session, plan, gathered)
        waiting = receipts.counts(session)["review"]
    words = len(gathered.words)
    if not words:
        raise Conflict(
            "There is no accepted feedback to learn from, so no plan to compare. "
            + (
                f"{waiting} piece(s) wait for a reviewer: decide on them in the console."
                if waiting
                else "Collect some first, or import some (`heed feedback import`)."
            )
        )
    gathered = personal.redacted_material(gathered, settings)
    kept = material.sort(gathered, plan)
    judges = {word.feedback_id for word in (*kept.held_out, *kept.measured)}
    rest = replace(
        gathered, words=tuple(word for word in gathered.words if word.feedback_id not in judges)
    )
    sorted_ = material.sort(rest, _held_back(plan))
    dev = [
        Item(
            word.feedback_id,
            (turns(word.messages), word.correction or ""),
            word.person_id,
        )
        for word in sorted_.held_out
    ]
    demonstrations = [each for each in sorted_.training if each.kind == "demonstration"]
    shown = sum(each.source == "new" for each in demonstrations)
    if len(dev) < FEWEST_DEV or len({item.cluster for item in dev}) < 2 or not shown:
        raise Invalid(
            f"Of {words} pieces of feedback, {shown} demonstrations are left to learn from and "
            f"{len(dev)} corrections to compare plans by; fewer than {FEWEST_DEV} of these, or one "
            "person's alone, would only measure luck. Search once there are more accepted "
            "corrections (`heed feedback stats`)."
        )
    return Preview(
        gathered=rest,
        extra=extra,
        dev=_drawn(dev),
        known=_drawn(
            [Item(old.id, (old.messages, old.target), old.cluster) for old in sorted_.judging]
        ),
        incumbent=incumbent,
        shown=shown,
        rehearsed=len(demonstrations) - shown,
        words=words,
    )


class Bench:
    """Runs trials on one preview.

    Args:
        preview: the material.
        plan: what a trial changes a part of.
        settings: the data folder; trials are made and thrown away under ``work/search`` in it.
    """

    def __init__(self, preview: Preview, plan: Plan, settings: FeedbackSettings) -> None:
        self._preview = preview
        self._plan = plan
        self._settings = settings
        self._base_folder = resolve(plan.base_model)
        self.base_hash = base_hash(self._base_folder)
        self._parent = (
            registry.verify(settings.data_dir, preview.incumbent) if preview.incumbent else None
        )
        self._work = settings.data_dir / "work" / "search"
        self._before: tuple[list[float], list[float]] | None = None

    def run(
        self,
        *,
        learning_rate: float,
        replay_share: float,
        step_shares: Sequence[float],
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> list[Scored]:
        """Train once, and score the result at every share of the way.

        Raises:
            Invalid: training diverged.
            Cancelled: `should_stop` said so.
        """
        from trainer import learner
        from trainer.interpolation import interpolate

        plan = self._plan.model_copy(
            update={
                "learning_rate": learning_rate,
                "replay_share": replay_share,
                "replay_minimum": 0,
                "epochs": self._plan.epochs * SHORT,
                "minimum_steps": math.ceil(self._plan.minimum_steps * SHORT),
            }
        )
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        trained = self._work / "trained"
        learner.train(
            plan,
            self._base_folder,
            self._examples(plan),
            parent=self._parent,
            out=trained,
            report=report,
            should_stop=should_stop,
        )
        policy = self._policy()
        dev = [item.row for item in self._preview.dev]
        known = [item.row for item in self._preview.known]
        present = None if self._parent is None else INCUMBENT
        if self._before is None:
            self._before = (
                _probable(policy, dev, adapter=present),
                _probable(policy, known, adapter=present),
            )
        found = []
        for number, step_share in enumerate(step_shares):
            name = f"part{number}"
            shutil.copytree(trained, self._work / name)
            interpolate(self._parent, self._work / name, share=step_share)
            policy.attach(name, self._work / name)
            learned = _changes(self._before[0], _probable(policy, dev, adapter=name))
            kept = _changes(self._before[1], _probable(policy, known, adapter=name))
            found.append(Scored(step_share, learned, tuple(max(0.0, -each) for each in kept)))
        return found

    def close(self) -> None:
        """Throw the last trial's files away."""
        shutil.rmtree(self._work, ignore_errors=True)

    def _examples(self, plan: Plan) -> Sequence[Example]:
        preview = self._preview
        # Nobody is asked for paraphrases again and again; built-in patterns stand in.
        plan = plan.model_copy(update={"augmentation_url": None, "augmentation_model": None})
        sorted_ = material.sort(preview.gathered, _held_back(plan))
        around = Surroundings(
            settings=self._settings,
            present_id=preview.incumbent.id if preview.incumbent else None,
            base_hash=self.base_hash,
            open_policy=self._policy,
        )
        sorted_, _ = enrichment.enriched(sorted_, preview.gathered, preview.extra, plan, around)
        return sorted_.training

    def _policy(self) -> "Policy":
        from trainer.policy import Policy

        return Policy.load(
            self._base_folder, threads=self._plan.threads, adapters={INCUMBENT: self._parent}
        )


def _held_back(plan: Plan) -> Plan:
    """The plan whose held-out part is the dev part: other people than those who judge."""
    return plan.model_copy(update={"held_out_share": DEV_SHARE, "seed": plan.seed + 1})


def _drawn(items: Sequence[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: place(f"search:{item.id}"))[:MOST_ITEMS])


def _probable(policy: "Policy", rows: Sequence[Row], *, adapter: str | None) -> list[float]:
    """Geometric mean of the probabilities of each answer's tokens; 0 where it does not fit."""
    fitting = [at for at, fits in enumerate(policy.fits(rows)) if fits]
    found = [0.0] * len(rows)
    likely = policy.log_likelihood([rows[at] for at in fitting], adapter=adapter)
    for at, value in zip(fitting, likely, strict=True):
        found[at] = math.exp(value)
    return found


def _changes(before: Sequence[float], after: Sequence[float]) -> tuple[float, ...]:
    return tuple(new - old for old, new in zip(before, after, strict=True))
