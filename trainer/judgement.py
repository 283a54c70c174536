"""The part of a round that puts its candidate to the test: folds, the gate, prompts of nobody's feedback.

Knows no database session, and nothing of what follows from the verdict.
"""

from dataclasses import dataclass, replace
from typing import Any

from trainer import candidate, enrichment, folded, judging, material, pair_answers, registry
from trainer.examples import turns
from trainer.models import Adapter
from trainer.speaking import Fits


@dataclass(frozen=True)
class Found:
    """What the database holds for a round.

    Attributes:
        gathered: what it works with, as it is kept.
        tags: what clients said of the exchanges that items came from, by item id.
        extra: what the plan's options need.
        live: prompts that nobody gave feedback on.
    """

    gathered: material.Gathered
    tags: dict[str, dict[str, Any]]
    extra: enrichment.Extra
    live: tuple[pair_answers.Asked, ...]


def judge(
    job: candidate.Job,
    made: Adapter,
    found: Found,
    *,
    sorted_: material.Sorted,
    gathered: material.Gathered,
    counts: dict[str, Any],
) -> judging.Judged:
    """Compare a trained candidate with the incumbent.

    Args:
        job: the round.
        made: its candidate.
        found: what the database holds for it.
        sorted_: what trained and what judges.
        gathered: what that was sorted from, without personal data.
        counts: of the round; what folds there were is added, and what could not be asked, and
            written down.

    Raises:
        Invalid: a fold's model cannot be trained.
    """
    folds = folded.train(job, gathered, sorted_, _sorting(job, found, gathered))
    if folds:
        counts[folded.COUNT] = folded.counted(folds)
        counts["notes"] = [*counts.get("notes", ()), folded.told(folds, sorted_)]
        job.running.note(counts=counts)
    job.running.stage("evaluate", "Comparing the candidate with the incumbent")
    policy = job.policy(
        candidate=registry.folder(job.settings.data_dir, made.digest),
        **{fold.name: fold.folder for fold in folds},
    )
    remembered = (job.remembered(job.digest), job.remembered(made.digest))
    judged = judging.judge(
        policy,
        job.plan,
        incumbent=job.incumbent,
        remembered=remembered,
        protected=gathered.protected,
        sorted_=sorted_,
        report=job.running.reporter("Answers compared:"),
        anchors=gathered.anchors,
        tags=found.tags,
        folded=folded.judged(job, policy, folds),
    )
    if unasked := _unasked(policy, judged, gathered, sorted_):
        told = (
            f"{unasked} items that judge could not be asked, since they fill the model's context or "
            "its chat template refuses them; they count as wrong for both models."
        )
        counts["notes"] = [*counts.get("notes", ()), told]
        job.running.note(counts=counts)
    live = pair_answers.of_live(
        policy, job.plan, found.live, incumbent=job.incumbent, remembered=remembered
    )
    return replace(judged, compared=(*judged.compared, *live))


def _unasked(
    policy: Fits, judged: judging.Judged, gathered: material.Gathered, sorted_: material.Sorted
) -> int:
    """How many items neither model was asked."""
    asked = {
        **{(item.suite, item.id): item.messages for item in gathered.protected},
        **{(judging.PAST, old.id): old.messages for old in sorted_.judging},
        **{(judging.NEW, word.feedback_id): turns(word.messages) for word in sorted_.held_out},
    }
    silent = [
        (asked[each.suite, each.item_id], "")
        for each in judged.pairs
        if not each.incumbent_answer and not each.candidate_answer
    ]
    return policy.fits(silent).count(False)


def surroundings(job: candidate.Job, live: candidate.Asked) -> enrichment.Surroundings:
    """Return where a round works, for what enriches its material.

    Args:
        job: the round.
        live: the model that the round asks already.
    """
    return enrichment.Surroundings(
        settings=job.settings,
        present_id=job.row.incumbent_id,
        base_hash=job.base_hash,
        open_policy=lambda: live.policy,
        should_stop=lambda: job.running.stopping is not None,
        afresh=job.rebased is not None,
        tell=lambda what: job.running.advance(0.0, what),
    )


def _sorting(job: candidate.Job, found: Found, gathered: material.Gathered) -> folded.Sort:
    """The candidate's own sorting, for models that are trained like it without other people."""

    def sort(held: frozenset[str]) -> material.Sorted:
        live = candidate.Asked(job)
        again = material.sort(
            gathered,
            job.plan,
            losses=live.losses(),
            rebase=job.rebased is not None,
            held=held,
        )
        around = surroundings(job, live)
        return enrichment.enriched(again, gathered, found.extra, job.plan, around)[0]

    return sort
