"""Settings of the trainer, and the Plan: what of them one round freezes when it opens.

Knows no torch. The plan is stored on the round, so that a round runs as it was opened, whatever
the settings say by then.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import SettingsConfigDict

from feedback.settings import HeedSettings


class Plan(BaseModel):
    """One round's hyperparameters, frozen.

    Defaults were chosen on the bundled starter model; `docs/decisions/` says how.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_model: str = Field("starter", description="Folder or hub id of the base model.")
    seed: int = Field(0, description="Seeds the mix, the order of batches and the first adapter.")
    rank: int = Field(32, gt=0, description="Rank of the adapter.")
    alpha: int = Field(64, gt=0, description="LoRA's alpha; the update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    learning_rate: float = Field(4e-3, gt=0, description="Peak rate of the adapter's weights.")
    epochs: float = Field(2.0, gt=0, description="Passes over the mixed material.")
    minimum_steps: int = Field(
        60,
        ge=0,
        description="A round with little material passes over it more often, until it has taken "
        "this many optimizer steps.",
    )
    batch_tokens: int = Field(768, gt=0, description="Padded tokens in one optimizer step.")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps that warm up.")
    lr_schedule: Literal["cosine", "linear", "constant_with_warmup"] = Field(
        "cosine", description="How the rate falls after warming up."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay (AdamW).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the hardware has it, else fp32."
    )
    threads: int | None = Field(
        None, gt=0, description="CPU threads; by default the free cores, one for a small model."
    )
    demonstration_weight: float = Field(1.0, ge=0, description="λ of the next-token loss.")
    preference_weight: float = Field(0.05, ge=0, description="λ of the DPO loss.")
    verdict_weight: float = Field(0.05, ge=0, description="λ of the KTO loss.")
    beta: float = Field(0.1, gt=0, description="β of DPO and KTO: how far the policy may drift.")
    step_share: float | Literal["search"] = Field(
        0.8,
        description="Share of the way from the previous adapter to the newly trained one that is "
        "gone, above 0 and up to 1: a little less is learned and much less forgotten. search: the "
        "smallest of 0.5, 0.6 … 1 that is within half a point of the best on dev.",
    )
    replay_share: float = Field(
        0.8,
        ge=0,
        lt=1,
        description="Share of the demonstrations that are old: half past feedback, half general "
        "material. 0 switches replay off.",
    )
    replay_minimum: int = Field(
        450,
        ge=0,
        description="A round with little new rehearses at least this many old examples, where "
        "there are so many; what forgetting costs does not shrink with the news.",
    )
    replay_buffer: int = Field(
        0,
        ge=0,
        description="Past examples that replay draws from: a chance sample of this size over all "
        "rounds, which superseded ones leave. 0 keeps them all.",
    )
    replay_sampling: Literal["uniform", "half", "surprise"] = Field(
        "uniform",
        description="Which old examples are replayed. uniform: by chance. surprise: of four times "
        "as many candidates those that the live model finds least likely, doubtful ones left out. "
        "half: one half so, one half so.",
    )
    replay_kl_weight: float = Field(
        0.0,
        ge=0,
        description="λ of the divergence from the previous adapter, per answer token of what is "
        "replayed; 0 switches it off.",
    )
    rehearsal: Literal["auto", "general", "own"] = Field(
        "auto",
        description="What stands for ordinary questions. general: `general_file`, or the starter's "
        "material. own: answers of the live model that nobody remarked on. auto: general, or own "
        "where there is none.",
    )
    rehearsal_generated: int = Field(
        0,
        ge=0,
        description="Where own answers are rehearsed, the live model answers until there are so "
        "many: what people asked earlier versions or, with too little of that, what the base model "
        "thinks up. 0 takes what was logged.",
    )
    rebase_after_rounds: int = Field(
        0,
        ge=0,
        description="After so many rounds on one adapter, or two refusals in a row, a round starts "
        "from a fresh adapter and learns everything that still holds. 0 never does.",
    )
    rebase_epochs: float = Field(
        4.0, gt=0, description="Passes over the material in a round that starts afresh."
    )
    dev_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the news, by person, that neither trains nor judges where some "
        'setting is chosen on dev, as `step_share = "search"` is.',
    )
    held_out_share: float = Field(
        0.15, gt=0, lt=1, description="Share of the people whose feedback judges the round."
    )
    max_new_tokens: int = Field(48, gt=0, description="Answers in the evaluation end here.")
    general_file: str | None = Field(
        None,
        description="JSONL of ordinary questions with their answers, for replay; the starter "
        "model brings its own.",
    )
    protected_file: str | None = Field(
        None,
        description="JSONL of items that no round may break; the starter model brings its own.",
    )
    gate: Literal["on", "report-only"] = Field(
        "on", description="report-only publishes whatever the gate says; it still reports."
    )
    margin_points: float = Field(
        2.0, gt=0, description="A suite may lose less than this, with 95% confidence."
    )
    max_kl_nats: float = Field(
        0.05, gt=0, description="Drift allowed per token where nobody asked for a change."
    )
    max_length_change: float = Field(
        0.15, gt=0, description="Mean answer length may change by this share."
    )
    canary_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of people that a promoted adapter answers first; 0 "
        "makes it live at once.",
    )

    @field_validator("step_share", mode="before")
    @classmethod
    def _share_or_search(cls, value: object) -> object:
        """One message in place of one for each type that it might have been."""
        if value == "search":
            return value
        try:
            share = float(str(value))
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise ValueError("a number above 0 and up to 1, or `search`")
        return share


class TrainerSettings(Plan):
    """`[trainer]`: the plan's fields, and when and where rounds run."""

    schedule: str = Field("0 3 * * 1", description="When a round is due, as cron.")
    timezone: str = Field("UTC", description="Time zone of the schedule (IANA name).")
    new_material: int = Field(
        500, gt=0, description="So much accepted feedback makes a round due before its time."
    )
    minimum_material: int = Field(
        8, gt=0, description="A round that is due waits until there is this much to learn from."
    )
    max_attempts: int = Field(
        3, ge=1, description="A round that dies is taken up again until this many attempts."
    )

    warm_worker: bool = Field(
        False,
        description="Keep a process that has everything imported and forks one for each round: "
        "rounds start at once, for half a gigabyte of idle memory.",
    )

    def plan(self) -> Plan:
        """The part that a round freezes."""
        return Plan(**{name: getattr(self, name) for name in Plan.model_fields})


class ProcessSettings(HeedSettings):
    """What the round's own process reads: where the store is. Its plan comes with the round."""

    model_config = SettingsConfigDict(extra="ignore")
