"""The part of a plan that says what is learned of feedback, and how much each kind counts. No torch."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from trainer.plan_learning import Learning


class Objectives(Learning):
    """How weights change, and what they learn."""

    demonstration_weight: float = Field(1.0, ge=0, description="λ of the next-token loss.")
    preference_weight: float = Field(0.05, ge=0, description="λ of the DPO loss.")
    verdict_weight: float = Field(0.05, ge=0, description="λ of the KTO loss.")
    contrast: bool = Field(
        True,
        description="Whether an answer that says the same of the same thing in another manner is "
        "shown in place of one that got a thumb down: one that people liked under the same "
        "instructions, or one in the manner that their thumbs tell they like.",
    )
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
    paraphrase_repeats: bool = Field(
        True,
        description="What a round repeats (`new_exposures`) is repeated in up to two other wordings "
        "beside its own, by built-in patterns for English, its answer verbatim.",
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
        description="shared: a correction and its copies together count as much as it would alone; "
        "full: each counts as much.",
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
