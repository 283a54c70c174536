"""Settings of the trainer, and the Plan: what of them one round freezes when it opens.

Knows no torch. The plan is stored on the round, so that a round runs as it was opened, whatever
the settings say by then.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from feedback.settings import HeedSettings
from trainer.plan_reviews import Reviewed


class Plan(Reviewed):
    """One round's hyperparameters, frozen.

    Defaults were chosen on the bundled starter model; `docs/decisions/` says how.
    """

    step_share: float | Literal["search"] = Field(
        0.9,
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
        900,
        ge=0,
        description="A round with little new rehearses at least this many old examples, where "
        "there are so many; what forgetting costs does not shrink with the news.",
    )
    new_exposures: int = Field(
        30,
        ge=0,
        description="An answer that few people gave is repeated until a round shows it at least so "
        "often, over all passes, with old material of its own; each correction at most eight times "
        "in a pass. 0 shows each once in a pass.",
    )
    teach_again: bool = Field(
        True,
        description="Old answers that a round replays and the live model does not give are repeated "
        "as new ones are (`new_exposures`): what was not learned at once, or was lost since; general "
        "material where the base model gives them.",
    )
    replay_buffer: int = Field(
        0,
        ge=0,
        description="Past examples that replay draws from: a chance sample of this size over all "
        "rounds, which superseded ones leave. 0 keeps them all.",
    )
    replay_sampling: Literal["uniform", "half", "surprise"] = Field(
        "half",
        description="Which old examples are replayed. uniform: by chance. surprise: of four times "
        "as many candidates those that the live model finds least likely, general material "
        "compared with the base model, doubtful ones left out. half: one half so, one half so.",
    )
    neighbour_share: float = Field(
        0.5,
        ge=0,
        description="Questions like the new ones about something else, made up or known, answered by "
        "the live model: so many for each correction that a pass shows, in place of general "
        "material. 0 makes none.",
    )
    neighbour_past_share: float = Field(
        0.25,
        ge=0,
        description="Beside neighbours of what is new, some of what earlier rounds taught: so many for "
        "each past answer that a pass replays, about things that are made up. 0 makes none.",
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
        description="Share of the news, by person, or of what a document round reads, by document, "
        'that neither trains nor judges where some setting is chosen on dev, as `step_share = "search"` '
        "is.",
    )
    held_out_share: float = Field(
        0.15, gt=0, lt=1, description="Share of the people whose feedback judges the round."
    )
    max_new_tokens: int = Field(48, gt=0, description="Answers in the evaluation end here.")
    general_file: str | None = Field(
        None,
        description="JSONL of ordinary questions with their answers, for replay. Without it "
        "suites/general.jsonl in the data folder, where there is one; the starter model brings its "
        "own.",
    )
    protected_file: str | None = Field(
        None,
        description="JSONL of items that no round may break; the starter model brings its own.",
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
        16.0, gt=0, description="Passes over the mixed material of a document round."
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

    @model_validator(mode="after")
    def _a_product_where_one_is_needed(self) -> Self:
        """DoRA's update is no product BA, which interpolation and consolidation are about."""
        if self.lora_variant == "dora" and self.step_share != 1:
            raise ValueError("lora_variant dora cannot be interpolated: set step_share to 1.")
        if self.lora_variant == "dora" and self.ewc_weight:
            raise ValueError("lora_variant dora has no product BA to hold: set ewc_weight to 0.")
        return self

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

    schedule: str = Field(
        "0 3 * * 1",
        description="When a round is due, as cron (0 and 7 are Sunday); a sixth field, in front, is seconds.",
    )
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

    canary_automatic: bool = Field(
        True,
        description="A canary goes or stays by itself, as the evidence says; off: it is only shown.",
    )
    canary_alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="Probability that a canary which is as good is taken away, or that one which is "
        "worse by the margin stays, however often anybody looks.",
    )
    canary_margin_points: float = Field(
        5.0,
        gt=0,
        lt=100,
        description="A canary stays once it is surely less than this worse: in votes, errors and "
        "slow answers. Half of it takes four times as many people.",
    )
    canary_minimum_people: int = Field(
        50, ge=1, description="So many people have to have voted on a canary before it stays."
    )
    canary_slow_quantile: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="An answer counts as slow beyond this quantile of the times that the version "
        "before took.",
    )

    watch: bool = Field(
        True,
        description="The version that answers everybody is watched for changes: in how often people "
        "vote, correct and are content, in refusals, in length and in what is asked.",
    )
    watch_alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="Probability that a version of which nothing changes ever gets an alert, of all "
        "measures together and for as long as it answers.",
    )
    watch_least_points: float = Field(
        1.0, ge=0, lt=100, description="A change by fewer points is no alert, however certain."
    )
    watch_reference: int = Field(
        20_000,
        ge=0,
        description="So many of the last answers of the time before are what a version is compared "
        "with. With a tenth of it a loss of five points may never be seen.",
    )
    watch_settle_seconds: float = Field(
        600.0,
        ge=0,
        description="An answer counts once it is so old; votes and corrections that come later are "
        "not counted by the watch.",
    )
    watch_refusals: list[str] = Field(
        [
            *("I can't", "I cannot", "I can not", "I'm unable", "I am unable", "I'm not able"),
            *("I am not able", "I don't know", "I do not know", "I won't", "as an AI"),
        ],
        description="An answer that says one of these in its first 300 characters is a refusal.",
    )
    watch_rollback: bool = Field(
        False,
        description="An alert that satisfaction falls, or that corrections or refusals rise, makes "
        "the version before live again; never while what people ask seems to change as well, and "
        "never twice in a row.",
    )

    warm_worker: bool = Field(
        False,
        description="Keep a process that has everything imported and forks one for each round: "
        "rounds start at once, for half a gigabyte of idle memory.",
    )

    @field_validator("lora_variant")
    @classmethod
    def _what_an_engine_can_serve(cls, value: str) -> str:
        """Known now, and not after a round was trained, judged and promoted."""
        if value == "dora":
            raise ValueError(
                "dora is for experiments: neither the local engine nor vLLM serves DoRA adapters. "
                "Use lora or rslora."
            )
        return value

    def plan(self) -> Plan:
        """The part that a round freezes."""
        return Plan(**{name: getattr(self, name) for name in Plan.model_fields})


class ProcessSettings(HeedSettings):
    """What the round's own process reads: where the store is. Its plan comes with the round."""

    model_config = SettingsConfigDict(extra="ignore")
