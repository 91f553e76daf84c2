"""The gateway role of a process: core, node wiring, downlink and, over the bus, the upstream."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Mapping
from typing import Any

import msgspec

from control.coordination.base import Coordination, NodeInfo
from control.gateway.core import MessageService, event_codes, loops_of, mailbox_full, make_core
from control.gateway.downlink import LocalDownlink
from control.gateway.events import GatewayNode
from control.gateway.resync import Tellings
from control.gateway.sync_hints import SyncHints
from control.gateway.topics import KeptTopics, ToldTopics
from control.gateway.upstream import BusUpstream
from control.keys.keystore import KeyStore
from control.settings import Settings
from control.settings.model import parse_address
from control.streams.links import StreamLinks
from frame.constants import CloseCode, EventKind, FrameType

SYNC_BODY = bytes([EventKind.SYNC]) + msgspec.msgpack.encode([None, 0])
POLL_S = 0.05
# Descriptors kept for the store, the HTTP server, the bus and logs.
RESERVED_FILES = 256
# A client that is sent away waits this long at least, so that another node is announced and ready.
RETRY_AFTER_MS = 500


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


class GatewayPart:
    """Everything of the gateway role. `start` needs the running loop."""

    def __init__(
        self,
        settings: Settings,
        keystore: KeyStore,
        coordination: Coordination,
        links: StreamLinks | None,
    ) -> None:
        self._settings = settings
        self._keystore = keystore
        self.core = make_core(
            settings, keystore.gateway_keys(), keystore.key_set(), announce_topics=links is not None
        )
        self.downlink = LocalDownlink(self.core, mailbox_full(), self.on_lost)
        self._upstream = self._make_upstream(links, coordination) if links is not None else None
        self._hints = SyncHints(self._hint, settings.bus.sync_spread_s)
        self._node: GatewayNode | None = None

    def start(self, service: MessageService | None) -> None:
        """Bind and listen. `service`: the message service of this process, None to reach it over the bus."""
        upstream = self._upstream
        target: MessageService | None = service if service is not None else upstream
        if target is None:
            raise ValueError("a gateway without a message service needs a bus")
        gateway = self._settings.gateway
        self._node = GatewayNode(
            self.core,
            event_codes(),
            self._keystore.verifier,
            target,
            self._settings.server.node_id,
            self._settings.node_name,
            gateway.ping_interval_s,
            gateway.events_per_wake,
            upstream.on_topic if upstream is not None else None,
            upstream.on_session if upstream is not None else None,
        )
        if not gateway.same_port:
            refuse_taken_port(*parse_address(gateway.listen))
        self._node.start()
        self.core.set_topic_budget("r/", gateway.room_normal_per_s, gateway.room_high_per_s)

    @property
    def capacity(self) -> int:
        """Connections this process can hold: its descriptors, or what its settings say."""
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_FILES
        named = self._settings.gateway.core.get("max_connections")
        return min(descriptors, int(named)) if named is not None else descriptors

    def connections(self) -> int:
        return int(self.core.stats()["live"]["connections"])

    def check(self) -> str | None:
        return None if self._node is not None else "not started"

    def apply(self, peer_id: int, operations: list[list[Any]]) -> None:
        if self._upstream is not None:
            self._upstream.apply(peer_id, operations)

    def on_im(self, info: NodeInfo, alive: bool) -> None:
        """An im process came or went; what the gone one had committed but not yet published is hinted at."""
        if self._upstream is None:
            return
        if alive:
            self._upstream.im_came(info)
        else:
            self._upstream.im_gone(info)
            self.on_lost()

    def on_lost(self) -> None:
        """Something was lost on the way here: the sessions shall look into the store."""
        if self._upstream is not None and self._node is not None:
            self._upstream.tell_users(self._hints.trigger)

    def set_keys(self) -> None:
        self.core.set_keys(self._keystore.gateway_keys(), self._keystore.key_set())

    async def drain(self) -> None:
        """GOAWAY to everybody, spread; returns when nobody is left or the drain time is over."""
        server = self._settings.server
        if self._node is None or not self.connections():
            return
        jitter_ms = int(server.drain_spread_s * 1000)
        self.core.drain(CloseCode.DRAINING, RETRY_AFTER_MS, jitter_ms, "draining", server.drain_spread_s)
        for _ in range(int(server.drain_timeout_s / POLL_S) + 1):
            if not self.connections():
                return
            await asyncio.sleep(POLL_S)

    async def stop(self, grace_s: float) -> None:
        node, self._node = self._node, None
        if node is not None:
            await node.stop(grace_s)
        self.downlink.close()

    def stats(self) -> Mapping[str, Any]:
        node = self._node
        return {
            "sessions": node.sessions if node else 0,
            "logins": node.logins if node else 0,
            "wakes": node.wakes if node else 0,
            "events": node.events if node else 0,
            "refusals": dict(node.refusals) if node else {},
            "downlink_dropped": self.downlink.dropped,
            "downlink_delayed": self.downlink.delayed,
            "downlink_waiting": self.downlink.waiting,
            "unavailable": self._upstream.unavailable if self._upstream else 0,
            "topics": self._upstream.topics if self._upstream else 0,
            "sync_hints": self._hints.sent,
        }

    def _make_upstream(self, links: StreamLinks, coordination: Coordination) -> BusUpstream:
        loops = loops_of(self._settings)
        topics = ToldTopics() if loops == 1 else KeptTopics()
        tellings = Tellings(topics, loops, self.core.tell, mailbox_full())
        backlog = self._settings.limits.event_backlog
        return BusUpstream(links, coordination, self.downlink, topics, tellings, self.on_lost, backlog)

    def _hint(self, topic: str) -> None:
        self.downlink.publish(topic, FrameType.EVENT, SYNC_BODY, 1)
