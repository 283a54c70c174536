"""Settings of what people said: where it is kept and whose word counts.

Also the base that every process's settings stand on: `heed.toml` < ``HEED_*`` environment < flags.
Knows nothing of the trainer's or the server's sections.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from feedback.errors import Invalid

PREFIX = "HEED_"
PROJECT = "default"
"""The one project there is, at first; every table and unique key already carries its id."""


class FeedbackSettings(BaseModel):
    """`[feedback]`: the store, what it accepts, and whose word counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path("heed-data"), description="Folder under which everything that Heed writes lies."
    )
    database_url: str | None = Field(
        None,
        description="SQLAlchemy URL (`sqlite:///…` or `postgresql+psycopg://…`); by default "
        "an SQLite file in the data folder.",
    )
    max_text_bytes: int = Field(
        65_536, gt=0, description="A correction, comment or reason beyond this is refused."
    )
    accept_thumbs: bool = Field(
        True, description="Thumbs count without review, within the cap for one account."
    )
    quorum_accounts: int = Field(
        3, ge=2, description="So many independent accounts that agree stand in for a reviewer."
    )
    quorum_fewest: int = Field(
        2,
        ge=2,
        description="Fewer stand in for a reviewer where their corrections held up before, so that "
        "they are as probably right as so many strangers; never fewer than this.",
    )
    quorum_circle_chance: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Accounts that make the same corrections more often than accounts that speak "
        "on their own would, but for this chance, count as one; 0 switches this off.",
    )
    quorum_min_age_seconds: float = Field(
        86_400.0, ge=0, description="An account younger than this does not count for the quorum."
    )
    quorum_needs_own_chats: bool = Field(
        True,
        description="Only accounts that asked something themselves, that long ago, count for the "
        "quorum.",
    )
    quorum_burst_seconds: float = Field(
        600.0,
        ge=0,
        description="Accounts under one API key that appeared within this time of each other and "
        "say the same count as one; 0 switches this off.",
    )
    young_account_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="What the unreviewed word of an account counts before it has the age that the "
        "quorum asks for.",
    )
    signal_labels: bool = Field(
        True,
        description="Where nobody voted, signals (copies, retries, dwell …) teach as weak labels, "
        "once enough votes say what they mean.",
    )
    signal_weight: float = Field(
        0.3, gt=0, le=1, description="A weak label counts at most this much beside a vote."
    )
    account_cap_share: float = Field(
        0.01, gt=0, le=1, description="One account's unreviewed share of a round at most …"
    )
    account_cap_minimum: int = Field(
        2, ge=1, description="… or this many pieces of feedback, where that is more."
    )
    review_reservation_seconds: float = Field(
        600.0,
        gt=0,
        description="What a reviewer looks at is reserved for them for so long after they last did "
        "something with it.",
    )
    review_verdicts: int = Field(
        1,
        ge=1,
        le=9,
        description="So many reviewers judge a piece of feedback, blind to each other; where they "
        "disagree, another one decides.",
    )
    review_verdicts_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="The share of all feedback that so many reviewers judge; the rest needs one.",
    )
    review_order_seconds: float = Field(
        60.0,
        gt=0,
        description="How often the review queue is put in order anew, where something has changed.",
    )
    redaction: Literal["off", "training", "storage"] = Field(
        "training",
        description="When addresses, telephone, card and account numbers, IP addresses and keys "
        "become placeholders such as <EMAIL>: before anything is learned, before anything is "
        "stored, or never.",
    )
    redactor: Literal["patterns", "presidio"] = Field(
        "patterns",
        description="What finds them: built-in patterns, or Presidio with more kinds of numbers "
        "(`pip install 'heed[privacy]'`).",
    )
    redaction_keep: list[str] = Field(
        [],
        description="What is public and stays as it is, such as the shop's own telephone number, "
        "an address, or all of a domain (`@shop.example`).",
    )
    keep_unrated_days: float | None = Field(
        None,
        gt=0,
        description="An exchange that nobody gave feedback on is deleted after so many days; unset "
        "keeps it.",
    )
    keep_rated_days: float | None = Field(
        None,
        gt=0,
        description="So many days after the last feedback on it an exchange and what was said of it "
        "lose their texts; their receipts stay. Unset keeps them.",
    )

    @property
    def url(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'heed.sqlite3').absolute()}"


class HeedSettings(BaseSettings):
    """What every process reads; children add their sections."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        toml_file="heed.toml",
        extra="forbid",
        frozen=True,
    )

    feedback: FeedbackSettings = Field(
        default_factory=FeedbackSettings, description="The feedback store."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags win over the environment, the environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


SettingsT = TypeVar("SettingsT", bound=HeedSettings)


def load_settings(kind: type[SettingsT], **overrides: Any) -> SettingsT:
    """Read the settings of one process.

    Args:
        kind: the settings class of this process.
        overrides: sections given by flags, as nested dicts.

    Raises:
        Invalid: a name is misspelt or a value does not fit; every fault is listed with its place.
    """
    strict = kind.model_config.get("extra") == "forbid"  # a part of Heed skips others' sections
    faults = [
        f"{name}: no such section; known are {', '.join(kind.model_fields)}"
        for name in sorted(os.environ)
        if strict
        and name.startswith(PREFIX)
        and "__" in name
        and name.removeprefix(PREFIX).split("__")[0].lower() not in kind.model_fields
    ]
    try:
        settings = kind(**overrides)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(_listed([f"heed.toml is no TOML: {error}"])) from error
    except UnicodeDecodeError as error:
        raise Invalid(_listed([f"heed.toml is not UTF-8: {error}"])) from error
    except SettingsError as error:
        raise Invalid(_listed([*faults, f"in the environment: {error}"])) from error
    except ValidationError as error:
        for fault in error.errors():
            place = ".".join(str(part) for part in fault["loc"])
            variable = PREFIX + place.replace(".", "__").upper()
            said = "no such setting" if fault["type"] == "extra_forbidden" else fault["msg"]
            faults.append(f"{place} (in heed.toml, or {variable}): {said}")
        raise Invalid(_listed(faults)) from error
    if faults:
        raise Invalid(_listed(faults))
    return settings


def _listed(faults: list[str]) -> str:
    lines = "\n".join(f"  {fault}" for fault in faults)
    return f"The settings do not hold:\n{lines}\n`heed config show` lists every setting."
