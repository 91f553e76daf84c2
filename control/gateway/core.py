"""What the wiring uses of the gateway core, as a Protocol: the real one is gateway_core.Gateway."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from control.downlink.local import Commands
from control.settings import Settings
from control.settings.values import parse_address
from im_service.ports import Session

CoreEvent: TypeAlias = "tuple[Any, ...]"
"""Of `take_events`: its kind, then what gateway_core says of it."""


class Core(Commands, Protocol):
    """The core as the gateway role uses it: its life, its events, and commands."""

    def start(self) -> None: ...
    @property
    def port(self) -> int: ...
    def stop(self, timeout_s: float = ...) -> None: ...
    def fileno(self) -> int: ...
    def take_events(self, max: int = ...) -> Sequence[CoreEvent]: ...
    def login(
        self,
        conn: int,
        user: str,
        device: str,
        platform: int,
        session_id: int,
        body: bytes,
        frames: int = ...,
        until: int = ...,
        rev: int = ...,
    ) -> None: ...
    def resume_with(
        self,
        conn: int,
        user: str,
        device: str,
        platform: int,
        session_id: int,
        seen: int,
        bodies: list[bytes],
        flags: int = ...,
        frames: int = ...,
        until: int = ...,
        rev: int = ...,
    ) -> None: ...
    def resume_fail(self, conn: int, reason: int, text: str = ...) -> None: ...
    def take_session(self, conn: int, session_id: int, epoch: int, seen: int, token: int) -> None: ...
    def end_parked(self, code: int) -> None: ...
    def set_ticket_keys(self, keys: list[tuple[int, bytes]], node: int) -> None: ...
    def refuse(self, conn: int, code: int, text: str) -> None: ...
    def send(self, conn: int, type: int, body: bytes) -> None: ...
    def set_policy(self, entry: int, rev: int, ping_interval_s: int, body: bytes) -> None: ...
    def set_policy_rows(self, first: int, rows: Sequence[tuple[int, int, int, int]]) -> None: ...
    def choose_policy(self, conn: int, row: int, rev: int = ...) -> None: ...
    def policy_counts(self, entry: int) -> tuple[int, ...]: ...
    def policy_row_sessions(self, first: int, n: int) -> list[int]: ...
    def set_dictionary(self, dictionary: bytes) -> None: ...
    def set_keys(self, keys: list[tuple[int, bytes, bytes]], key_set: bytes) -> None: ...
    def set_topic_budget(self, prefix: str, normal: float, high: float, notices: float) -> None: ...
    def admit(
        self,
        new_per_s: float,
        known_per_s: float,
        burst_s: float,
        door: int,
        least_ms: int,
        most_ms: int,
    ) -> None: ...
    def pick(self, loop: int, most: int, idle_s: int, before: int) -> None: ...
    def look(
        self,
        loop: int,
        token: int,
        at: int,
        slots: int,
        most: int,
        user: bytes = ...,
        device: bytes = ...,
        network: bytes = ...,
        bits: int = ...,
        topic: bytes = ...,
    ) -> None: ...
    def send_away(self, conn: int, goaway: bytes, after_s: int, code: int) -> None: ...
    def stay(self) -> None: ...
    def ease(self, what: int) -> None: ...
    def stop_accepting(self) -> None: ...
    def tell(self, loop: int, sessions: bool) -> None: ...
    def drain(self, code: int, retry_after_ms: int, jitter_ms: int, text: str, spread_s: float) -> None: ...
    def stats(self) -> Mapping[str, Any]: ...
    def stages(self) -> Mapping[str, Any]: ...


def loops_of(settings: Settings) -> int:
    """Loop threads of the gateway core."""
    return settings.gateway.loops or len(os.sched_getaffinity(0))


def capacity_of(settings: Settings, descriptors: int) -> int:
    """Connections this process can hold: those it has descriptors for, or what its settings say."""
    return min(descriptors, settings.gateway.core.max_connections * loops_of(settings))


def make_core(
    settings: Settings,
    keys: list[tuple[int, bytes, bytes]],
    key_set: bytes,
    announce_topics: bool,
    descriptors: int,
) -> Core:
    """The gateway core, not started. Its loops share the descriptors."""
    from gateway_core import Gateway, GatewayConfig

    host, port = parse_address(settings.gateway.listen)
    limits = msgspec.structs.asdict(settings.gateway.core)
    limits["max_connections"] = min(limits["max_connections"], max(1, descriptors // loops_of(settings)))
    config = GatewayConfig(
        host=host,
        port=port,
        loops=loops_of(settings),
        announce_topics=announce_topics,
        node=settings.node_name,
        ping_interval_s=settings.gateway.ping_interval_s,
        proxy_from=settings.gateway.proxy_from,
        **limits,
    )
    core: Core = Gateway(config, keys, key_set)
    return core


def event_codes() -> EventCodes:
    import gateway_core as core

    return EventCodes(
        core.EV_AUTH,
        core.EV_SEND,
        core.EV_CALL,
        core.EV_CLOSED,
        core.EV_TOPIC,
        core.EV_SESSION,
        core.EV_DROPPED,
        core.EV_PICKED,
        core.EV_LOOKED,
        core.EV_TICKET,
        core.EV_PARKED,
        core.EV_RESUMED,
        core.EV_ELSEWHERE,
        core.EV_TAKEN,
        core.EV_REPORT,
        core.EV_SILENT,
    )


def mailbox_full() -> type[Exception]:
    from gateway_core import MailboxFull

    return MailboxFull


def not_running() -> tuple[type[Exception], ...]:
    """What commands raise before the core starts and after its end: nobody is there to hear them."""
    from gateway_core import NotRunning

    return (NotRunning,)


class MessageService(Protocol):
    """What a gateway needs of the message service, here or behind the bus."""

    def on_sends(self, batch: list[tuple[Session, int, str, bytes]]) -> None: ...
    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None: ...
    def on_login(self, session: Session, platform: int, session_id: int, moved: bool = False) -> None: ...
    def on_logout(self, session: Session, code: int) -> None: ...
    def on_away(self, session: Session) -> None: ...
    def on_back(self, session: Session) -> None: ...
    def on_dropped(self, topic: str, normal: int, high: int, notices: int) -> None: ...
    def busy(self) -> bool: ...  # take no events now: what they ask for would only wait


class EventCodes(msgspec.Struct, frozen=True):
    """The core's event codes, handed in so that tests need no compiled core."""

    auth: int
    send: int
    call: int
    closed: int
    topic: int
    session: int
    dropped: int
    picked: int
    looked: int
    ticket: int
    parked: int
    resumed: int
    elsewhere: int
    taken: int
    report: int
    silent: int
