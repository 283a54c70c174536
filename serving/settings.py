"""All settings of Heed, read once per process: `[feedback] [trainer] [serving]`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from feedback.settings import HeedSettings, load_settings
from trainer.settings import TrainerSettings

Role = Literal["api", "console", "scheduler"]


class ServingSettings(BaseModel):
    """`[serving]`: where Heed listens and what it admits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8642, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    engine: Literal["local", "echo"] = Field(
        "local", description="local: the model in this process; echo: repeats people, for tests."
    )
    threads: int | None = Field(
        None,
        gt=0,
        description="CPU threads of the engine; by default half of the cores, which leaves the "
        "others to a round.",
    )
    max_batch: int = Field(32, gt=0, description="Requests answered together at most.")
    max_waiting: int = Field(
        512, gt=0, description="Requests in flight beyond this are told to come back (429)."
    )
    temperature: float = Field(
        0.0, ge=0, le=2, description="Used where a request names no temperature; 0 is greedy."
    )
    max_tokens: int = Field(
        256, gt=0, description="Used where a request names no limit for its answer."
    )
    max_body_bytes: int = Field(
        1_048_576, gt=0, description="A request body beyond this is refused."
    )
    swap_poll_seconds: float = Field(
        0.5, gt=0, description="How often a replica looks whether another adapter went live."
    )
    tick_seconds: float = Field(
        2.0, gt=0, description="How often the scheduler asks whether a round is due."
    )


class Settings(HeedSettings):
    """Everything: what `heed config show` prints."""

    trainer: TrainerSettings = Field(
        default_factory=TrainerSettings, description="What the model learns, and when."
    )
    serving: ServingSettings = Field(
        default_factory=ServingSettings, description="Where Heed listens and what it admits."
    )


def load(**overrides: object) -> Settings:
    """Read the settings from `heed.toml`, the environment and flags.

    Raises:
        Invalid: a name is misspelt or a value does not fit; lists every fault with its place.
    """
    return load_settings(Settings, **overrides)
