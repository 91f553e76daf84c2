"""Endpoints: where the event copy is delivered. Each is a document, `endpoints/<name>`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from control.coordination.documents import Document
from control.keys.wrapped import CannotUnwrap, Wrapping
from control.outgoing.addresses import AddressPolicy
from im_service.outbox.ports import EventFilter

PREFIX = "endpoints/"
REPLAYS = "endpoint-replays/"
NAME = "[a-z0-9][a-z0-9-]{0,31}"
MOST = 64
"""Endpoints of an app: each has memory, sockets and a reader of its own."""
EVERY_ENV = "*"
WEBHOOK, NATS, KAFKA = ("https", "http"), ("nats", "nats+tls"), ("kafka", "kafka+tls")
TOPIC = r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}"
Format = Literal["qianwan", "cloudevents"]
State = Literal["active", "paused", "disabled"]
Kinds = Annotated[list[Annotated[str, Meta(max_length=1000)]], Meta(max_length=64)]
Env = Annotated[str, Meta(pattern=r"^(\*|[A-Za-z0-9_.-]{0,64})$(?!\n)")]
Batch = Annotated[int, Meta(ge=1, le=500)]


class Endpoint(Struct, frozen=True, kw_only=True):
    """`secrets`, wrapped: by which a webhook is signed, the newest first; the second holds until
    `second_until` (unix seconds). `login`, wrapped: `user:password` of NATS or Kafka. `env`: "" the events
    that name none, `*` all. `state` disabled: by the program itself, and `why`. `after`: where it began in
    the log. `changes` counts those of `state`. `begun`: since when it is judged, another number whenever
    that begins anew. `incarnation` is new when the name is used anew: places in the log are kept
    under both."""

    url: str
    kinds: tuple[str, ...] = ()
    env: str = ""
    format: Format = "qianwan"
    batch: int = 100
    secrets: tuple[str, ...] = ()
    second_until: int = 0
    login: str = ""
    state: State = "active"
    why: str = ""
    since: int = 0
    changes: int = 0
    begun: int = 0
    made_at: int = 0
    after: str = ""
    incarnation: str = ""

    def put_into(self, state: State, now_s: int, why: str = "") -> Endpoint:
        """Who was disabled is judged anew."""
        before = self.anew(now_s) if self.state == "disabled" else self
        return msgspec.structs.replace(before, state=state, why=why, since=now_s, changes=self.changes + 1)

    def anew(self, now_s: int) -> Endpoint:
        """Nothing that it answered before counts any more."""
        return msgspec.structs.replace(self, begun=max(now_s, self.begun + 1))

    @property
    def scheme(self) -> str:
        return self.url.partition(":")[0]

    @property
    def signed(self) -> bool:
        return self.scheme in WEBHOOK

    def group(self, name: str) -> str:
        """Under which its place in the log is kept."""
        return f"endpoint.{name}.{self.incarnation}"

    def wanted(self) -> EventFilter:
        envs: tuple[str | None, ...] = () if self.env == EVERY_ENV else (self.env or None,)
        return EventFilter(self.kinds, envs)


class Latest:
    """An endpoint as it is now, however long somebody works with it: as it was last, where it is gone or
    another has its name."""

    def __init__(self, known: Endpoint, find: Callable[[], Endpoint | None]) -> None:
        self._known, self._find = known, find

    def __call__(self) -> Endpoint:
        found = self._find()
        if found is not None and found.incarnation == self._known.incarnation:
            self._known = found
        return self._known


class Replay(Struct, frozen=True, kw_only=True):
    """Document `endpoint-replays/<name>`: what lies behind `after`, up to `until`, is delivered once more
    beside what is new. `letters`: the dead letters instead."""

    id: str
    incarnation: str
    after: str
    until: str
    asked_at: int
    letters: bool = False

    def group(self, name: str) -> str:
        return f"replay.{name}.{self.id}"


class Place(NamedTuple):
    """Servers of NATS or Kafka, and the subject's first words or the topic."""

    servers: tuple[tuple[str, int], ...]
    topic: str
    tls: bool


def check_url(url: str, policy: AddressPolicy) -> None:
    """Raises ValueError for what is no endpoint."""
    if url.partition(":")[0] in WEBHOOK:
        policy.check_url(url)
    else:
        place_of(url, policy)


def place_of(url: str, policy: AddressPolicy | None = None) -> Place:
    """Of `nats://host:4222/subject.words` and `kafka://host:9092,host:9092/topic`. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    if scheme not in (*NATS, *KAFKA):
        raise ValueError("must begin with https://, nats://, nats+tls://, kafka:// or kafka+tls://")
    if len(url) > 2048 or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("a URL has at most 2048 printable ASCII characters")
    if any(letter in url for letter in "@?#"):
        raise ValueError("carries no user, password, query or fragment")
    hosts, _, topic = rest.partition("/")
    if not _is_topic(topic):
        raise ValueError("ends in /topic: words of A-Z a-z 0-9 _ -, joined by dots")
    servers = tuple(_server(scheme, host) for host in hosts.split(","))
    for host, _ in servers if policy is not None else ():
        if _is_address(host) and policy is not None:
            policy.check_address(host)
    return Place(servers, topic, scheme.endswith("+tls"))


def _is_topic(topic: str) -> bool:
    return re.fullmatch(TOPIC, topic) is not None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _server(scheme: str, text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path:
        raise ValueError(f"{text!r} is no host:port")
    return parts.hostname, parts.port or (4222 if scheme in NATS else 9092)


def read_endpoint(document: Document) -> Endpoint:
    """Raises ValueError for what another version wrote."""
    return msgspec.json.decode(document.value, type=Endpoint)


def secrets_now(endpoint: Endpoint, name: str, wrapping: Wrapping, now_s: float) -> Sequence[str]:
    """By which a request is signed now. Raises CannotUnwrap."""
    kept = endpoint.secrets if endpoint.second_until > now_s else endpoint.secrets[:1]
    if not kept:
        raise CannotUnwrap("there is no secret")
    return [wrapping.unwrap(PREFIX + name, secret) for secret in kept]
