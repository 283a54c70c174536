"""What a vote weighs whose answer an older adapter gave."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from feedback.harvest import Word
from tests.builders import word
from tests.trainer.test_learner_against_trl import COMMON, PLAN, QUESTIONS, model_with_adapter, turn
from trainer import base_model, examples, label_noise, off_policy
from trainer.batches import collate, fill_references
from trainer.examples import Example
from trainer.objectives import objective_weights
from trainer.policy import Policy
from trainer.round_trainer import RoundTrainer
from trainer.rows import build
from trainer.speaking import Rows

LIKELY = {"new": -0.5, "old": -0.25, None: -2.0}


class Fixed:
    """Finds the same answer as likely under each adapter, whatever it is."""

    def fits(self, rows: Rows, *, max_new_tokens: int = 1) -> list[bool]:
        return [answer != "too long" for _, answer in rows]

    def log_likelihood(self, rows: Rows, *, adapter: str | None) -> list[float]:
        return [LIKELY[adapter]] * len(rows)

    def typicality(self, rows: Rows, *, adapter: str | None) -> list[float]:
        assert adapter == "new"
        return [-len(answer) / 10 for _, answer in rows]


def weigh(*words: Word, by: Any = "ratio", clip: float = 1.0) -> tuple[list[Example], str]:
    return off_policy.weighted(
        examples.build(words),
        words,
        by=by,
        clip=clip,
        policy=Fixed(),
        present="new",
        present_id="adp_new",
        behaviours={"adp_old": "old", "base": None},
    )


def weights(*words: Word, **options: Any) -> list[float]:
    return [each.weight for each in weigh(*words, **options)[0]]


def thumb(name: str = "fbk_1", **fields: Any) -> Word:
    return word(name, **{"rating": 1.0, "adapter_id": "adp_old", **fields})


def test_a_vote_on_an_answer_that_has_become_unlikely_counts_less() -> None:
    assert weights(thumb()) == pytest.approx([math.exp(-0.25)])
    assert weights(thumb(weight=0.5)) == pytest.approx([0.5 * math.exp(-0.25)])
    assert weights(thumb(answer="four"), by="wpo") == pytest.approx([math.exp(-0.4)])


def test_a_vote_on_the_present_adapters_answer_counts_in_full() -> None:
    for by in ("ratio", "wpo"):
        assert weights(thumb(adapter_id="adp_new"), by=by) == [1.0]


def test_an_answer_that_has_become_likelier_counts_at_most_the_clip() -> None:
    base = thumb(adapter_id="base")
    assert weights(base) == [1.0]
    assert weights(base, clip=2.0) == [2.0]
    assert weights(base, clip=9.0) == pytest.approx([math.exp(1.5)])


def test_of_a_preference_every_answer_counts_that_a_model_gave() -> None:
    both = thumb(rating=None, answer="The lamp costs 9 dollars.", worse=("No idea at all.",))
    [preference] = weigh(both)[0]
    assert preference.kind == "preference"
    assert preference.weight == pytest.approx(math.exp(-0.5))
    corrected = thumb(rating=None, correction="Ask at the counter, please.", answer="49")
    found = {each.kind: each.weight for each in weigh(corrected)[0]}
    assert found == pytest.approx({"demonstration": 1.0, "preference": math.exp(-0.25)})


def test_an_adapter_that_cannot_be_loaded_is_told_and_its_answers_count_in_full() -> None:
    found, note = weigh(thumb(adapter_id="adp_lost"), thumb("fbk_2"))
    assert [each.weight for each in found] == pytest.approx([1.0, math.exp(-0.25)])
    assert note.startswith("1 preferences")
    assert weigh(thumb())[1] == ""
    assert weights(thumb(adapter_id="adp_lost", answer="four"), by="wpo") != [1.0]


def test_what_does_not_fit_the_context_is_left_as_it_is() -> None:
    assert weights(thumb(answer="too long")) == [1.0]


@pytest.mark.filterwarnings("ignore")  # TRL's own warnings are not the subject
def test_weights_of_wpo_equal_those_of_trl_where_a_round_starts(
    tiny_model: Path, tmp_path: Path
) -> None:
    base, model = model_with_adapter(tiny_model)
    words = [
        thumb(
            f"fbk_{at}",
            question=question,
            rating=None,
            answer=good,
            worse=(bad,),
        )
        for at, (question, good, bad) in enumerate(QUESTIONS)
    ]
    policy = Policy(base_model.BaseModel(**{**vars(base), "model": model}))
    made, _ = off_policy.weighted(
        examples.build(words),
        words,
        by="wpo",
        clip=100.0,
        policy=policy,
        present=None,
        present_id="adp_new",
        behaviours={},
    )
    assert len({each.weight for each in made}) == len(QUESTIONS) == len(made)
    rows, _ = build(
        made, base.encoder, context_tokens=128, objective_weights=objective_weights(PLAN)
    )
    fill_references(model, rows, budget_tokens=100, share=True, before_each=lambda: None)
    ours = RoundTrainer(
        model=model,
        tokenizer=base.tokenizer,
        schedule=[[rows]],
        plan=PLAN,
        scratch=str(tmp_path / "ours"),
        nll_share=0.0,
    ).compute_loss(model.train(), collate(rows))
    base, model = model_with_adapter(tiny_model)
    theirs = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(tmp_path / "theirs"), beta=PLAN.beta, use_weighting=True, **COMMON
        ),
        train_dataset=Dataset.from_dict(
            {
                "prompt": [[turn("user", question)] for question, _, _ in QUESTIONS],
                "chosen": [[turn("assistant", good)] for _, good, _ in QUESTIONS],
                "rejected": [[turn("assistant", bad)] for _, _, bad in QUESTIONS],
            }
        ),
        processing_class=base.tokenizer,
    )
    batch = next(iter(theirs.get_train_dataloader()))
    expected = theirs.compute_loss(theirs.model.train(), batch)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    assert expected.item() != pytest.approx(math.log(2), rel=0.1)


def test_noise_is_that_of_the_kind_of_feedback() -> None:
    rights: Sequence[float | None] = [0.9, 0.8] * 20
    words = [
        word(f"fbk_{at}", rating=1.0, right=right, question=f"What is {at}?")
        for at, right in enumerate(rights)
    ]
    words += [
        word("fbk_c", correction="It is closed.", answer="It is open all day.", right=1.0),
        word("fbk_p", answer="Yes, it is open.", worse=("No.",), right=None),
    ]
    made = examples.build(words)
    past = Example("demonstration", made[0].messages, "Yes.", source="past")
    found = label_noise.estimated([*made, past], words)
    noise = {(each.kind, each.feedback_ids[:1]): each.noise for each in found}
    assert noise["verdict", ("fbk_0",)] == pytest.approx(0.15)
    assert noise["demonstration", ("fbk_c",)] == 0.0
    assert noise["preference", ("fbk_p",)] == 0.0  # too little tells
    assert found[-1] == past
    assert torch.tensor([each.noise for each in found]).max() < 0.5
