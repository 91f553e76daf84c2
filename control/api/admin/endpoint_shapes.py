"""What routes about endpoints take and answer."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from control.api.admin.route import Given
from control.outbox.delivery import Sent
from control.outbox.desk import Kept, Looked
from control.outbox.endpoints import NAME, Batch, Endpoint, Env, Format, Kinds

OVERLAP_S = 86_400


class EndpointChange(Given, kw_only=True):
    """`url`: https://..., nats://host:4222/first.words or kafka://host:9092,host:9092/topic. `kinds`:
    `message.*` or whole ones, none: all. `env`: events that name it, "": that name none, `*`: all. `batch`:
    events of one request. `login`: `user:password` of NATS or Kafka; left out of a change: as it was."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    kinds: Kinds = field(default_factory=list)
    env: Env = ""
    format: Format = "qianwan"
    batch: Batch = 100
    login: Annotated[str, Meta(max_length=256)] | None = None


class EndpointWanted(EndpointChange, kw_only=True):
    """`signing`: `hmac` or `ed25519`. `secret`: one of your own (`whsec_...`), else one is made. `after`: a
    cursor to begin at; `since_ms`: a time; neither: what happens from now on."""

    name: Annotated[str, Meta(pattern=f"^{NAME}$(?!\\n)")]
    signing: Literal["hmac", "ed25519"] = "hmac"
    secret: Annotated[str, Meta(max_length=256)] = ""
    after: Annotated[str, Meta(max_length=128)] = ""
    since_ms: Annotated[int, Meta(ge=0, le=1 << 53)] = 0


class EndpointShown(Struct, kw_only=True):
    """Times are unix seconds. `secrets`: how many sign now. `state` disabled: by the program, `why`."""

    name: str
    url: str
    kinds: list[str]
    env: str
    format: str
    batch: int
    state: str
    why: str
    since: int
    made_at: int
    secrets: int
    has_login: bool
    revision: int


class EndpointMade(EndpointShown, kw_only=True):
    """`secret` is shown once; with ed25519 a receiver needs `public_key` alone; both are "" for NATS and
    Kafka."""

    secret: str
    public_key: str


class EndpointLine(EndpointShown, kw_only=True):
    """`known`: its owner answered; the rest is what it said: null what the store does not say. `delivered`:
    since that process delivers; `dead_letters`: that are kept."""

    known: bool
    node: int
    lag_events: int | None
    lag_seconds: float | None
    delivered: int
    dead_letters: int | None
    replaying: str


class Endpoints(Struct, kw_only=True):
    endpoints: list[EndpointLine]


class SecretWanted(Given, kw_only=True):
    """`overlap_s`: so long the one before signs too; 0: it is over at once."""

    signing: Literal["hmac", "ed25519"] = "hmac"
    secret: Annotated[str, Meta(max_length=256)] = ""
    overlap_s: Annotated[int, Meta(ge=0, le=30 * 86_400)] = OVERLAP_S


class ReplayWanted(Given, kw_only=True):
    """From a cursor or a time, to the end of the log as it is now or `until`."""

    after: Annotated[str, Meta(max_length=128)] = ""
    since_ms: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    until: Annotated[str, Meta(max_length=128)] = ""


class ReplayBegun(Struct, kw_only=True):
    id: str
    after: str
    until: str


class Deliveries(Struct, kw_only=True):
    """The latest requests of the process that delivers, oldest first: what they said and were answered."""

    deliveries: list[Sent]


class DeadLettersQuery(Given, kw_only=True):
    after: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class DeadLetters(Struct, kw_only=True):
    """Oldest first; `after`: give it for the next page."""

    letters: list[Kept]
    after: int


def members(name: str, endpoint: Endpoint, revision: int) -> dict[str, object]:
    both = len(endpoint.secrets) > 1 and endpoint.second_until > time.time()
    return {
        "name": name,
        "url": endpoint.url,
        "kinds": list(endpoint.kinds),
        "env": endpoint.env,
        "format": endpoint.format,
        "batch": endpoint.batch,
        "state": endpoint.state,
        "why": endpoint.why,
        "since": endpoint.since,
        "made_at": endpoint.made_at,
        "secrets": min(len(endpoint.secrets), 1 + both),
        "has_login": bool(endpoint.login),
        "revision": revision,
    }


def line_of(name: str, endpoint: Endpoint, revision: int, look: Looked | None) -> EndpointLine:
    told = look or Looked(node=0)
    said = {
        "known": look is not None,
        "node": told.node,
        "lag_events": told.lag_events,
        "lag_seconds": told.lag_seconds,
        "delivered": told.delivered,
        "dead_letters": told.dead_letters,
        "replaying": told.replaying,
    }
    return msgspec.convert(members(name, endpoint, revision) | said, EndpointLine)
