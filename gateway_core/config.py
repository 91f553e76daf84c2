"""The limits of one gateway process: every one with its unit, its reason and what happens beyond it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Settings of the core. None changes while it runs; policy, keys and budgets come by command."""

    host: str = "127.0.0.1"  # literal address
    port: int = 7801  # 0: the kernel chooses, see Gateway.port
    loops: int = 1  # threads; one per core
    node: str = "node"  # told in handshake message 2
    backlog: int = 4096

    # connections, per loop
    max_connections: int = 1 << 20  # address space only; beyond: refused at accept
    accept_budget: int = 64  # accepts per tick (at most 1 ms), so that a storm does not starve live traffic
    auth_timeout_s: int = 10  # accept -> authenticated, absolute; then closed
    handshake_budget_us: int = 2000  # of one tick; the rest wait in a queue
    handshake_queue: int = 8192  # beyond: REJECT OVERLOADED
    ephemerals: int = 1024  # key pairs made ahead in idle ticks, 64 bytes each

    # addresses; 0 = no limit. Generous: carriers put thousands behind one address
    ip_connections: int = 20_000  # beyond: closed at accept
    net64_connections: int = 100_000  # of one IPv6 /64
    ip_accepts_per_s: int = 1_000
    ip_accepts_burst: int = 5_000
    proxy_from: tuple[str, ...] = ()  # CIDRs of balancers that may speak PROXY v2

    # liveness
    ping_interval_s: int = 240  # until a policy says otherwise
    grace_s: int = 15  # closed after 1.5 x interval + grace without a byte read
    max_timeout_s: int = 3600  # whatever the client announces
    max_age_s: int = 0  # connections are closed (MAX_AGE) at between half of it and all of it; 0 = never

    # in
    max_body: int = 61_440  # bytes of a frame body; beyond: TOO_BIG
    inbound_per_s: int = 500  # frames of one session; 0 = no limit; beyond: RATE_LIMITED
    inbound_burst: int = 5_000  # at most 65535
    max_topics: int = 512  # memberships of one session; beyond: the join is ignored

    # out, bytes of plaintext queued for one connection
    queue_soft_bytes: int = 65_536  # marked and counted
    queue_event_bytes: int = 262_144  # events: normal, then high are dropped oldest first
    queue_hard_bytes: int = 1 << 20  # beyond: SLOW_CONSUMER
    # what the kernel takes of one socket before the rest is queued here (TCP_NOTSENT_LOWAT); 0 = its choice
    unsent_bytes: int = 131_072
    send_buffer: int = 0  # SO_SNDBUF, 0 = the kernel's choice
    receive_buffer: int = 0  # SO_RCVBUF
    sender: str = "auto"  # io_uring: 64 sends a call, send() where forbidden; auto: the better
    compress: bool = True  # compressed twins for clients that accept them
    compress_level: int = 3

    # fan-out
    large_topic: int = 64  # local members from which messages leave in batches
    flush_messages: int = 64  # most messages of one batch
    flush_bytes: int = 16_000  # most bytes of one batch; above 16384: several records, one write
    flush_max_delay_ms: float = 20.0  # longest rest of a hot topic between two batches
    sweep_budget_us: int = 2_000  # of one tick, for sweeps and again for flushes
    topic_pending: int = 4_096  # messages waiting in a topic; beyond: events drop, MSG stops the commands

    # keys
    rekey_records: int = 1 << 14  # power of two
    rekey_s: int = 900  # greatest age of a sending key in use

    # crossing threads
    mailbox: int = 16_384  # commands, power of two
    mailbox_wait_ms: int = 1_000  # then MailboxFull
    event_ring: int = 4_096  # events, power of two; when full, sockets are not read
    announce_topics: bool = False  # EV_TOPIC for first and last local members

    relay_prefix: str = ""  # SENDs to targets that start so are published inside the core; "" = off
    proxy_networks: tuple[tuple[bytes, int], ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        for name in ("rekey_records", "mailbox", "event_ring"):
            value = getattr(self, name)
            if value < 2 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, not {value}")
        if not 1 <= self.loops <= 255:
            raise ValueError("loops must be within 1..255")
        if not 1 <= self.max_connections < 1 << 24:
            raise ValueError("max_connections must be within 1..2^24-1")
        if not 0 <= self.inbound_burst <= 65_535:
            raise ValueError("inbound_burst must be within 0..65535")
        if not 1 <= self.flush_bytes <= 65_000 or not 1 <= self.flush_messages <= 4_096:
            raise ValueError("a batch holds 1..65000 bytes and 1..4096 messages")
        if not 1 <= self.max_body <= 61_440:
            raise ValueError("max_body must be within 1..61440")
        if not 1 <= self.max_timeout_s <= 65_535 or not 1 <= self.auth_timeout_s <= 65_535:
            raise ValueError("timeouts must be within 1..65535 seconds")
        if self.rekey_s < 1 or self.max_age_s < 0:
            raise ValueError("rekey_s must be positive, max_age_s not negative")
        if min(self.handshake_queue, self.accept_budget, self.large_topic, self.topic_pending) < 1:
            raise ValueError("queues and budgets must be positive")
        if self.unsent_bytes and not 4_096 <= self.unsent_bytes < 1 << 30:
            raise ValueError("unsent_bytes must be 0 or within 4096..2^30-1")  # an answer of a handshake fits
        if self.sender not in ("auto", "send", "io_uring"):
            raise ValueError(f"sender must be auto, send or io_uring, not {self.sender!r}")
        for text in (self.node, self.relay_prefix):
            if len(text.encode()) > 64:
                raise ValueError(f"longer than 64 bytes: {text!r}")
        if len(self.proxy_from) > 32:
            raise ValueError("at most 32 balancer networks")
        object.__setattr__(self, "proxy_networks", tuple(_network(text) for text in self.proxy_from))


def _network(text: str) -> tuple[bytes, int]:
    """A CIDR as 16 address bytes (IPv4 mapped) and the count of bits that must match."""
    net = ipaddress.ip_network(text, strict=False)
    if net.version == 4:
        return b"\0" * 10 + b"\xff\xff" + net.network_address.packed, 96 + net.prefixlen
    return net.network_address.packed, net.prefixlen
