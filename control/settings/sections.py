"""The smaller sections: bus, store, tokens, limits, logs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

SAMPLE_SECRETS = frozenset(
    {"change-me", "changeme", "secret", "password", "example", "sample", "test", "admin"}
)


def refuse_sample(value: SecretStr | None) -> SecretStr | None:
    """A secret copied from a sample file or a tutorial is no secret. Raises ValueError."""
    if value is not None and value.get_secret_value():
        text = value.get_secret_value().lower()
        if text in SAMPLE_SECRETS or "change-me" in text:
            raise ValueError("this is a sample secret; put your own in its place")
    return value


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BusSection(Section):
    kind: Literal["memory", "nats"] = Field(
        default="memory",
        description="`memory` joins the roles of one process; `nats` joins several processes.",
    )
    nats_url: str = Field(
        default="nats://127.0.0.1:4222",
        description="Address of the NATS server (core NATS; JetStream is not needed).",
    )
    nats_token: SecretStr | None = Field(
        default=None, description="Token for the NATS server, if it asks for one."
    )
    prefix: str = Field(
        default="qw",
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="First word of every subject, to share a NATS server.",
    )
    beacon_s: float = Field(
        default=1.0,
        ge=0.05,
        le=60,
        description=(
            "Seconds between the beacons that carry each stream's number: the longest a lost tail "
            "stays unnoticed."
        ),
    )
    dead_after_s: float = Field(
        default=6.0,
        ge=0.2,
        le=600,
        description="Seconds without a beacon after which a peer process counts as gone.",
    )
    ring_batches: int = Field(
        default=4096,
        ge=16,
        le=1 << 20,
        description="Batches kept per stream for repair; older gaps are healed by SYNC hints.",
    )
    ring_bytes: int = Field(
        default=32 << 20,
        ge=1 << 16,
        description="Bytes kept per stream for repair, the other bound of the same ring.",
    )
    sync_spread_s: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description=(
            "Seconds over which a gateway spreads SYNC hints after a gap that could not be repaired."
        ),
    )

    _no_sample = field_validator("nats_token")(refuse_sample)

    @model_validator(mode="after")
    def death_is_slower_than_the_beacon(self) -> BusSection:
        if self.dead_after_s < 3 * self.beacon_s:
            raise ValueError(
                "dead_after_s must be at least three beacons, or one late beacon looks like a death"
            )
        return self


class StoreSection(Section):
    kind: Literal["sqlite", "postgres"] = Field(
        default="sqlite",
        description="`sqlite` lives in the data folder; `postgres` when one machine is not enough.",
    )
    url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL DSN (postgresql://user:password@host/database). Only for kind = postgres.",
    )

    _no_sample = field_validator("url")(refuse_sample)

    @model_validator(mode="after")
    def postgres_needs_a_url(self) -> StoreSection:
        if self.kind == "postgres" and not (self.url and self.url.get_secret_value()):
            raise ValueError("store.kind = postgres needs store.url")
        return self


class AuthSection(Section):
    issuer: str = Field(
        default="qianwan", min_length=1, description="`iss` of tokens; a token of another issuer is refused."
    )
    audience: str = Field(
        default="qianwan", min_length=1, description="`aud` of tokens: tells clusters apart."
    )
    token_ttl_s: int = Field(
        default=86400,
        ge=10,
        le=30 * 86400,
        description="Life of a token in seconds when the request names none.",
    )
    token_max_ttl_s: int = Field(
        default=7 * 86400,
        ge=10,
        le=366 * 86400,
        description=(
            "Longest life a token may have, in seconds, from its `iat`; longer ones are refused at login too."
        ),
    )
    clock_skew_s: int = Field(
        default=30,
        ge=0,
        le=600,
        description="Seconds two clocks may differ before a token counts as expired or not yet valid.",
    )
    rotate_keys_days: int = Field(
        default=30,
        ge=0,
        le=45,
        description=(
            "Days after which a process with the role `control` makes a new server key and a new token key;"
            " 0: never. A key holds for 62 days, so at most 45."
        ),
    )
    bootstrap_api_key: SecretStr | None = Field(
        default=None,
        description=(
            "An API key (`qwk_<id>_<secret>`) accepted besides the key file, for automated installations."
        ),
    )

    _no_sample = field_validator("bootstrap_api_key")(refuse_sample)


class LimitsSection(Section):
    body_bytes: int = Field(
        default=1 << 20, ge=1024, le=64 << 20, description="Largest HTTP request body in bytes; above: 413."
    )
    page_items: int = Field(
        default=100, ge=1, le=1000, description="Items in a page when the request names no limit."
    )
    page_items_max: int = Field(default=500, ge=1, le=5000, description="Largest `limit` a request may name.")
    idempotency_ttl_s: int = Field(
        default=86400,
        ge=60,
        le=7 * 86400,
        description="Seconds an Idempotency-Key is remembered with its answer.",
    )
    idempotency_entries: int = Field(
        default=65536,
        ge=16,
        le=1 << 22,
        description="Answers remembered at most; the oldest goes first. About 1 KiB each.",
    )
    idempotency_answer_bytes: int = Field(
        default=65536,
        ge=1024,
        le=512 << 10,
        description="Largest answer remembered; of a larger one is known only that it was given: 409.",
    )
    api_requests_per_s: float = Field(
        default=2000.0,
        gt=0,
        description="Requests a second one API key may make in the long run; above: 429.",
    )
    api_burst: int = Field(
        default=4000, ge=1, description="Requests one API key may make at once before that rate holds."
    )
    event_backlog: int = Field(
        default=65536,
        ge=1024,
        description="Upstream events held while no im process answers; above, SENDs get 503.",
    )


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto`: for people on a terminal, JSON lines otherwise."
    )
