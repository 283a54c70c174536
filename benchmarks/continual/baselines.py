"""What Heed is compared with: the plain ways to learn one thing after another, and two bounds.

They get the same lessons, the same base model and the same learner; none has reviewers, trust or a
gate. Frozen never learns. Sequential goes on training on what is new (fine-tuning without replay).
EWC does so with a penalty on what mattered before (Kirkpatrick et al., 2017, "Overcoming
catastrophic forgetting in neural networks"). Uniform replays old lessons and general material by
chance (Rolnick et al., 2019, "Experience replay for continual learning"). Joint trains a fresh
adapter on all that holds, until it gains no more: the upper bound. Look-up learns nothing and
repeats the answer to the most similar questions it was told of.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from benchmarks.continual.asking import Asked
from benchmarks.continual.methods import Learned, Method, Work, plan
from benchmarks.continual.product import given
from benchmarks.continual.tasks import RIGHT, Lesson, Probe
from trainer import learner, rehearsal
from trainer.base_folder import resolve
from trainer.examples import Example
from trainer.settings import Plan

EWC_ROWS = 256
EWC_ROW_WEIGHT = 1e-6
JOINT_EPOCHS = 2.0
"""Joint training looks after so many passes whether it still gains."""
JOINT_GAIN = 0.005
JOINT_PATIENCE = 2
JOINT_LOOKS = 12
ALIKE = 0.6
"""Look-up says what it was told where the question is at least this similar (cosine of TF-IDF)."""
_ADAPTER = "adapter"


def frozen(_method: Method, _work: Work) -> Learned:
    """Nothing changes."""
    return Learned(None)


def sequential(method: Method, work: Work) -> Learned:
    """Goes on from where it was, on the new lessons alone."""
    return _next(method, work, replayed=[])


def ewc(method: Method, work: Work) -> Learned:
    """As sequential, held where old lessons and general material need it.

    The learner measures that on old rows among those it is given; they weigh nothing to speak of,
    so that they are not rehearsed.
    """
    past, general = _old(method, work)
    draw = Random(f"ewc {work.seed} {work.number}")
    measured = draw.sample([*past, *general], min(EWC_ROWS, len(past) + len(general)))
    light = [replace(example, weight=EWC_ROW_WEIGHT) for example in measured]
    return _next(method, work, replayed=light)


def uniform(method: Method, work: Work) -> Learned:
    """Goes on with old lessons and general material beside the new ones, drawn by chance."""
    fields = plan(method, work)
    new = _shown(_lessons(work))
    past, general = _old(method, work)
    share = fields.replay_share
    wanted = max(round(len(new) * share / (1 - share)), fields.replay_minimum)
    draw = Random(f"uniform {work.seed} {work.number}")
    from_past = min(len(past), wanted // 2)
    from_general = min(len(general), wanted - from_past)
    from_past = min(len(past), wanted - from_general)
    replayed = [*draw.sample(past, from_past), *draw.sample(general, from_general)]
    return _next(method, work, replayed=replayed)


def joint(method: Method, work: Work) -> Learned:
    """A fresh adapter on everything that still holds, until a look finds no more gain."""
    fields = plan(method, work).model_copy(update={"epochs": JOINT_EPOCHS})
    lessons: list[Lesson] = []
    for task in work.stream.tasks[: work.number]:
        if task.retires:
            anew = {lesson.about for lesson in task.lessons}
            lessons = [lesson for lesson in lessons if lesson.about not in anew]
        lessons += task.lessons
    examples = [*_told(work, lessons, None), *_general(fields, work)]
    probes = [
        probe
        for number, task in enumerate(work.stream.tasks[: work.number])
        for probe, alive in zip(
            task.probes, work.stream.alive(number, after=work.number - 1), strict=True
        )
        if alive
    ]
    total = Learned(None, examples=len(examples))
    best, best_folder, waited = -1.0, None, 0
    for look in range(JOINT_LOOKS):
        out = work.scratch / f"joint-{look}"
        parent = work.scratch / f"joint-{look - 1}" if look else None
        chunk = fields.model_copy(update={"seed": fields.seed + look})
        _train(chunk, examples, parent=parent, out=out, total=total, work=work)
        share = _share(Asked(out, threads=work.threads), probes)
        waited = 0 if share >= best + JOINT_GAIN else waited + 1
        total.notes.setdefault("looks", []).append(round(share, 4))
        if share > best:
            best, best_folder = share, out
        if waited >= JOINT_PATIENCE:
            break
    kept = work.folder / _ADAPTER
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(best_folder or out, kept)
    total.adapter = kept
    return total


class LookUp:
    """Repeats the answer that was told of the most similar questions, the newest of equals."""

    def __init__(self, work: Work) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._asked = Asked(None, threads=work.threads)
        told = [lesson for task in work.stream.tasks[: work.number] for lesson in task.lessons]
        # A thumb says yes or no of what the base model answered; what was liked is remembered.
        thumbs = [lesson for lesson in told if lesson.said == "thumb"]
        liked = dict(zip(map(id, thumbs), self._asked.answers(thumbs), strict=True))
        questions: dict[str, list[str]] = {}
        for lesson in reversed(told):  # the newest first: the first of the most similar wins
            answer = liked.get(id(lesson), lesson.wanted)
            if lesson.said == "correction" or lesson.check.passes(answer):
                questions.setdefault(answer, []).append(_text(lesson))
        self._answers = list(questions)
        # All that was asked for an answer, and the answer itself, say what it is about.
        texts = [" ".join((*asked, answer)) for answer, asked in questions.items()]
        self._words = TfidfVectorizer(stop_words="english")
        self._known = self._words.fit_transform(texts) if texts else None

    def marks(self, probes: Sequence[Probe]) -> str:
        """One character for each probe, as of a model."""
        said = list(self._asked.marks(probes))
        if self._known is None or not probes:
            return "".join(said)
        asked = self._words.transform([_text(probe) for probe in probes])
        alike = (asked @ self._known.T).toarray()
        for place, probe in enumerate(probes):
            nearest = int(alike[place].argmax())
            if alike[place][nearest] >= ALIKE:
                said[place] = probe.check.mark(self._answers[nearest])
        return "".join(said)


def _next(method: Method, work: Work, replayed: list[Example]) -> Learned:
    """Train the kept adapter further, all of the way."""
    kept = work.folder / _ADAPTER
    parent = kept if kept.is_dir() else None
    examples = [*_told(work, _lessons(work), parent), *replayed]
    Random(f"order {work.seed} {work.number}").shuffle(examples)
    total = Learned(kept, examples=len(examples))
    out = work.scratch / _ADAPTER
    _train(plan(method, work), examples, parent=parent, out=out, total=total, work=work)
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(out, kept)
    return total


def _train(
    fields: Plan,
    examples: list[Example],
    *,
    parent: Path | None,
    out: Path,
    total: Learned,
    work: Work,
) -> None:
    started = time.process_time()
    done = learner.train(
        fields,
        resolve("starter"),
        examples,
        parent=parent,
        out=out,
        report=lambda step: work.report(step.step / step.steps, "training"),
    )
    seconds = time.process_time() - started
    total.train_cpu_seconds += seconds
    total.cpu_seconds += seconds
    total.tokens += done.tokens
    total.steps += done.steps


def _lessons(work: Work) -> list[Lesson]:
    return given(work.stream.tasks[work.number - 1].lessons, work.ways)


def _told(work: Work, lessons: Sequence[Lesson], adapter: Path | None) -> list[Example]:
    """What people say as examples; thumbs are about what the model answers now."""
    thumbs = [lesson for lesson in lessons if lesson.said == "thumb"]
    if not thumbs:
        return _shown(lessons)
    answers = Asked(adapter, threads=work.threads).answers(thumbs)
    return _shown(lessons) + [
        Example(
            "verdict",
            lesson.messages,
            answer,
            liked=lesson.check.passes(answer),
            cluster=lesson.person,
        )
        for lesson, answer in zip(thumbs, answers, strict=True)
    ]


def _old(method: Method, work: Work) -> tuple[list[Example], list[Example]]:
    """What was shown in earlier rounds, changed since or not, and the shop's general material."""
    past = [
        replace(example, source="past")
        for task in work.stream.tasks[: work.number - 1]
        for example in _shown(task.lessons)
    ]
    return past, _general(plan(method, work), work)


def _shown(lessons: Sequence[Lesson]) -> list[Example]:
    return [
        Example("demonstration", lesson.messages, lesson.wanted, cluster=lesson.person)
        for lesson in lessons
        if lesson.said == "correction"
    ]


def _general(fields: Plan, work: Work) -> list[Example]:
    """The shop's material, without what the stream changes."""
    return [
        Example("demonstration", old.messages, old.target, source="general", cluster=old.cluster)
        for old in rehearsal.general_material(fields)
        if not any(subject in old.messages[-1]["content"] for subject in work.stream.changed)
    ]


def _share(asked: Asked, probes: Sequence[Probe]) -> float:
    marks = asked.marks(probes)
    return marks.count(RIGHT) / max(len(marks), 1)


def _text(of: Lesson | Probe) -> str:
    return " ".join(message["content"] for message in of.messages)
