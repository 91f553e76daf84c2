"""The limits of one gateway process: each with its unit, its bounds, its reason and what happens beyond it.

`CoreLimits` is the section [gateway.core] of a server's settings; `GatewayConfig` adds what a process says of
itself. The text under a field is its page in docs/OPERATIONS.md. Units stand in the names, else in `extra`.
The C struct and what fills it (engine/config.pyx) are generated from `CoreLimits`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from frame.constants import REKEY_RECORDS, REKEY_SECONDS

MOST_BYTES = 1 << 30
MAX_NETWORKS = 32
NAME_BYTES = 64
USUAL_MAILBOX, USUAL_EVENT_RING = 16_384, 4_096
LEAST_UNSENT = 4_096  # an answer of a handshake fits


def _unit(name: str) -> dict[str, str]:
    return {"unit": name}


def _in(member: str, unit: str = "") -> dict[str, str]:
    """The member of the C struct Config that a number is, where that has another name; "": none."""
    return {"member": member} | (_unit(unit) if unit else {})


class CoreLimits(Struct, kw_only=True, frozen=True):
    """Bounds and budgets of the core. None changes while it runs."""

    # connections
    max_connections: Annotated[int, Meta(ge=1, le=(1 << 24) - 1, extra=_unit("connections of a loop"))] = (
        1 << 20
    )
    """Size of a loop's connection table: address space, memory only where it is used. Beyond: the oldest that
    have not logged in are closed; where all have, the new one is closed at accept."""
    backlog: Annotated[int, Meta(ge=1, le=65_535, extra=_unit("connections"))] = 4_096
    """Connections the kernel holds until a loop accepts them, for a reconnect storm; the kernel takes
    net.core.somaxconn where that is less. Beyond: the kernel drops the SYN and the client tries again."""
    accept_budget: Annotated[int, Meta(ge=1, le=65_536, extra=_unit("connections of a tick"))] = 64
    """Accepts of one tick (and at most 1 ms), so that a storm does not starve live traffic. Beyond: the
    next tick."""
    auth_timeout_s: Annotated[int, Meta(ge=1, le=65_535)] = 10
    """From accept to a login, absolute, so that bytes that trickle in do not hold a connection; where no
    place is left the oldest give way sooner. Beyond: closed."""
    handshake_budget_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 2_000
    """Handshakes of one tick: a login storm leaves time for those who are in. Beyond: the rest waits in the
    queue."""
    handshake_queue: Annotated[int, Meta(ge=1, le=1 << 20, extra=_unit("handshakes of a loop"))] = 8_192
    """Handshakes that wait: what a loop does in about a second. Beyond: REJECT with OVERLOADED."""
    ephemerals: Annotated[int, Meta(ge=0, le=1 << 20, extra=_unit("key pairs of a loop"))] = 1_024
    """Key pairs made ahead in idle ticks, 64 bytes each: a storm finds its first ones ready. Beyond: made
    when needed."""

    # addresses: generous, because carriers put thousands behind one
    ip_connections: Annotated[
        int, Meta(ge=0, le=(1 << 24) - 1, extra=_in("address.connections", "connections"))
    ] = 20_000
    """Connections of one address; carriers put thousands behind one. 0: no limit. Beyond: closed at
    accept."""
    net64_connections: Annotated[
        int, Meta(ge=0, le=(1 << 24) - 1, extra=_in("address.net64_connections", "connections"))
    ] = 100_000
    """Connections of one IPv6 /64, which one customer may own. 0: no limit. Beyond: closed at accept."""
    ip_accepts_per_s: Annotated[int, Meta(ge=0, le=1_000_000, extra=_in("address.accepts_per_s"))] = 1_000
    """Connections one address may open in the long run. 0: no limit. Beyond: closed at accept."""
    ip_accepts_burst: Annotated[
        int, Meta(ge=1, le=1_000_000, extra=_in("address.accepts_burst", "connections"))
    ] = 5_000
    """Connections one address may open at once before that rate holds: those behind a carrier come back
    together after a cut. Beyond: closed at accept."""

    # liveness
    grace_s: Annotated[int, Meta(ge=0, le=3_600)] = 15
    """Added to 1.5 x the ping interval: what a slow network may take for one ping. Beyond: closed without a
    byte read."""
    max_timeout_s: Annotated[int, Meta(ge=1, le=65_535)] = 3_600
    """Longest silence, whatever interval the client announces. Beyond: closed."""
    max_age_s: Annotated[int, Meta(ge=0, le=365 * 86_400)] = 0
    """Age of a connection, so that clients spread over new nodes. 0: any age. Beyond: asked to move, each at
    between half of it and all of it, and closed with MAX_AGE after gateway.leaving.deadline_s."""

    # in
    max_body: Annotated[int, Meta(ge=1, le=61_440, extra=_unit("bytes"))] = 61_440
    """Body of a frame as it stands on the wire. Beyond: closed with TOO_BIG."""
    inbound_per_s: Annotated[int, Meta(ge=0, le=1_000_000, extra=_in("inbound.per_s"))] = 500
    """Frames of one session in the long run, control frames of WebSocket too; a large one counts once more
    for every 4 KiB of its raw body. 0: no limit. Beyond: closed with RATE_LIMITED."""
    inbound_burst: Annotated[int, Meta(ge=0, le=65_535, extra=_in("inbound.burst", "frames"))] = 5_000
    """Frames of one session at once: a client that was away sends what waited. A user has that of two
    sessions; who logs in again before it is back begins with less. Beyond: closed with RATE_LIMITED."""
    max_topics: Annotated[int, Meta(ge=1, le=65_535, extra=_in("topic.joined", "topics"))] = 640
    """Memberships of one session: its user, groups, rooms and their tags as far as [im.service] lets one
    have them. Beyond: a further join is ignored."""

    # out, plaintext queued for one connection
    queue_soft_bytes: Annotated[int, Meta(ge=0, le=MOST_BYTES, extra=_in("queue.soft_bytes"))] = 65_536
    """Queued for one connection: a reader that is merely slow stays below. Beyond: marked and counted."""
    queue_event_bytes: Annotated[int, Meta(ge=0, le=MOST_BYTES, extra=_in("queue.event_bytes"))] = 262_144
    """Queued for one connection until chatroom traffic gives way. Beyond: events are dropped, oldest first,
    those of normal priority before high ones."""
    queue_hard_bytes: Annotated[int, Meta(ge=1, le=MOST_BYTES, extra=_in("queue.hard_bytes"))] = 1 << 20
    """Most memory one reader may cost; the store has what it misses. Beyond: closed with SLOW_CONSUMER."""
    unsent_bytes: Annotated[int, Meta(ge=0, le=MOST_BYTES - 1)] = 131_072
    """What the kernel takes of one socket before it has sent it (TCP_NOTSENT_LOWAT). 0: the kernel's
    choice. Beyond: the rest is queued here, where the limits above see it."""
    send_buffer: Annotated[int, Meta(ge=0, le=MOST_BYTES, extra=_unit("bytes"))] = 0
    """SO_SNDBUF of a client's socket. 0: the kernel's choice, which grows with the path. Beyond: queued
    here."""
    receive_buffer: Annotated[int, Meta(ge=0, le=MOST_BYTES, extra=_unit("bytes"))] = 0
    """SO_RCVBUF of a client's socket. 0: the kernel's choice. Beyond: the client's TCP waits."""
    user_timeout_s: Annotated[int, Meta(ge=0, le=3600, extra=_in(""))] = 60
    """Bytes that the client's TCP does not acknowledge, or does not read, for so long mean a dead path
    (TCP_USER_TIMEOUT). 0: the kernel's choice, about 15 minutes. Beyond: the connection is reset."""
    thin_stream: Annotated[bool, Meta(extra=_in(""))] = True
    """Of few packets a lost one is sent again after even times, not after ever doubled ones
    (TCP_THIN_LINEAR_TIMEOUTS). With lone messages over links that lose 10 or 30 % no gain was measured."""
    mptcp: Annotated[bool, Meta(extra=_in(""))] = False
    """Listen with multipath TCP: a client that has it goes on over a second path when the first one dies;
    others speak plain TCP as ever. Needs a kernel with it."""
    sender: Literal["auto", "send", "io_uring"] = "auto"
    """How bytes go to the kernel: io_uring hands over 64 sends a call; `auto` takes it where the kernel
    gives a ring, `send()` where it is forbidden."""
    compress: bool = True
    """Make a compressed form of a message, and of a batch of a large topic, for the clients that accept one;
    costs once a message or batch, not once a client."""
    compress_level: Annotated[int, Meta(ge=1, le=19, extra=_unit("zstd level"))] = 3
    """Level of those twins: a higher one takes longer and gains little on messages of a few hundred
    bytes."""

    # fan-out
    large_topic: Annotated[int, Meta(ge=1, le=1 << 24, extra=_in("topic.large", "members on a loop"))] = 64
    """Members from which messages leave in batches: below, a batch saves nothing. Beyond: batched."""
    flush_messages: Annotated[int, Meta(ge=1, le=4_096, extra=_in("topic.batch_messages", "messages"))] = (
        1_024
    )
    """Messages of one batch. The cost of a flush is the call, whatever is in it, so all that waits goes along
    and the load makes the batch: bytes bound it. Beyond: the next batch."""
    flush_bytes: Annotated[int, Meta(ge=1, le=65_000, extra=_in("topic.batch_bytes"))] = 65_000
    """Size of the messages of one batch, each as it would be alone; short ones of a room take two thirds of
    it together. Above 16,384 together they take several records in one write. Beyond: the next batch."""
    flush_max_delay_ms: Annotated[float, Meta(ge=0, le=10_000)] = 20.0
    """Longest rest of a hot topic between two batches: more makes fewer, larger ones. Beyond: sent."""
    sweep_budget_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 2_000
    """Time of one tick for sweeps over members, and again for flushes. Beyond: the next tick goes on."""
    topic_pending: Annotated[
        int, Meta(ge=1, le=1 << 20, extra=_in("topic.pending", "messages of a topic"))
    ] = 4_096
    """Messages that wait for a topic's sweep. Beyond: events are dropped and counted, MSG stops the
    commands."""

    # sessions that outlive their connection
    ticket_s: Annotated[int, Meta(ge=2, le=30 * 86_400)] = 86_400
    """Life of a ticket, with which a client comes back without its token; never longer than the token's. A
    new one is sent when half of it is over. Beyond: a login by token."""
    park_s: Annotated[int, Meta(ge=0, le=86_400)] = 600
    """How long a session whose connection was lost waits for its client. 0: it ends at once. Beyond: it ends,
    and the client logs in by its ticket and syncs."""
    park_most: Annotated[int, Meta(ge=0, le=1 << 24, extra=_in("", "sessions"))] = 200_000
    """Such sessions of this process, about 200 bytes each and what waits for them. Beyond: the one that has
    waited longest ends."""
    ring_messages: Annotated[int, Meta(ge=1, le=4_096, extra=_in("unacked.messages", "messages"))] = 128
    """Messages of one session that its client has not acknowledged, kept for the case that it comes back.
    Beyond: the oldest is let go, and who lacks it syncs."""
    ring_bytes: Annotated[int, Meta(ge=1_024, le=MOST_BYTES, extra=_in("unacked.bytes"))] = 262_144
    """Size of those messages; each lies in memory once, however many sessions wait for it. Beyond: the oldest
    is let go, and who lacks it syncs."""
    lite_queue: Annotated[int, Meta(ge=0, le=1 << 20, extra=_unit("handshakes of a loop"))] = 1_024
    """Waiting handshakes from which on those who come back are asked for a lighter one, which leaves out the
    node's key. 0: never, and it is not served. Beyond: REJECT with RESUME_LITE."""

    # keys
    rekey_records: Annotated[int, Meta(ge=2, le=REKEY_RECORDS, extra=_unit("records"))] = REKEY_RECORDS
    """Records under one key, a power of two, at most what the protocol allows. Beyond: the next key."""
    rekey_s: Annotated[int, Meta(ge=1, le=REKEY_SECONDS)] = REKEY_SECONDS
    """Age of a sending key in use: a stolen one reads no more than that. Beyond: the next key."""

    # crossing threads
    mailbox: Annotated[int, Meta(ge=0, le=1 << 20, extra=_unit("commands of a loop"))] = 0
    """Commands on their way into a loop, a power of two. 0: 16,384, and 2,048 in each of several processes.
    Beyond: the sender waits for mailbox_wait_ms."""
    mailbox_wait_ms: Annotated[int, Meta(ge=0, le=60_000, extra=_in(""))] = 1_000
    """How long a command waits for a place. Beyond: MailboxFull; who gave it tries again later."""
    event_ring: Annotated[int, Meta(ge=0, le=1 << 20, extra=_unit("events of a loop"))] = 0
    """Events on their way out of a loop, a power of two. 0: 4,096, and 2,048 in each of several processes.
    Beyond: sockets are not read until there is room."""

    event_bytes: Annotated[int, Meta(ge=65_536, le=MOST_BYTES, extra=_unit("bytes of a loop"))] = 16 << 20
    """Texts of those events: what clients sent and Python has not taken. Beyond: sockets are not read until
    there is room."""

    relay_prefix: str = ""
    """SENDs to targets that begin so are published inside the core, without the message service: for
    measurements. Empty: none."""

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What bounds of single keys do not say: ((the key, others it hangs on), reason)."""
        for name in ("rekey_records", "mailbox", "event_ring"):
            value = getattr(self, name)
            if value == 1 or value & (value - 1):
                yield (name,), f"must be a power of two, not {value}"
        if 0 < self.unsent_bytes < LEAST_UNSENT:
            yield ("unsent_bytes",), f"must be 0 or at least {LEAST_UNSENT}"
        if len(self.relay_prefix.encode()) > NAME_BYTES:
            yield ("relay_prefix",), f"longer than {NAME_BYTES} bytes"


class GatewayConfig(CoreLimits, kw_only=True, frozen=True):
    """Settings of one core. Policy, keys and budgets come by command. Raises ValueError for what cannot
    be."""

    host: str = "127.0.0.1"  # literal address
    port: Annotated[int, Meta(ge=0, le=65_535)] = 7801  # 0: the kernel chooses, see Gateway.port
    loops: Annotated[int, Meta(ge=1, le=255)] = 1  # threads; one per core
    node: str = "node"  # told in handshake message 2
    proxy_from: tuple[str, ...] = ()  # CIDRs of balancers that may speak PROXY v2
    ping_interval_s: Annotated[int, Meta(ge=1, le=65_535)] = 240  # until a policy says otherwise
    announce_topics: bool = False  # EV_TOPIC for first and last local members

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "mailbox", self.mailbox or USUAL_MAILBOX)
        msgspec.structs.force_setattr(self, "event_ring", self.event_ring or USUAL_EVENT_RING)
        for field in msgspec.structs.fields(self):
            try:
                msgspec.convert(getattr(self, field.name), field.type)
            except msgspec.ValidationError as error:
                raise ValueError(f"{field.name}: {error}") from None
        if wrong := [f"{keys[0]}: {reason}" for keys, reason in self.problems()]:
            raise ValueError("; ".join(wrong))

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        yield from CoreLimits.problems(self)
        if len(self.node.encode()) > NAME_BYTES:
            yield ("node",), f"longer than {NAME_BYTES} bytes"
        if len(self.proxy_from) > MAX_NETWORKS:
            yield ("proxy_from",), f"at most {MAX_NETWORKS} networks"
        for text in self.proxy_from:
            try:
                _network(text)
            except ValueError as error:
                yield ("proxy_from",), str(error)

    @property
    def proxy_networks(self) -> tuple[tuple[bytes, int], ...]:
        """proxy_from as (16 address bytes, count of bits that must match)."""
        return tuple(_network(text) for text in self.proxy_from)


def _network(text: str) -> tuple[bytes, int]:
    """A CIDR as 16 address bytes (IPv4 mapped) and the count of bits that must match."""
    net = ipaddress.ip_network(text, strict=False)
    if net.version == 4:
        return b"\0" * 10 + b"\xff\xff" + net.network_address.packed, 96 + net.prefixlen
    return net.network_address.packed, net.prefixlen
