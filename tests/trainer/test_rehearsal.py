"""What stands for ordinary questions: the shop's file, what was logged, and what is asked for."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feedback.store import Store
from tests import builders
from tests.builders import plan
from trainer import rehearsal
from trainer.answered import Answered
from trainer.examples import Message
from trainer.invention import _question
from trainer.policy import Policy
from trainer.rehearsal import Asked, Material
from trainer.settings import Plan


def gather(
    store: Store, incumbent: str | None, gone: Sequence[str] = (), **fields: object
) -> Material:
    with store.session() as session:
        return rehearsal.gather(
            session, plan(**fields), store.settings.data_dir, incumbent, gone=gone
        )


def asked(question: str) -> Asked:
    return Asked((Message(role="user", content=question),), f"per_{question}")


class Speaker:
    """Answers each question with what it is told to, and thinks up questions."""

    def __init__(self, *invented: str, answer: str = "Of course.") -> None:
        self._answer = answer
        self._invented = list(invented)
        self.answered: list[str] = []
        self.wanted = 0

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
        report: Callable[[int, int], None] | None = None,
    ) -> list[str]:
        assert adapter == "incumbent"
        if report is not None:
            report(len(conversations), len(conversations))
        self.answered += [each[-1]["content"] for each in conversations]
        return [self._answer for _ in conversations]

    def fits(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, max_new_tokens: int = 1
    ) -> list[bool]:
        return ["endless" not in messages[-1]["content"] for messages, _ in rows]

    def lengths(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[int]:
        return [len(answer) for _, answer in rows]

    def questions(self, count: int, *, max_new_tokens: int, seed: int) -> list[str]:
        self.wanted = count
        return self._invented


def generated(
    tmp_path: Path, speaker: Speaker, material: Material, **fields: object
) -> list[tuple[str, str]]:
    olds = rehearsal.generated(
        speaker,
        material,
        plan(**fields),
        adapter="incumbent",
        remembered=Answered(tmp_path / "answered", model="m", max_new_tokens=48),
    )
    assert all(each.origin == "general" and not each.judges for each in olds)
    assert len({each.id for each in olds}) == len(olds)
    return [(each.messages[-1]["content"], each.target) for each in olds]


def test_the_setting_says_whose_answers_are_rehearsed(store: Store, tmp_path: Path) -> None:
    logged = builders.recorded(store, answer="Logged.")
    file = tmp_path / "general.jsonl"
    file.write_text(json.dumps({"id": "g", "messages": builders.messages(), "target": "Kept."}))
    given: dict[str, Any] = {"general_file": str(file)}

    def ids(**fields: Any) -> list[str]:
        return [each.id for each in gather(store, None, **fields).olds]

    assert ids() == ids(rehearsal="own") == ids(rehearsal="own", **given) == [logged]
    assert ids(**given) == ids(rehearsal="general", **given) == ["g"]
    assert ids(rehearsal="general") == []
    assert gather(store, None, rehearsal="general", rehearsal_generated=9).wanted == 0
    assert gather(store, None, rehearsal_generated=9, **given).wanted == 0


def test_what_a_correction_replaced_is_rehearsed_no_more(store: Store) -> None:
    logged = builders.recorded(store)
    assert gather(store, None, gone=[logged]).olds == ()
    assert gather(store, None, gone=[logged], rehearsal_generated=3).wanted == 3


def test_people_s_questions_to_earlier_versions_are_asked_again_once_each(store: Store) -> None:
    known = builders.recorded(store, question="Is it open?", adapter_id="adp_now")
    for question in ("Is it far?", "Is it new?", "IS IT FAR?!", "Is it open?"):
        builders.recorded(store, question=question, adapter_id="adp_old")
    remarked = builders.recorded(store, question="Is it red?", adapter_id="adp_old")
    builders.say(store, completion_id=remarked, rating="down")
    builders.recorded(store, question="Is it big?", adapter_id="adp_old", origin="import")
    builders.recorded(store, question="Is it odd?", adapter_id="adp_old", state="partial")
    found = gather(store, "adp_now", rehearsal_generated=9)
    assert [each.id for each in found.olds] == [known]
    assert found.wanted == 8
    questions = [each.messages[-1]["content"] for each in found.asked]
    assert questions == ["IS IT FAR?!", "Is it new?"]
    assert {each.cluster for each in found.asked} == {builders.person()}
    assert len(gather(store, "adp_now", rehearsal_generated=2).asked) == 1
    assert gather(store, "adp_now").asked == ()


def test_people_s_questions_come_before_invented_ones(tmp_path: Path) -> None:
    speaker = Speaker("Is it old?", "Is it FAR?", "", "Is it old?!", "Is it wet?", "Is it dry?")
    material = Material(asked=(asked("Is it far?"), asked("Is it endless?")), wanted=3)
    found = generated(tmp_path, speaker, material)
    assert [question for question, _ in found] == ["Is it far?", "Is it old?", "Is it wet?"]
    assert {answer for _, answer in found} == {"Of course."}
    assert speaker.wanted == rehearsal.INVENTED_TRIES * 2
    enough = Speaker("Is it old?")
    generated(tmp_path, enough, Material(asked=(asked("Is it far?"),), wanted=1))
    assert enough.wanted == 0


def test_answers_are_remembered(tmp_path: Path) -> None:
    material = Material(asked=(asked("Is it far?"),), wanted=1)
    first, again = Speaker(), Speaker()
    assert generated(tmp_path, first, material) == generated(tmp_path, again, material)
    assert (first.answered, again.answered) == (["Is it far?"], [])


def test_whoever_waits_is_told_how_many_answers_are_done(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    rehearsal.generated(
        Speaker(),
        Material(asked=(asked("Is it far?"), asked("Is it new?")), wanted=2),
        plan(),
        adapter="incumbent",
        remembered=Answered(tmp_path, model="m", max_new_tokens=48),
        report=lambda done, total: told.append((done, total)),
    )
    assert told == [(2, 2)]


def test_an_answer_that_was_cut_off_is_not_taught(tmp_path: Path) -> None:
    material = Material(asked=(asked("Is it far?"),), wanted=1)
    assert generated(tmp_path / "a", Speaker(answer="x" * 9), material, max_new_tokens=9)
    assert generated(tmp_path / "b", Speaker(answer="x" * 10), material, max_new_tokens=9) == []
    assert generated(tmp_path / "c", Speaker(answer=""), material) == []


def test_a_generated_answer_that_was_replaced_does_not_come_back(tmp_path: Path) -> None:
    def names(gone: frozenset[str], answer: str = "Old.") -> list[str]:
        olds = rehearsal.generated(
            Speaker(answer=answer),
            Material(asked=(asked("Is it far?"),), wanted=1, gone=gone),
            plan(),
            adapter="incumbent",
            remembered=Answered(tmp_path / answer, model="m", max_new_tokens=48),
        )
        return [each.id for each in olds]

    [name] = names(frozenset())
    assert names(frozenset({name})) == []
    assert len(names(frozenset({name}), answer="New.")) == 1


def test_a_model_thinks_up_what_follows_its_templates_user_mark(tiny_model: Path) -> None:
    policy = Policy.load(tiny_model, threads=1)
    found = policy.questions(70, max_new_tokens=24, seed=1)
    assert found == policy.questions(70, max_new_tokens=24, seed=1)
    assert found != policy.questions(70, max_new_tokens=24, seed=2)
    assert 0 < len(found) <= 70
    assert len(set(found)) > 1
    assert all(text and text == text.strip() and "<|end|>" not in text for text in found)


def test_generation_on_a_real_model_rehearses_what_it_would_say(
    tiny_model: Path, tmp_path: Path
) -> None:
    policy = Policy.load(tiny_model, threads=1)
    chosen = Plan(base_model="tiny", max_new_tokens=24, rehearsal_generated=4)
    olds = rehearsal.generated(
        policy,
        Material(wanted=4),
        chosen,
        adapter=None,
        remembered=Answered(tmp_path, model="m", max_new_tokens=24),
    )
    said = policy.answers([each.messages for each in olds], adapter=None, max_new_tokens=24)
    assert said == [each.target for each in olds]
    assert max(policy.lengths([(each.messages, each.target) for each in olds])) <= 24


@pytest.mark.parametrize("after", ["[/INST]", ""])
def test_a_turn_that_ends_in_words_ends_there(after: str) -> None:
    base: Any = SimpleNamespace(
        ends=frozenset({9}),
        tokenizer=SimpleNamespace(decode=lambda ids, **_: "".join(map(chr, ids))),
    )
    ids = [*map(ord, " Why? "), *map(ord, after)]
    assert _question(base, [*ids, 9, 65], after) == "Why?"
    assert _question(base, ids, after) == ("Why?" if after else None)
    assert _question(base, [32, 9], after) is None
