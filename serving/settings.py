"""All settings of Heed, read once per process: `[feedback] [trainer] [serving]`."""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from feedback.settings import HeedSettings, load_settings
from serving.auth import AccountRole
from serving.oidc_addresses import is_confidential
from trainer.settings import TrainerSettings

Role = Literal["api", "console", "scheduler"]
# As a browser writes it: lower case, no default port spelt differently, no path.
_ORIGIN = re.compile(r"https?://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(?::\d{1,5})?")


class ServingSettings(BaseModel):
    """`[serving]`: where Heed listens and what it admits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8642, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    engine: Literal["local", "vllm", "echo"] = Field(
        "local",
        description="local: the model in this process; vllm: a vLLM server; echo: repeats people, "
        "for tests.",
    )
    vllm_url: str = Field(
        "http://127.0.0.1:8000",
        description="Where vLLM listens, for Heed alone: whoever reaches it can make it load any "
        "path.",
    )
    vllm_key: SecretStr | None = Field(
        None, description="What vLLM was given as --api-key, if anything."
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
    receive_seconds: float = Field(
        30.0,
        gt=0,
        description="A request whose head, or then whose body, takes longer to arrive is cut off.",
    )
    keep_alive_seconds: int = Field(
        75,
        ge=1,
        description="An idle connection is closed after this time. It should be longer than its "
        "clients and proxies keep theirs, or a request may meet the closing door.",
    )
    drain_seconds: float = Field(
        8.0,
        ge=0,
        description="What is being answered when Heed is told to stop has this long to end, then "
        "it is cut. Container runtimes kill after ten seconds.",
    )
    engine_restarts: int = Field(
        5,
        ge=0,
        description="An engine that dies is started again so many times a minute; then it stays "
        "down.",
    )
    unlogged: Literal["refuse", "answer"] = Field(
        "refuse",
        description="What becomes of a chat that cannot be logged, since the database is away or "
        "the disk is full. refuse: an error, so that every answer that anybody sees can take "
        "feedback; answer: it is answered, counted in heed_unlogged_answers_total, and feedback on "
        "it is not found.",
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
    widget_origins: list[str] = Field(
        [],
        description="Origins of the web pages that may send feedback from the browser, such as "
        "https://shop.example; Heed's own pages always may.",
    )
    token_secrets: SecretStr | None = Field(
        None,
        description="Secrets that sign feedback tokens, 32 bytes or more each, separated by "
        "blanks: the first signs, all are accepted. By default Heed keeps one in `tokens.key` in "
        "its data folder; servers that do not share the folder need to be given the same.",
    )
    session_hours: float = Field(
        12.0,
        gt=0,
        description="Whoever is signed in to the console and does nothing for so long has to sign "
        "in again; after a week everybody has to.",
    )
    password_memory_mib: int = Field(
        64,
        ge=1,
        le=4096,
        description="Memory that hashing a password takes (argon2id, three passes): the more, the "
        "dearer it is to guess one from a stolen database. Less than 19 is for tests.",
    )
    public_url: str | None = Field(
        None,
        description="Where browsers reach Heed, such as https://heed.example; signing in by OIDC "
        "comes back there.",
    )
    oidc_issuer: str | None = Field(
        None,
        description="The OpenID provider by which people may sign in to the console, exactly as it "
        "names itself, such as https://accounts.google.com; needs `pip install 'heed[oidc]'`. Its "
        "client's redirect address is PUBLIC_URL/console/sign-in/oidc/callback.",
    )
    oidc_client_id: str | None = Field(
        None, min_length=1, description="What the provider calls this Heed."
    )
    oidc_client_secret: SecretStr | None = Field(
        None, min_length=1, description="The secret that the provider gave this Heed."
    )
    oidc_scopes: str = Field(
        "openid profile email",
        description="What is asked for, separated by blanks; some providers tell groups only where "
        "they are asked for.",
    )
    oidc_name_claim: str = Field(
        "preferred_username",
        min_length=1,
        description="The claim that holds the name under which somebody is known here, such as "
        "email. Whose account it is never depends on it: the provider's `sub` says that.",
    )
    oidc_role_claim: str = Field(
        "groups",
        min_length=1,
        description="The claim that decides on the role: a text or a list of them; dots lead into "
        "it, as in realm_access.roles.",
    )
    oidc_roles: dict[str, AccountRole] = Field(
        {},
        description='Which of its values give which role, such as { "heed-admins" = "admin" }; of '
        "several the highest counts, at every sign-in anew.",
    )
    oidc_default_role: AccountRole | None = Field(
        None,
        description="The role of whoever has none of these values: viewer, reviewer, operator or "
        "admin. Unset, they are refused.",
    )
    oidc_label: str = Field(
        "single sign-on",
        min_length=1,
        max_length=40,
        description='What the button says after "Sign in with".',
    )
    metrics: Literal["open", "admin", "off"] = Field(
        "admin",
        description="Who may read /metrics: anybody, or a key with the role admin (without any "
        "key: this machine).",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="From which level on Heed's own lines are logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto: text on a terminal, else a JSON object a line."
    )
    traces: Literal["off", "otlp"] = Field(
        "off",
        description="otlp: an OpenTelemetry span for each answer, sent where "
        "OTEL_EXPORTER_OTLP_ENDPOINT says; needs `pip install 'heed[otel]'`.",
    )
    tick_seconds: float = Field(
        2.0, gt=0, description="How often the scheduler asks whether a round is due."
    )

    canary_seconds: float = Field(
        5.0, gt=0, description="How often the scheduler weighs what people say of a canary."
    )

    watch_seconds: float = Field(
        15.0, gt=0, description="How often the scheduler looks whether something changed."
    )
    webhook_url: SecretStr | None = Field(
        None,
        description="Where alerts are posted as JSON, http or https; such an address is often a "
        "secret by itself.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs what is posted, as Standard Webhooks have it: whsec_ and base64, or any "
        "text of 16 characters or more.",
    )
    webhook_seconds: float = Field(
        10.0, gt=0, le=60, description="A webhook that takes longer counts as not delivered."
    )

    @field_validator("webhook_url")
    @classmethod
    def _is_address(cls, given: SecretStr | None) -> SecretStr | None:
        if given is None:
            return None
        try:
            parts = urlsplit(given.get_secret_value())
            sound = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            sound = False
        if not sound:
            raise ValueError("not an address; write https://HOST/PATH, or http:// within a network")
        return given

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, given: str | None) -> str | None:
        plain = given if given is None else given.removesuffix("/")
        if plain is not None and not _ORIGIN.fullmatch(plain):
            raise ValueError("write https://heed.example, without a path, in lower case")
        return plain

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, given: str | None) -> str | None:
        if given is not None and (not is_confidential(given) or "?" in given or "#" in given):
            raise ValueError("an issuer is an https:// address without `?` and `#`")
        return given

    @field_validator("oidc_scopes")
    @classmethod
    def _ask_who_it_is(cls, given: str) -> str:
        if "openid" not in given.split():
            raise ValueError("without the scope `openid` no provider says who it is")
        return given

    @model_validator(mode="after")
    def _oidc_is_whole(self) -> Self:
        if self.oidc_issuer is None:
            return self
        needed = ("public_url", "oidc_client_id", "oidc_client_secret")
        lacking = [name for name in needed if getattr(self, name) is None]
        if not self.oidc_roles and self.oidc_default_role is None:
            lacking.append("oidc_roles (or oidc_default_role), without which nobody gets in")
        if lacking:
            raise ValueError(f"oidc_issuer needs more: set {', '.join(lacking)}")
        return self

    @field_validator("widget_origins")
    @classmethod
    def _are_origins(cls, given: list[str]) -> list[str]:
        for each in given:
            if not _ORIGIN.fullmatch(each):
                raise ValueError(
                    f"{each!r} is no origin; write https://shop.example, without a path, or with a "
                    "port http://localhost:3000"
                )
        return given


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
