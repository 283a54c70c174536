"""Tries one base model on the deployment's own data: as it comes, with examples, after a round.

Knows no database, and no other candidate. Loads torch through the policy and the learner.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedback.errors import HeedError, Invalid
from trainer import examples, faults, folds, metrics, replay, template
from trainer.comparison import Fit, Marks, Measured
from trainer.examples import Example, Message
from trainer.own_data import Known, OwnData
from trainer.replay import place
from trainer.settings import Plan
from trainer.suites import agrees, passes

if TYPE_CHECKING:
    from trainer.policy import Policy

Report = Callable[[str, float], None]
"""Told what is being done, and how far the candidate is, 0 to 1."""


@dataclass(frozen=True)
class Trial:
    """How candidates are tried; the same for all of them.

    Attributes:
        plan: of the trial round; its base model is replaced by the candidate.
        few_shot: answered questions shown before each question.
        folds: how many parts hold out in turn; 0 for no trial round.
        protected: how many protected items are asked at most.
        seed: of folds and shown examples.
    """

    plan: Plan
    few_shot: int
    folds: int
    protected: int = 200
    seed: int = 0


def held_out(data: OwnData, trial: Trial) -> list[list[int]]:
    """Numbers of the known answers that each fold holds out; all at once without a trial round."""
    if not trial.folds:
        return [list(range(len(data.known)))]
    return folds.split([each.cluster for each in data.known], trial.folds, seed=trial.seed)


def protected(data: OwnData, trial: Trial) -> list[Any]:
    """The protected items that are asked, the same for every candidate."""
    order = sorted(data.protected, key=lambda item: place(f"{trial.seed}:{item.id}"))
    return order[: trial.protected]


def measure(model: str, data: OwnData, trial: Trial, report: Report) -> Measured:
    """Try one model. What makes it unusable is its error; only a fault of ours is raised.

    Args:
        model: ``starter``, a folder or a hub id.
        data: what it is tried on.
        trial: how.
        report: told how far it is.
    """
    from trainer.base_folder import resolve

    try:
        report("loading", 0.0)
        return _measured(model, resolve(model), data, trial, report)
    except HeedError as fault:
        return Measured(model, error=fault.message)
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as fault:
        # What libraries raise for a model that they cannot work with, or for want of memory.
        known = faults.explained(fault)
        words = " ".join([f"{type(fault).__name__}:", *str(fault).split()])
        return Measured(model, error=known.message if known else words)


def _measured(name: str, folder: Path, data: OwnData, trial: Trial, report: Report) -> Measured:
    from trainer.policy import Policy

    policy = Policy.load(folder, threads=trial.plan.threads)
    parts = held_out(data, trial)
    asked = [data.known[at] for part in parts for at in part]
    conversations = [list(each.messages) for each in asked]
    room = trial.plan.max_new_tokens
    fits = policy.fits([(each, "") for each in conversations], max_new_tokens=room)
    if not any(fits):
        raise Invalid(
            f"None of the {len(asked)} known questions can be asked: they leave no room for an answer "
            f"in its context of {policy.context_tokens} tokens, or its chat template refuses them."
        )
    found = Measured(name, parameters=policy.parameters, fit=_fit(policy, asked, fits))

    report("answering as it comes", 0.05)
    began = time.perf_counter()
    said = _answers(policy, conversations, fits, adapter=None, room=room)
    seconds = time.perf_counter() - began
    right = [agrees(answer, each.target) for answer, each in zip(said, asked, strict=True)]
    found = replace(
        found,
        baseline=_share(right),
        baseline_f1=sum(map(metrics.token_f1, (e.target for e in asked), said)) / len(asked),
        answer_seconds=seconds / max(1, sum(fits)),
        answer_tokens=sum(map(len, _ids(policy, said))) / len(said),
        marks=Marks(tuple(right)),
    )

    report("answering after examples", 0.2)
    shown = [_with_examples(at, part, data, trial) for part in parts for at in part]
    fit_shown = policy.fits([(each, "") for each in shown], max_new_tokens=room)
    said = _answers(policy, shown, fit_shown, adapter=None, room=room)
    few_shot = [agrees(answer, each.target) for answer, each in zip(said, asked, strict=True)]

    report("reading the right answers", 0.3)
    rows = [(each.messages, each.target) for each in asked]
    rows = [row for row, fit in zip(rows, policy.fits(rows), strict=True) if fit]
    likely = policy.likelihoods(rows, adapter=None)
    found = replace(found, few_shot=_share(few_shot))
    if likely:
        texts = [text for _, text in rows]
        found = replace(
            found,
            perplexity=metrics.perplexity(likely),
            bits_per_byte=metrics.bits_per_byte(likely, texts),
        )
    if not trial.folds:
        return found
    return _after_a_round(
        found, policy, folder=folder, data=data, trial=trial, parts=parts, report=report
    )


def _after_a_round(
    found: Measured,
    policy: "Policy",
    *,
    folder: Path,
    data: OwnData,
    trial: Trial,
    parts: Sequence[Sequence[int]],
    report: Report,
) -> Measured:
    """One trial round for each fold: what it learned of the held-out, what it forgot."""
    from trainer import learner

    plan = trial.plan.model_copy(update={"base_model": found.model})
    room = plan.max_new_tokens
    items = protected(data, trial)
    prompts = [list(item.messages) for item in items]
    fits = policy.fits([(each, "") for each in prompts], max_new_tokens=room)
    before = _answers(policy, prompts, fits, adapter=None, room=room)
    knew = [passes(item, answer) for item, answer in zip(items, before, strict=True)]
    lost = [0] * len(items)
    right: list[bool] = []
    seconds = 0.0
    for number, part in enumerate(parts):
        start = 0.4 + 0.6 * number / len(parts)
        what = f"trial round {number + 1} of {len(parts)}"

        def progress(step: Any, start: float = start, what: str = what) -> None:
            report(what, start + 0.6 / len(parts) * step.step / step.steps)

        report(what, start)
        with tempfile.TemporaryDirectory(prefix="heed-trial-") as scratch:
            out = Path(scratch) / "adapter"
            trained = learner.train(
                plan, folder, _training(part, data, trial), parent=None, out=out, report=progress
            )
            adapter = f"trial{number}"
            policy.attach(adapter, out)
        seconds += trained.seconds
        held = [data.known[at] for at in part]
        talks = [list(each.messages) for each in held]
        room_left = policy.fits([(each, "") for each in talks], max_new_tokens=room)
        said = _answers(policy, talks, room_left, adapter=adapter, room=room)
        right += [agrees(answer, each.target) for answer, each in zip(said, held, strict=True)]
        after = _answers(policy, prompts, fits, adapter=adapter, room=room)
        for at, (item, answer) in enumerate(zip(items, after, strict=True)):
            lost[at] += knew[at] and not passes(item, answer)
    # An item counts as forgotten where most of the folds' rounds lost it.
    kept = tuple(
        0 if not known else -1 if 2 * times > len(parts) else 1
        for known, times in zip(knew, lost, strict=True)
    )
    known_before = sum(each != 0 for each in kept)
    return replace(
        found,
        trial=_share(right),
        forgotten=sum(each < 0 for each in kept) / known_before if known_before else 0.0,
        trial_seconds=seconds,
        marks=Marks(tuple(right), kept),
    )


def _training(part: Sequence[int], data: OwnData, trial: Trial) -> list[Example]:
    """What a round would learn if the people of this fold had said nothing.

    Raises:
        Invalid: everybody else has said nothing that teaches.
    """
    held = {data.known[at].cluster for at in part}
    words = [word for word in data.words if word.person_id not in held]
    new = examples.build(words)
    past = [old for old in data.past if old.cluster not in held]
    new += [Example("demonstration", old.messages, old.target, cluster=old.cluster) for old in past]
    if not new:
        raise Invalid("Without the people of one fold there is nothing to learn from.")
    return replay.mix(
        new,
        data.general,
        share=trial.plan.replay_share,
        minimum=trial.plan.replay_minimum,
        seed=trial.seed,
    )


def _with_examples(at: int, part: Sequence[int], data: OwnData, trial: Trial) -> list[Message]:
    """The question with a few answered ones before it, none by a person of its own fold."""
    held = {data.known[each].cluster for each in part} if trial.folds else set()
    own = data.known[at]
    others = [
        each
        for each in data.known
        if each.cluster not in held and each.cluster != own.cluster and len(each.messages) == 1
    ]
    order = sorted(others, key=lambda each: place(f"{at}:{each.messages[-1]['content']}"))
    turns: list[Message] = []
    for each in order[: trial.few_shot]:
        turns += [*each.messages, Message(role="assistant", content=each.target)]
    system = [turn for turn in own.messages if turn["role"] == "system"]
    return [*system, *turns, *(turn for turn in own.messages if turn["role"] != "system")]


def _answers(
    policy: "Policy",
    conversations: Sequence[Sequence[Message]],
    fits: Sequence[bool],
    *,
    adapter: str | None,
    room: int,
) -> list[str]:
    """Greedy answers; a conversation that does not fit the context is answered with nothing."""
    asked = [each for each, fit in zip(conversations, fits, strict=True) if fit]
    said = iter(policy.answers(asked, adapter=adapter, max_new_tokens=room) if asked else [])
    return [next(said) if fit else "" for fit in fits]


def _fit(policy: "Policy", asked: Sequence[Known], fits: Sequence[bool]) -> Fit:
    texts = [turn["content"] for each in asked for turn in each.messages]
    texts += [each.target for each in asked]
    ids = _ids(policy, texts)
    unknown = policy.tokenizer.unk_token_id
    tokens = max(1, sum(map(len, ids)))
    back = policy.tokenizer.batch_decode(ids)
    return Fit(
        tokens_per_word=tokens / max(1, sum(len(text.split()) for text in texts)),
        unknown_share=sum(each.count(unknown) for each in ids) / tokens,
        round_trips=_share(
            [one.strip() == text.strip() for one, text in zip(back, texts, strict=True)]
        ),
        context_tokens=policy.context_tokens if policy.context_tokens < 2**31 else None,
        fitting_share=_share(fits),
        system_turns=template.system_turns(policy.tokenizer),
    )


def _ids(policy: "Policy", texts: Sequence[str]) -> list[list[int]]:
    ids: list[list[int]] = policy.tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False
    )["input_ids"]
    return ids


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks) if marks else 0.0
