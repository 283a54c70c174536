"""Settings of the trainer, and the Plan: what of them one round freezes when it opens.

Knows no torch. The plan is stored on the round, so that a round runs as it was opened, whatever
the settings say by then.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
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
    step_share: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Share of the way from the previous adapter to the newly trained one that is "
        "gone: a little less is learned and much less forgotten.",
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
    start_from: str | None = Field(
        None,
        description="Adapter that the next round's training starts from instead of the live one, "
        "such as a checkpoint of a document round; once what is live descends from it, rounds go "
        "on from what is live.",
    )
    document_chunk_tokens: int = Field(
        256, ge=16, description="Documents are cut into pieces of at most this many tokens."
    )
    document_relevant_share: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Share of the pieces that is kept, those most like what people ask; 1 keeps "
        "all.",
    )
    document_known_share: float = Field(
        0.05,
        ge=0,
        lt=0.5,
        description="Share of the pieces that is dropped since the model knows them: those of the "
        "lowest perplexity.",
    )
    document_garbage_share: float = Field(
        0.02,
        ge=0,
        lt=0.5,
        description="Share of the pieces that is dropped as garbage: those of the highest "
        "perplexity.",
    )
    document_general_share: float = Field(
        0.5,
        ge=0.1,
        lt=1,
        description="Share of a document round's trained tokens that is past feedback and general "
        "material; a model of a billion parameters or more keeps what it knows with 0.1 to 0.25.",
    )
    document_answer_likeness: float = Field(
        0.6,
        ge=0,
        le=1,
        description="A question that people asked is learned with the sentence of the documents "
        "that is at least so much like it; a chat model does not say in conversation what it only "
        "read. 1 learns the text alone.",
    )
    document_held_out_share: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Share of the documents, or of their sections, that judges a document round.",
    )
    document_epochs: float = Field(
        10.0, gt=0, description="Passes over the mixed material of a document round."
    )
    document_checkpoints: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.25, 0.5, 0.75),
        description="Shares of a document round's steps after which the adapter is kept as a "
        "candidate that fine-tuning can start from.",
    )
    document_file_mb: float = Field(
        32.0, gt=0, description="Larger documents are not read (millions of bytes)."
    )
    document_total_mb: float = Field(
        64.0, gt=0, description="A document round reads at most this much text (millions of bytes)."
    )


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
