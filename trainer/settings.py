"""Settings of the trainer, and the Plan: what of them one round freezes when it opens.

Knows no torch. The plan is stored on the round, so that a round runs as it was opened, whatever
the settings say by then.
"""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
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
    lora_variant: Literal["lora", "rslora", "dora"] = Field(
        "lora",
        description="What a fresh adapter is: plain LoRA, rank-stabilised LoRA (scaled by alpha / "
        "√rank), or DoRA, which only experiments may choose: nothing here serves it. A later "
        "adapter is what its parent was.",
    )
    lora_plus_ratio: float = Field(
        1.0, gt=0, description="LoRA+: B learns at this many times the rate of A; 1 is plain LoRA."
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Each layer learns at this share of the rate of the one above it; 1 gives all "
        "the same.",
    )
    unfreeze_every_steps: int = Field(
        0,
        ge=0,
        description="Gradual unfreezing: the top layer learns first, and one more joins it every "
        "so many steps; one whose turn does not come in a round does not learn in it. 0 lets all "
        "learn from the start.",
    )
    trained_layers_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the layers, from the top, that have an adapter and learn.",
    )
    lower_activations: Literal["fp16", "fp32", "off"] = Field(
        "fp16",
        description="Where only upper layers learn, what reaches them is computed once per "
        "example and kept in memory in this precision; off computes it every time.",
    )
    ewc_weight: float = Field(
        0.0,
        ge=0,
        description="λ of elastic weight consolidation: how hard the adapter is held where old "
        "material needs it; 0 switches it off. Takes twice the memory of the adapted weights.",
    )
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
    lr_schedule: Literal[
        "cosine", "linear", "constant_with_warmup", "cosine_with_restarts", "triangular"
    ] = Field(
        "cosine",
        description="How the rate runs after warming up; triangular, which is cyclic, warms up by "
        "itself.",
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay (AdamW).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    lr_cycles: int = Field(
        3, gt=0, description="Cycles of the schedules cosine_with_restarts and triangular."
    )
    micro_batch_tokens: int = Field(
        8192,
        gt=0,
        description="Padded tokens in one batch. A step is cut into as many batches as that needs, "
        "so this bounds the memory and batch_tokens what a step learns from. Where memory runs "
        "out, a round lowers it by itself and says so.",
    )
    dev_every_steps: int = Field(
        10,
        gt=0,
        description="Where a setting looks at the loss on dev: after so many steps, and at the end.",
    )
    early_stopping_patience: int | None = Field(
        None,
        gt=0,
        description="Training stops after so many looks at dev without a new best loss; by default "
        "never.",
    )
    keep_best: bool = Field(
        False,
        description="End with the weights of the best loss on dev instead of the last ones.",
    )
    plateau_patience: int | None = Field(
        None,
        gt=0,
        description="The learning rate is lowered after so many looks at dev without a new best "
        "loss; by default never.",
    )
    plateau_factor: float = Field(
        0.5, gt=0, lt=1, description="What the learning rate is multiplied with then."
    )
    batch_range: int = Field(
        1,
        ge=1,
        le=16,
        description="The steps' size follows the noise of the gradient, from batch_tokens divided "
        "by this to batch_tokens times this, by powers of two; 1 keeps it.",
    )
    checkpoint_seconds: float = Field(
        300.0,
        ge=0,
        description="So often a round writes down where it stands, and goes on from there if it is "
        "killed; 0 after every step.",
    )
    report_to: list[Literal["tensorboard", "trackio", "wandb", "mlflow"]] = Field(
        [],
        description="Trackers that are told each step's losses: tensorboard, trackio, wandb, "
        "mlflow. They write below the data folder; nothing leaves the machine unless the tracker's "
        "own environment variables say so.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the hardware has it, else fp32."
    )
    threads: int | None = Field(
        None, gt=0, description="CPU threads; by default the free cores, one for a small model."
    )
    processes: int = Field(
        1,
        gt=0,
        description="Processes on this machine that share the batches of every training step; one "
        "for each GPU, or on a CPU for each socket.",
    )
    demonstration_weight: float = Field(1.0, ge=0, description="λ of the next-token loss.")
    preference_weight: float = Field(0.05, ge=0, description="λ of the DPO loss.")
    verdict_weight: float = Field(0.05, ge=0, description="λ of the KTO loss.")
    beta: float = Field(0.1, gt=0, description="β of DPO and KTO: how far the policy may drift.")
    preference_loss: Literal["sigmoid", "conservative", "robust", "ipo"] = Field(
        "sigmoid",
        description="What a preference costs. sigmoid: DPO; conservative: DPO with smoothed labels; "
        "robust: DPO without the bias of flipped labels; ipo: a squared margin per token. "
        "conservative and robust mind the noise of thumbs, too.",
    )
    label_noise: float | Literal["estimated"] = Field(
        "estimated",
        description="Share of preferences and thumbs that conservative and robust take for flipped: "
        "a number below 0.5, or `estimated`, what the round's own votes say of each kind.",
    )
    length_control: Literal["off", "desensitised", "normalised", "penalty"] = Field(
        "off",
        description="Keeps preferences from teaching length. desensitised: what the longer answer "
        "has beyond the shorter one counts less; normalised: the margin is per token; penalty: "
        "length explains a part of the margin.",
    )
    length_strength: float = Field(
        0.5,
        ge=0,
        description="How strong length_control is; 0 is none. Up to 1 for desensitised and "
        "normalised; nats per token of difference for penalty, where 0.01 to 0.05 is usual.",
    )
    off_policy_weighting: Literal["off", "ratio", "wpo"] = Field(
        "off",
        description="Preferences and thumbs on answers of an older adapter count less where the "
        "present one would hardly give them. ratio: how much likelier the present one finds the "
        "answer, per token; wpo: how typical of the present one the answer is.",
    )
    off_policy_clip: float = Field(
        1.0, gt=0, description="Such a weight is at most this; 1 never counts anything for more."
    )
    augment_prompts: int = Field(
        0,
        ge=0,
        le=20,
        description="Paraphrases of the question that each new demonstration also gets, its answer "
        "verbatim.",
    )
    augmentation_url: str | None = Field(
        None,
        description="An OpenAI-compatible API that paraphrases, such as http://127.0.0.1:8000/v1; "
        "it is sent the questions of corrections, personal data redacted as for training. By default "
        "built-in patterns for English do it. Its key is read from AUGMENTATION_API_KEY.",
    )
    augmentation_model: str | None = Field(
        None, description="The model that augmentation_url is asked for."
    )
    typing_noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the new demonstrations, paraphrases included, that get a copy whose "
        "question has typing errors; numbers, links and what the answer repeats stay right.",
    )
    augmentation_weight: Literal["shared", "full"] = Field(
        "shared",
        description="shared: a correction and its copies together count as one; full: each counts "
        "as much.",
    )
    pseudo_label_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="So many of the model's own confident answers to logged questions that nobody "
        "remarked on are demonstrations, too, as a share of the new ones. 0 for none.",
    )
    pseudo_label_confidence: float = Field(
        0.9,
        gt=0,
        le=1,
        description="An own answer is confident where its tokens are this probable: their "
        "geometric mean.",
    )
    pseudo_label_weight: float = Field(
        0.3, gt=0, le=1, description="What such an answer counts beside a correction."
    )
    staged_introduction: float = Field(
        0.0,
        ge=0,
        le=1,
        description="New material comes in slowly: its share of a step grows from nothing over this "
        "share of the round. 0 mixes evenly from the start.",
    )
    staged_order: Literal["shuffled", "easy-first"] = Field(
        "shuffled",
        description="easy-first: with staged_introduction, what the model finds likeliest comes "
        "first.",
    )
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

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        noise = self.label_noise
        if not isinstance(noise, str) and not 0 <= noise < 0.5:
            raise ValueError("label_noise is `estimated` or a number from 0 up to 0.5, exclusive")
        if self.length_control in ("desensitised", "normalised") and self.length_strength > 1:
            raise ValueError(f"length_strength is at most 1 where length is {self.length_control}")
        if (self.augmentation_url is None) != (self.augmentation_model is None):
            raise ValueError("augmentation_url and augmentation_model go together")
        place = urlsplit(self.augmentation_url or "http://unset")
        if place.scheme not in ("http", "https") or not place.hostname or place.username:
            raise ValueError(
                "augmentation_url is http(s)://host/v1, without a password: a key belongs into "
                "AUGMENTATION_API_KEY"
            )
        return self

    @model_validator(mode="after")
    def _a_product_where_one_is_needed(self) -> Self:
        """DoRA's update is no product BA, which interpolation and consolidation are about."""
        if self.lora_variant == "dora" and self.step_share != 1:
            raise ValueError("lora_variant dora cannot be interpolated: set step_share to 1.")
        if self.lora_variant == "dora" and self.ewc_weight:
            raise ValueError("lora_variant dora has no product BA to hold: set ewc_weight to 0.")
        return self

    @model_validator(mode="after")
    def _alone_where_steps_change(self) -> Self:
        """Each process sees the noise of its own share only, and would choose steps of its own."""
        if self.processes > 1 and self.batch_range > 1:
            raise ValueError("batch_range needs one process: set processes to 1, or batch_range.")
        return self

    @property
    def looks_at_dev(self) -> bool:
        """Whether the training itself, not what follows it, depends on the loss on dev."""
        patience = (self.early_stopping_patience, self.plateau_patience)
        return self.keep_best or any(each is not None for each in patience)

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

    @model_validator(mode="after")
    def _what_an_engine_can_serve(self) -> Self:
        """Known now, and not after a round was trained, judged and promoted."""
        if self.lora_variant == "dora":
            raise ValueError(
                "lora_variant dora is for experiments: neither the local engine nor vLLM serves "
                "DoRA adapters. Use lora or rslora."
            )
        return self

    def plan(self) -> Plan:
        """The part that a round freezes."""
        return Plan(**{name: getattr(self, name) for name in Plan.model_fields})


class ProcessSettings(HeedSettings):
    """What the round's own process reads: where the store is. Its plan comes with the round."""

    model_config = SettingsConfigDict(extra="ignore")
