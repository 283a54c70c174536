"""The part of a plan that says what else the gate looks at: people's comparisons, and folds.

No torch.
"""

from typing import Literal

from pydantic import Field, field_validator

from trainer.plan_gate import Demands


class Reviewed(Demands):
    """What the gate asks of the weights, of reviewers, and of a slice that is too small."""

    gate_reviewed_pairs: Literal["off", "report", "required"] = Field(
        "report",
        description="Prompts that candidate and incumbent answer differently, for reviewers to "
        "compare blind (`heed round judge`). report: verdicts are shown and decide nothing. "
        "required: a round that every other rule would promote waits for them. off: no pairs are "
        "kept.",
    )
    gate_pairs: int = Field(
        60, ge=1, description="So many pairs of a round are kept at most, spread over sources."
    )
    gate_pairs_live: int = Field(
        0,
        ge=0,
        description="So many recent prompts that nobody gave feedback on are answered by both "
        "models as well, to be compared; reviewers then read what was said without a remark.",
    )
    gate_pairs_needed: int = Field(
        40,
        ge=1,
        description="Once so many pairs have a verdict, or all where there are fewer, the verdicts "
        "are counted, once.",
    )
    gate_pairs_margin_points: float = Field(
        20.0,
        ge=0,
        lt=100,
        description="Of the pairs with a verdict, the share that prefers the incumbent's answer may "
        "exceed the share that prefers the candidate's by less than this, with 95% confidence. 0 "
        "asks for a candidate that is surely preferred.",
    )
    gate_pairs_days: float = Field(
        14.0,
        gt=0,
        description="Verdicts are taken for so many days. A round that still waits then ends "
        "without a promotion, and its feedback goes to the next.",
    )
    gate_folds: int = Field(
        0,
        ge=0,
        description="Where too few corrections are held out, train so many models in all, each "
        "without another part of the people, and judge every correction by the one that has not "
        "seen it. A round then takes that many times as long. 0 never does.",
    )
    gate_folds_below: int = Field(
        40,
        ge=1,
        description="A held-out slice of fewer corrections than this is too small, and `gate_folds` "
        "applies.",
    )

    @field_validator("gate_folds")
    @classmethod
    def _one_fold_is_none(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0 for no folds, or at least 2: one part would be all there is")
        return value
