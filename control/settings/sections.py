"""The smaller sections: bus, etcd, store, tokens, limits, logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from control.logs import parse_levels
from control.settings.values import API_KEY, Rate, Secret, SecretUrl, parse_endpoint, slow_rates

# ((the key, others it hangs on), reason): checked when each of those keys is good by itself.
Problems = Iterator[tuple[tuple[str, ...], str]]


class Section(Struct, kw_only=True, frozen=True):
    """A table of settings. The text under a field is its page in the reference: what it is, why this default,
    and `Beyond:` what happens to who is over it. Units stand in the names, else in `extra`.
    """

    def problems(self) -> Problems:
        """What bounds of single keys do not say."""
        yield from ()


def unit(name: str) -> dict[str, str | bool]:
    return {"unit": name}


LIVE: dict[str, str | bool] = {"live": True}
"""In `extra`: operators may change it while processes run."""


class BusSection(Section, frozen=True):
    kind: Literal["memory", "nats"] = "memory"
    """`memory` joins the roles of one process; `nats` joins several processes."""
    nats_url: SecretUrl = SecretUrl("nats://127.0.0.1:4222")
    """Address of the NATS server (core NATS; JetStream is not needed). Several, separated by commas, are
    one cluster."""
    nats_token: Secret = Secret("")
    """Token for the NATS server, if it asks for one."""
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$", extra=unit("1-32 of A-Z a-z 0-9 _ -"))] = (
        "qw"
    )
    """First word of every subject, to share a NATS server."""
    beacon_s: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    """Between the beacons that carry each stream's number: the longest a lost tail stays unnoticed. Beyond:
    the receiver asks for what it lacks."""
    dead_after_s: Annotated[float, Meta(ge=0.2, le=600)] = 6.0
    """Without a beacon, until a peer process counts as gone: at least three beacons, so that a late one is
    no death. Beyond: its routes end and its sessions are logged out."""
    clock_off_s: Annotated[float, Meta(ge=0.1, le=600)] = 5.0
    """That the clock of a process may be from the median of all, by their beacons: far more than NTP leaves,
    and less than auth.clock_skew_s. Beyond: told in the log, by `/readyz`, the doctor and a metric; LBS
    leaves a gateway out that is surely beyond auth.clock_skew_s too: it refuses new tokens."""
    ring_batches: Annotated[int, Meta(ge=16, le=1 << 20, extra=unit("batches of a stream"))] = 4096
    """Kept for repair: some seconds of a busy stream. Beyond: the gap is healed by SYNC hints."""
    ring_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 40)] = 32 << 20
    """Kept per stream for repair, the other bound of the same ring. Beyond: the gap is healed by SYNC
    hints."""
    sync_spread_s: Annotated[float, Meta(ge=0, le=600)] = 5.0
    """Over which a gateway spreads SYNC hints after a gap that could not be repaired, so that the store is
    not asked by all at once. Beyond: every session has had its hint."""

    def problems(self) -> Problems:
        if self.dead_after_s < 3 * self.beacon_s:
            yield (
                ("dead_after_s", "beacon_s"),
                "must be at least three beacons, or one late beacon looks like a death",
            )


class EtcdSection(Section, frozen=True):
    endpoints: tuple[str, ...] = ()
    """Members of the etcd that coordinates this cluster, `host:port` or `https://host:port`: all of them, so
    that one may be away. Empty: no etcd; documents live in the data folder, node ids are typed."""
    user: Annotated[str, Meta(max_length=256)] = ""
    """User with read and write rights on etcd.prefix, where etcd asks for one."""
    password: Secret = Secret("")
    """Of that user."""
    ca: str = ""
    """File (PEM) with the authorities that the members' certificates come from. Empty with https: those that
    gRPC brings along."""
    cert: str = ""
    """File (PEM) with the certificate this process shows, where etcd asks for one (mTLS). A file that changed
    is read at the next connection."""
    key: str = ""
    """File (PEM) with the key of etcd.cert."""
    ttl_s: Annotated[int, Meta(ge=3, le=600)] = 10
    """Life of the lease on the node id, renewed each third of it: three times the longest change of leader
    (2.4 s measured), and a pause. Beyond: the process no longer acts as the owner of its id until etcd has
    confirmed it; no connection is dropped."""
    prefix: Annotated[
        str, Meta(pattern=r"^([A-Za-z0-9_.-]{1,64}/){1,4}$", extra=unit("words that end in /"))
    ] = "qianwan/"
    """Begins every key, to share an etcd."""

    relist_s: Annotated[float, Meta(ge=5, le=86400)] = 300.0
    """Between two whole listings that are compared with what the watch has told. Beyond: a lost event, which
    is counted and repaired, would have stayed unnoticed."""

    def problems(self) -> Problems:
        tls: set[bool | None] = set()
        for endpoint in self.endpoints:
            try:
                tls.add(parse_endpoint(endpoint)[1])
            except ValueError as error:
                yield ("endpoints",), str(error)
        if {True, False} <= tls:
            yield ("endpoints",), "all http or all https: a half of it would travel in the open"
        if (self.ca or self.cert) and False in tls:
            yield ("endpoints", "ca", "cert"), "http:// with certificates: write https://"
        if bool(self.cert) != bool(self.key):
            yield ("cert", "key"), "a certificate and its key come together"
        if bool(self.user) != bool(self.password):
            yield ("user", "password"), "a user and the password come together"


class StoreSection(Section, frozen=True):
    kind: Literal["sqlite", "postgres"] = "sqlite"
    """`sqlite` lives in the data folder; `postgres` when one machine is not enough."""
    url: SecretUrl = SecretUrl("")
    """PostgreSQL DSN (postgresql://user:password@host/database). Several hosts, separated by commas, are a
    primary and its standbys: the one that takes writes is used. Only for kind = postgres."""

    def problems(self) -> Problems:
        url = self.url.reveal()
        if self.kind == "postgres" and not url:
            yield ("url", "kind"), "store.kind = postgres needs store.url"
        elif url and not url.startswith(("postgresql://", "postgres://")):
            yield ("url",), "must begin with postgresql://"


SECRET_CHARS = 32


class AuthSection(Section, frozen=True):
    issuer: Annotated[str, Meta(min_length=1, max_length=256)] = "qianwan"
    """`iss` of tokens; a token of another issuer is refused."""
    audience: Annotated[str, Meta(min_length=1, max_length=256)] = "qianwan"
    """`aud` of tokens: tells clusters apart."""
    token_ttl_s: Annotated[int, Meta(ge=10, le=30 * 86400)] = 86400
    """Life of a token when the request names none: a day's sessions. Beyond: refused at login."""
    token_max_ttl_s: Annotated[int, Meta(ge=10, le=366 * 86400)] = 7 * 86400
    """Longest life a token may have from its `iat`: one that leaked unseen is over then. Beyond: not signed,
    and refused at login."""
    clock_skew_s: Annotated[int, Meta(ge=0, le=600)] = 30
    """Two clocks may differ so much. Beyond: a token counts as expired or not yet valid."""
    rotate_keys_days: Annotated[int, Meta(ge=0, le=45, extra=unit("days"))] = 30
    """Age at which a process with the role `control` makes a new server key and a new token key; a key holds
    for 62 days, so at most 45. 0: never. Beyond: the old one is still taken until it ends."""
    keys_secret: Secret = Secret("")
    """Seals the key files in etcd, so that every gateway and control process has them without copying: 32
    characters or more, random (`openssl rand -base64 32`), the same on all of these and nowhere else. Empty:
    keys are what the data folder holds."""
    keys_secret_before: Secret = Secret("")
    """The one before, while it is being changed: it still opens, and seals nothing."""
    bootstrap_api_key: Secret = Secret("")
    """An API key accepted besides the key file, for automated installations: `qianwan api-key generate` makes
    one (`qwk_`, 12 hex digits, `_`, 43 characters of base64url)."""

    def problems(self) -> Problems:
        if (key := self.bootstrap_api_key.reveal()) and not API_KEY.fullmatch(key):
            yield (
                ("bootstrap_api_key",),
                "does not look like qwk_<12 hex digits>_<43 letters, digits, - or _>: see `api-key generate`",
            )
        for name in ("keys_secret", "keys_secret_before"):
            if 0 < len(getattr(self, name).reveal()) < SECRET_CHARS:
                yield (name,), f"shorter than {SECRET_CHARS} characters: openssl rand -base64 32"
        if self.token_ttl_s > self.token_max_ttl_s:
            yield ("token_ttl_s", "token_max_ttl_s"), "must not be above token_max_ttl_s"


class LimitsSection(Section, frozen=True):
    body_bytes: Annotated[int, Meta(ge=1024, le=64 << 20)] = 1 << 20
    """Largest HTTP request body: a call of the largest lists fits. Beyond: 413."""
    idempotency_ttl_s: Annotated[int, Meta(ge=60, le=7 * 86400)] = 86400
    """An Idempotency-Key is remembered with its answer: retries come within a day. Beyond: it counts as
    new."""
    idempotency_entries: Annotated[int, Meta(ge=16, le=1 << 22, extra=unit("answers"))] = 65536
    """Answers remembered at most, about 1 KiB each. Beyond: the oldest is forgotten."""
    idempotency_answer_bytes: Annotated[int, Meta(ge=1024, le=512 << 10)] = 65536
    """Largest answer remembered. Beyond: only that it was given; a repetition is answered 409."""
    api_requests_per_s: Annotated[float, Meta(ge=1, le=1_000_000, extra=LIVE)] = 2000.0
    """Requests one API key may make in the long run, far more than an app server asks; over the admin API as
    many beside them, whatever is set live, so that it can be undone. Beyond: 429 with Retry-After."""
    api_burst: Annotated[int, Meta(ge=10, le=1_000_000, extra=unit("requests") | LIVE)] = 4000
    """Requests one API key may make at once before that rate holds. Beyond: 429 with Retry-After."""
    admin_changes_per_s: Annotated[float, Meta(ge=0.01, le=1000)] = 2.0
    """Changes one API key may make over the admin API in the long run, and 1000 at once: each is two lines of
    the audit log, and so one key needs hours to push out what others did. Beyond: 429 with Retry-After."""
    key_failures: Annotated[int, Meta(ge=0, le=1_000_000, extra=unit("wrong API keys") | LIVE)] = 10
    """Of one id from one network (an address, or an IPv6 /64), or five times as many of any ids. 0: no
    limit. Beyond: wrong keys of that id, or of all, get 429 from there; the right one is let in."""
    key_lock_s: Annotated[float, Meta(gt=0, le=86400, extra=LIVE)] = 60.0
    """The first time, and twice as long at each further one, up to 64 times. Beyond: forgotten after ten
    times as long without a wrong key."""
    http_connections: Annotated[int, Meta(ge=16, le=65536, extra=unit("connections"))] = 256
    """Open at once on the HTTP port, and a quarter of the open files at most: their descriptors are kept from
    the client port. Half of them may wait for events (`wait_s`), an eighth for one API key; more are answered
    at once. Newcomers, an eighth more (32 at most), wait till a request of somebody else is answered, which
    then closes its connection. Beyond: the one that has waited the longest for its request is closed."""
    http_request_s: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    """To send a request, or to go on reading its answer: seconds on the worst of links. Beyond: closed."""
    event_backlog: Annotated[int, Meta(ge=1024, le=1 << 24, extra=unit("events of a gateway"))] = 65536
    """Sends, and logins, held while there is no im process: some seconds of a busy gateway. Beyond: SENDs get
    503 at once."""
    user_logins_per_s: Annotated[Rate, Meta(extra=LIVE)] = 20.0
    """Logins of one user at one gateway in the long run, and 20 times as many at once: each costs the im
    process and the store work. 0: no limit. Beyond: closed with 2003, which clients take as "later"."""

    def problems(self) -> Problems:
        for name, problem in slow_rates(user_logins_per_s=self.user_logins_per_s):
            yield (name,), problem


class AuditSection(Section, frozen=True):
    kept_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40)] = 256 << 20
    """Of either trail of the audit log, what operators and what app servers changed: about a million lines.
    An eighth of it more for what was refused. Beyond: the oldest segment goes, and its last hash stays."""
    kept_days: Annotated[int, Meta(ge=0, le=3660, extra=unit("days"))] = 30
    """What operators did stays so long at least, also over audit.kept_bytes: who may change something pushes
    out nothing that others did. Beyond: audit.kept_bytes decides."""
    key_bytes_per_day: Annotated[int, Meta(ge=1 << 16, le=1 << 40, extra=unit("bytes"))] = 4 << 20
    """Of lines that changes by one API key of an operator write in a day, and as much at once: some 6,000
    changes. With audit.kept_days it bounds what a key can fill. Beyond: 429 with Retry-After; who has
    another key goes on."""
    segment_bytes: Annotated[int, Meta(ge=1 << 16, le=64 << 20)] = 4 << 20
    """Of one file of it: what a page of the log reads. Beyond: the next file."""

    def problems(self) -> Problems:
        if self.kept_bytes < 2 * self.segment_bytes:
            yield ("kept_bytes", "segment_bytes"), "must be at least two segments"


class LogSection(Section, frozen=True):
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(extra=LIVE)] = "info"
    """Lowest level written."""
    levels: Annotated[str, Meta(max_length=1024, extra=unit("component=level, ...") | LIVE)] = ""
    """Lowest levels of single components, as lines name them: `gateway=debug, keys=error`, to look at one
    part of a busy process. Libraries have the level of all."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: for people on a terminal, JSON lines otherwise."""

    def problems(self) -> Problems:
        try:
            parse_levels(self.levels)
        except ValueError as error:
            yield ("levels",), str(error)
