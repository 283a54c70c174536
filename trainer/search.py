"""A small budgeted search for the rate, the replay share and the share of the way that suit a shop.

Knows no torch and no command. Trials are proposed by Optuna's tree-structured Parzen estimator
(Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"); how far to go towards what a
trial learned needs no training of its own, so every trial is scored at several shares.
"""

import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from feedback.errors import Conflict, Invalid, Unavailable
from trainer.curve import Progress
from trainer.learner import Cancelled
from trainer.search_trial import Preview, Scored
from trainer.settings import Plan
from trainer.step_search import untuned

RATES = (0.25, 4.0)
"""Rates are searched between these multiples of the plan's."""
REPLAY_SHARES = (0.3, 0.97)
STEP_SHARES = (0.5, 0.65, 0.8, 1.0)
RANDOM_TRIALS = 4
"""So many trials are drawn evenly before the sampler trusts what it has seen."""
FORMAT = 1
"""Of what is kept between calls; another one starts anew."""


class Trials(Protocol):
    """Runs one trial; `trainer.search_trial.Bench` does."""

    def run(
        self,
        *,
        learning_rate: float,
        replay_share: float,
        step_shares: Sequence[float],
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> list[Scored]:
        """Train, and score the result at every share of the way."""


@dataclass(frozen=True)
class Tried:
    """One plan that was tried. Points are hundredths of a probability.

    Attributes:
        number: of the trial; 0 is the plan as it is.
        learned: points that right answers to new corrections gained.
        forgotten: points that answers to known questions lost.
        score: the one less the other.
        error: the score's standard error; people, not items, are independent.
        better: by how much it beats the plan as it is.
        better_error: the standard error of that, item by item.
    """

    number: int
    learning_rate: float
    replay_share: float
    step_share: float
    learned: float
    forgotten: float
    score: float
    error: float
    better: float
    better_error: float
    seconds: float


@dataclass(frozen=True)
class Searched:
    """What came of a search.

    Attributes:
        tried: every trial at its best share of the way, the best first; the plan as it is among
            them, at its own.
        failed: trials that diverged.
        best: what is recommended; the plan as it is, unless another beats it by more than the
            standard error of the difference.
        settings: what to write into `[trainer]`; empty where nothing needs to change.
        resumed: trials that an earlier search left.
    """

    tried: tuple[Tried, ...]
    failed: int
    best: Tried
    settings: dict[str, float | int]
    resumed: int


def search(
    trials: Trials,
    preview: Preview,
    plan: Plan,
    *,
    journal: Path,
    most_trials: int,
    seconds: float,
    report: Callable[[int, float, str], None] = lambda *_: None,
    clock: Callable[[], float] = time.monotonic,
) -> Searched:
    """Try plans until there are so many trials, or the time is up.

    Args:
        trials: runs them.
        preview: the material, for the clusters and the shares.
        plan: where the search starts; trial 0 is this plan.
        journal: file that keeps the trials; one that is there is gone on with.
        most_trials: all in all, those of the journal included.
        seconds: for this call. A trial that is not done by then is given up.
        report: told how many trials are done, how far the present one is (0…1), and the best score
            so far in words.
        clock: seconds.

    Raises:
        Unavailable: Optuna is not installed.
        Conflict: not one trial ended in time.
        Invalid: the plan as it is does not train.
    """
    study = _study(journal, seed=plan.seed)
    resumed = len(_ended(study))
    deadline = clock() + seconds
    present = _present(preview)
    shares = sorted({*STEP_SHARES, untuned(plan.step_share)})
    waiting = study.get_trials(deepcopy=False, states=(_state("WAITING"),))
    if not waiting and _first(_ended(study), preview, plan) is None:
        study.enqueue_trial({"learning_rate": plan.learning_rate, "replay_share": present})
    low, high = (plan.learning_rate * times for times in RATES)
    while len(ended := _ended(study)) < most_trials and clock() < deadline:
        told = _told(preview, plan, ended)
        report(len(ended), 0.0, told)
        trial = study.ask()
        rate = trial.suggest_float("learning_rate", low, high, log=True)
        share = trial.suggest_float(
            "replay_share", min(REPLAY_SHARES[0], present), max(REPLAY_SHARES[1], present)
        )
        started = clock()
        try:
            scored = trials.run(
                learning_rate=rate,
                replay_share=share,
                step_shares=shares,
                report=_stepwise(report, len(ended), told),
                should_stop=lambda: clock() >= deadline,
            )
        except Cancelled:
            study.tell(trial, state=_state("FAIL"))
            break
        except Invalid as fault:
            if not ended:  # the plan as it is: something else is wrong
                study.tell(trial, state=_state("FAIL"))
                raise
            trial.set_user_attr("fault", fault.message)
            study.tell(trial, state=_state("PRUNED"))
            continue
        except BaseException:  # Ctrl-C, too: the journal must not wait for this trial for ever
            study.tell(trial, state=_state("FAIL"))
            raise
        trial.set_user_attr("scored", [[e.step_share, e.learned, e.forgotten] for e in scored])
        trial.set_user_attr("seconds", clock() - started)
        study.tell(trial, max(_score(each) for each in scored))
    return _searched(preview, plan, _ended(study), resumed)


def journal_of(data_dir: Path, preview: Preview, plan: Plan, base_hash: str) -> Path:
    """Return the file of a search on just this material, model and plan; it holds numbers only."""
    searched = {"learning_rate", "replay_share", "step_share", "replay_minimum"}
    about = [
        FORMAT,
        base_hash,
        preview.incumbent.id if preview.incumbent else None,
        plan.model_dump(mode="json"),
        sorted(searched),
        [item.id for item in (*preview.dev, *preview.known)],
        [word.feedback_id for word in preview.gathered.words],
    ]
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return data_dir / "search" / f"{key}.journal"


def mean(values: Sequence[float], clusters: Sequence[str]) -> tuple[float, float]:
    """Return the mean and its standard error where values of a cluster depend on each other.

    The sandwich estimate with the small-sample factor c/(c−1) (Liang and Zeger 1986, "Longitudinal
    data analysis using generalized linear models"); infinite where there is one cluster.
    """
    if not values:
        return 0.0, 0.0
    middle = sum(values) / len(values)
    sums: defaultdict[str, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - middle
    if len(sums) == 1:
        return middle, math.inf
    spread = sum(each * each for each in sums.values()) * len(sums) / (len(sums) - 1)
    return middle, math.sqrt(spread) / len(values)


def _stepwise(
    report: Callable[[int, float, str], None], done: int, told: str
) -> Callable[[Progress], None]:
    """Say how far within its trial a step is."""
    return lambda step: report(done, step.step / step.steps, told)


def _study(journal: Path, *, seed: int) -> Any:
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise Unavailable(
            "The search needs Optuna, which is not installed: `pip install 'heed[search]'`."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name="round",
        direction="maximize",
        load_if_exists=True,
    )
    # A search that is gone on with must not draw what it drew before.
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(study.trials), n_startup_trials=RANDOM_TRIALS
    )
    return study


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _ended(study: Any) -> list[Any]:
    """Trials with a result: a score, or that training diverged."""
    states = (_state("COMPLETE"), _state("PRUNED"))
    return list(study.get_trials(deepcopy=False, states=states))


def _score(scored: Scored) -> float:
    learned = sum(scored.learned) / len(scored.learned)
    return 100 * (learned - sum(scored.forgotten) / max(1, len(scored.forgotten)))


def _searched(preview: Preview, plan: Plan, ended: Sequence[Any], resumed: int) -> Searched:
    tried = _tried(preview, plan, ended)
    if not tried:
        raise Conflict(
            "Not even the plan as it is was tried in time, so there is nothing to compare with. "
            "Give the search more minutes."
        )
    current = tried[0]
    best = max(tried, key=lambda each: each.score)
    if best.better <= best.better_error:
        best = current
    return Searched(
        tried=tuple(sorted(tried, key=lambda each: -each.score)),
        failed=sum(not _parts(trial) for trial in ended),
        best=best,
        settings=_settings(preview, plan, best) if best is not current else {},
        resumed=resumed,
    )


def _tried(preview: Preview, plan: Plan, ended: Sequence[Any]) -> list[Tried]:
    """Each trial at its best share of the way; the plan as it is at its own, and first."""
    first = _first(ended, preview, plan)
    if first is None:
        return []
    current = next(each for each in _parts(first) if each.step_share == untuned(plan.step_share))
    found = [_row(preview, first, current, current, number=0)]
    for trial in ended:
        if parts := _parts(trial):
            best = max(parts, key=_score)
            if trial.number != first.number or best.step_share != untuned(plan.step_share):
                found.append(_row(preview, trial, best, current, number=len(found)))
    return found


def _first(ended: Sequence[Any], preview: Preview, plan: Plan) -> Any:
    """The trial of the plan as it is, if it has ended."""
    asked = {"learning_rate": plan.learning_rate, "replay_share": _present(preview)}
    return next((trial for trial in ended if _parts(trial) and trial.params == asked), None)


def _present(preview: Preview) -> float:
    """The share of old demonstrations under the plan as it is, its minimum included."""
    return preview.rehearsed / max(1, preview.rehearsed + preview.shown)


def _parts(trial: Any) -> list[Scored]:
    return [
        Scored(step_share, tuple(learned), tuple(forgotten))
        for step_share, learned, forgotten in trial.user_attrs.get("scored", ())
    ]


def _row(preview: Preview, trial: Any, scored: Scored, current: Scored, *, number: int) -> Tried:
    dev = [item.cluster for item in preview.dev]
    known = [item.cluster for item in preview.known]
    learned, learned_error = mean(scored.learned, dev)
    forgotten, forgotten_error = mean(scored.forgotten, known)
    more, more_error = mean(_less(scored.learned, current.learned), dev)
    lost, lost_error = mean(_less(scored.forgotten, current.forgotten), known)
    return Tried(
        number=number,
        learning_rate=trial.params["learning_rate"],
        replay_share=trial.params["replay_share"],
        step_share=scored.step_share,
        learned=100 * learned,
        forgotten=100 * forgotten,
        score=100 * (learned - forgotten),
        error=100 * math.hypot(learned_error, forgotten_error),
        better=100 * (more - lost),
        better_error=100 * math.hypot(more_error, lost_error),
        seconds=trial.user_attrs["seconds"],
    )


def _less(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(ours, theirs, strict=True)]


def _settings(preview: Preview, plan: Plan, best: Tried) -> dict[str, float | int]:
    """What to write down: what differs, rounded to what a trial can tell."""
    found: dict[str, float | int] = {}
    if best.learning_rate != plan.learning_rate:
        found["learning_rate"] = float(f"{best.learning_rate:.2g}")
    if best.replay_share != _present(preview):
        found["replay_share"] = round(best.replay_share, 2)
        rehearsed = round(preview.shown * best.replay_share / (1 - best.replay_share))
        if rehearsed < plan.replay_minimum:  # or the minimum would have its way
            found["replay_minimum"] = rehearsed
    if best.step_share != plan.step_share:
        found["step_share"] = best.step_share
    return found


def _told(preview: Preview, plan: Plan, ended: Sequence[Any]) -> str:
    tried = _tried(preview, plan, ended)
    if not tried:
        return ""
    best = max(tried, key=lambda each: each.score)
    return f"best so far {best.score:+.1f} ± {best.error:.1f} points"
