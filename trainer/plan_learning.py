"""The part of a plan that says how weights change: adapter, rates, steps, machines. Knows no torch.

What is learned and rehearsed, and how it is judged, is `trainer.plan_objectives` and
`trainer.settings`.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Learning(BaseModel):
    """How weights change."""

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
    learning_rate: float = Field(
        2e-3,
        gt=0,
        description="Peak rate of the adapter's weights. The default suits the starter's two million "
        "parameters; models of a billion and more usually take 1e-4 to 3e-4.",
    )
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
        "auto",
        description="auto: bf16 where the hardware has it, on a CPU only for models of 100 million "
        "parameters and more, which gain by it; else fp32.",
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

    @property
    def forward_tokens(self) -> int:
        """Padded tokens in one batch of a pass that keeps no gradients, and so needs less memory."""
        return min(2 * self.batch_tokens, self.micro_batch_tokens)
