"""The gateway role of a process: the core and its events."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from control.downlink.local import LocalDownlink
from control.gateway.admission import Admission
from control.gateway.core import Core
from control.gateway.drain import WAITS, Drain, DrainOrder
from control.gateway.easing import Easing
from control.gateway.events import GatewayEvents
from control.gateway.leaving import Picked
from control.gateway.moves import Moves
from control.gateway.sync_hints import SyncHints
from control.keys.keystore import KeyStore
from control.logs import get_logger
from control.part import Check, Part, Source
from control.settings import Settings
from control.settings.values import join_address, parse_address
from frame.constants import ROOM_PREFIX, CloseCode

log = get_logger("gateway")

POLL_S = 0.05
PROGRESS_S = 5.0
LONE_GRACE_S = 0.5
"""Of a lone gateway, whose clients have nowhere to go: they take their GOAWAY and the acks under way."""
HEADER_TOLD_S = 600.0
NO_HEADER = (
    "a balancer in gateway.proxy_from sends no PROXY v2 header (v1 is refused too): its connections are"
    " closed. haproxy: send-proxy-v2; where only v1 is to be had, take it out of proxy_from"
)
# A client that is sent away waits this long at least, so that another node is announced and ready.
RETRY_AFTER_MS = 500
LEAST_SPREAD_S, LEAST_RATE, MOST_RATE = 0.05, 0.01, 100_000.0


def refuse_taken_port(host: str, port: int) -> None:
    """The core's listeners share their port (SO_REUSEPORT), so a second server on the same port would start
    and take half of the connections without a word. Raises OSError when somebody listens there already.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, f"client port {host}:{port}: {error.strerror}") from None


class GatewayPart(Part):
    """The client port. `downlink` and `hints` are those that write to this core. `alone`: there is no other
    gateway, or none that could be known now. `settle` waits, not for ever, until what was asked is answered.
    """

    def __init__(
        self,
        settings: Settings,
        keystore: KeyStore,
        core: Core,
        events: GatewayEvents,
        downlink: LocalDownlink,
        hints: SyncHints,
        admission: Admission,
        leaving: Drain,
        moves: Moves,
        easing: Easing,
        *,
        alone: Callable[[], bool],
        hear_gateways: Callable[[], Awaitable[None]],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self._alone = alone
        self._settle = settle
        self._settings = settings
        self._keystore = keystore
        self._core = core
        self._events = events
        self._downlink = downlink
        self._hints = hints
        self.admission = admission
        self.leaving = leaving
        self.moves = moves
        self._easing = easing
        self._hear_gateways = hear_gateways
        self._hears = False
        self._hearing: asyncio.Task[None] | None = None
        self._ending = False
        self._ordered: DrainOrder | None = None
        self._own_order: DrainOrder | None = None
        self._running = False
        self._headers_missing = 0
        self._told_missing = -HEADER_TOLD_S
        self._spread_s = settings.server.drain_spread_s

    def set_spread(self, seconds: float) -> None:
        """Of the GOAWAYs of a drain that begins from now on."""
        self._spread_s = seconds

    async def start(self) -> None:
        gateway = self._settings.gateway
        if not gateway.same_port:
            refuse_taken_port(*parse_address(gateway.listen))
        self._events.start()
        self._set_ticket_keys()
        self.admission.start()
        rooms = self._settings.im.service
        self._core.set_topic_budget(
            ROOM_PREFIX, rooms.room_normal_per_s, rooms.room_high_per_s, rooms.room_notices_per_s
        )
        self._running = True

    async def drain(self) -> None:
        """GOAWAY to everybody, spread, naming other gateways; returns when nobody is left or the drain time
        is over. A lone gateway tells everybody at once and waits for nobody; so does one whose bus is away.
        """
        if self._running:
            self._core.end_parked(CloseCode.DRAINING)
        if not self.connections():
            return
        self._ending = True
        server = self._settings.server
        if self._alone():
            jitter_ms = int(self._spread_s * 1000)
            self._core.drain(CloseCode.DRAINING, RETRY_AFTER_MS, jitter_ms, "draining", 0.0)
            log.info("no other gateway: everybody is sent away at once", connections=self.connections())
            return
        until = time.monotonic() + server.drain_timeout_s
        self._core.stop_accepting()
        self.leaving.apply(self._spread_order())
        told = 0.0
        while (left := self.connections()) and (now := time.monotonic()) < until and not self._alone():
            if now - told >= PROGRESS_S:
                told = now
                log.info("draining", connections=left, seconds_left=round(until - now))
            await asyncio.sleep(POLL_S)

    async def stop(self, grace_s: float) -> None:
        self._running = False
        self.leaving.close()
        self.moves.close()
        if self._hearing is not None:
            self._hearing.cancel()
        await self._events.stop(min(grace_s, LONE_GRACE_S) if self._alone() else grace_s, self._settle)
        self._downlink.close()

    async def tick(self) -> None:
        self._easing.tick()
        self.admission.tick()
        if self.leaving.tells:
            self._core.end_parked(CloseCode.DRAINING)  # their clients cannot be told
        if self.names_others() and not self._hears and (self._hearing is None or self._hearing.done()):
            self._hearing = asyncio.ensure_future(self._hear())
        self._tell_missing_headers()

    async def _hear(self) -> None:
        """A bus that stands still holds up no tick, and is asked again by a later one."""
        try:
            await self._hear_gateways()
        except Exception as error:
            log.warning("other gateways cannot be heard yet", reason=repr(error))
        else:
            self._hears = True

    def _tell_missing_headers(self) -> None:
        """What is closed for a balancer's setting is closed before any login: only here it can be said."""
        missing, now = self._core.stats()["closed_by_reason"].get("proxy_missing", 0), time.monotonic()
        if missing > self._headers_missing and now - self._told_missing >= HEADER_TOLD_S:
            log.warning(NO_HEADER, connections=missing - self._headers_missing)
            self._headers_missing, self._told_missing = missing, now

    @property
    def port(self) -> int:
        """Of the clients, as it is bound."""
        return self._core.port

    def addresses(self) -> Mapping[str, str]:
        return {"listen": join_address(parse_address(self._settings.gateway.listen)[0], self.port)}

    def set_keys(self) -> None:
        """The key files changed: handshakes go on with what stands there now."""
        self._core.set_keys(self._keystore.gateway_keys(), self._keystore.key_set())
        self._set_ticket_keys()

    def _set_ticket_keys(self) -> None:
        """Without keys no ticket is made, nor taken."""
        keys = self._keystore.ticket_keys() if self._settings.gateway.resume else []
        self._core.set_ticket_keys(keys, self._settings.server.node_id)

    def connections(self) -> int:
        """Those that are there; a session that waits for its client has none."""
        live = self._core.stats()["live"]
        return int(live["connections"] - live["parked"])

    def open_sessions(self) -> int:
        """In the core."""
        return int(self._core.stats()["live"]["sessions"])

    def sessions(self) -> int:
        """Whose logins the message service heard, and not their ends."""
        return self._events.sessions

    def order_drain(self, order: DrainOrder | None) -> None:
        """Of an operator, while the process goes on; its own end is not stopped by anybody."""
        self._ordered = order
        self._leave()

    def send_away(self, yes: bool) -> None:
        """This gateway, or its side of the bus, is cut off: its clients go to others, or may stay. Where
        those are nobody knows here; LBS does. What an operator ordered comes first."""
        self._own_order = self._spread_order() if yes else None
        self._leave()

    @property
    def cut_off(self) -> bool:
        return self._own_order is not None

    def _leave(self) -> None:
        order, own = self._ordered, self._own_order
        if order is not None and own is not None:
            order = msgspec.structs.replace(order, force=True)  # it hears of no other gateway
        if not self._ending:
            self.leaving.apply(order or own)

    def _spread_order(self) -> DrainOrder:
        """All that are here are told within `drain_spread_s`."""
        rate = self.open_sessions() / max(self._spread_s, LEAST_SPREAD_S)
        return DrainOrder(
            rate=min(max(rate, LEAST_RATE), MOST_RATE),
            deadline_s=math.ceil(self._settings.server.drain_timeout_s),
            force=True,  # nobody can stay, or can be served here
        )

    def names_others(self) -> bool:
        """Other gateways must be known: clients are sent there, or rates are shared with them."""
        aged = self._settings.gateway.core.max_age_s > 0
        return aged or self._ordered is not None or self.admission.shares

    def on_picked(self, conn: int, user: str, device: str, websocket: bool, age: bool) -> None:
        """The core has found a session that shall leave."""
        if age:
            self.moves.on_aged(Picked(conn, user, device, websocket))
        elif self.leaving.order is not None:
            self.leaving.on_picked(conn, user, device, websocket)
        else:
            self.moves.on_picked(conn, user, device, websocket)

    def checks(self) -> Mapping[str, Check]:
        return {
            "gateway": lambda: None if self._running else "not started",
            "drain": self._why_leaving,
        }

    def _why_leaving(self) -> str | None:
        if self.leaving.order is None:
            return None
        if self._own_order is not None and self._ordered is None and not self._ending:
            return "cut off from the bus: its clients are sent away"
        return f"drained by order; {WAITS}" if self.leaving.waits else "drained by order"

    def sources(self) -> Mapping[str, Source]:
        return {
            "gateway_stats": self._core.stats,
            "gateway_stages": self._core.stages,
            "node": self.stats,
            "admission": self.admission.numbers,
            "drain": self.drain_numbers,
            "overload": self._easing.numbers,
        }

    def drain_numbers(self) -> Mapping[str, float]:
        status = self.leaving.status()
        return {
            "draining": int(status.draining),
            "waits": int(status.waits),
            "told": status.told,
            "left": status.left,
            "remaining": status.remaining,
            "rate": status.rate,
            "aged": self.moves.aged,
            "evicted": self.moves.evicted,
        }

    def stats(self) -> Mapping[str, Any]:
        events, logins, downlink = self._events, self._events.logins, self._downlink
        return {
            "sessions": events.sessions,
            "logins": logins.accepted,
            "ticket_logins": logins.by_ticket,
            "wakes": events.wakes,
            "events": events.events,
            "refusals": dict(logins.refusals),
            "downlink_dropped": downlink.dropped,
            "downlink_delayed": downlink.delayed,
            "downlink_waiting": downlink.waiting,
            "sync_hints": self._hints.sent,
        }
