"""What the program needs to know of the cluster: small, slow data, never one entry per user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from control.node_ids import Peer


class NodeInfo(msgspec.Struct, frozen=True, array_like=True):
    """One live process. A restart is another epoch of the same node. One that was heard before it told of
    itself has no name yet.
    """

    node_id: int
    epoch: int
    name: str
    roles: tuple[str, ...]
    host: str = ""
    port: int = 0
    zone: str = ""
    isp: str = ""
    capacity: int = 0
    connections: int = 0
    draining: bool = False
    store: bytes = b""  # of im processes: incarnation of their store
    wss: str = ""  # of gateways: host:port where a proxy ends the TLS of WebSocket clients
    login: int = 0  # the latest that it has made or heard of (gateway/session_ids.py)
    root: str = ""  # of processes that clients meet: the root key to pin (coordination/same_root.py)
    addresses: tuple[str, ...] = ()  # of gateways: further ones (settings/gateway_addresses.py)
    lapsed: bool = False  # it lives, but etcd lists it no more: nothing new is given to it
    drain: tuple[int, int, int, float] | None = None  # of gateways: told, left, remaining, told a second
    clock_s: float = (
        0.0  # its clock is surely so far ahead of the others', behind if negative: nobody can log in
    )
    refuses: tuple[str, ...] = ()  # live settings that do not hold there (process/live_settings.py)
    unwell: bool = False  # of im processes: the store takes no commit from there
    rests: bool = False  # it alone: others serve what it would (im/resting.py)
    cut_off: bool = False  # of gateways: from most of the cluster (cut_off.py)
    waits: bool = False  # of gateways that drain: nobody is told, as no other one takes clients

    @property
    def free(self) -> float:
        """Free share of the node's capacity, 0.0 (full) to 1.0; a node without a stated capacity counts as
        empty.
        """
        return max(0.0, 1.0 - self.connections / self.capacity) if self.capacity > 0 else 1.0


class Coordination(Protocol):
    """Membership of the cluster.

    Guarantees. `nodes` and `epoch_of` answer from memory and never block. A node that stops renewing
    disappears after the backend's dead time, not before. Per node id one epoch is live: the newest to be
    heard. One that it replaced is not heeded as long as it lives, and may come back when it is gone; one that
    said that it leaves never does. Epochs have no order where they are drawn, with etcd a later life has a
    higher one and ends the earlier; no clock is asked. Callbacks run on the event
    loop thread in the order of their registration, once per appearance, restart or disappearance; a change of
    load alone calls nobody, and one that fails is logged and hurts no other. A backend that cannot reach its
    store keeps answering from what it last knew.
    """

    def nodes(self, role: str | None = None) -> list[NodeInfo]:
        """Live nodes that told of themselves, own node included, ordered by node id."""
        ...

    def mute(self) -> list[NodeInfo]:
        """Nodes that etcd lists and the bus has carried nothing of for long, by node id."""
        ...

    def late(self) -> list[NodeInfo]:
        """These, and those that are silent since some seconds longer than a node may be."""
        ...

    def epoch_of(self, node_id: int) -> int | None:
        """The live epoch of a node, None when it is not live."""
        ...

    def hear(self, peer: Peer, role: str) -> bool:
        """A word of a process with this role came in: it lives, whatever was known of it. False when another
        epoch of the node is the live one, or this one has left."""
        ...

    @property
    def latest_login(self) -> int:
        """The highest `login` that any node has told of."""
        ...

    def roles_of(self, node_id: int) -> tuple[str, ...]:
        """As the node told them, also when it is gone; empty when it never did."""
        ...

    def announce(self, info: NodeInfo) -> None:
        """Publish the own node, or its new load; renewed by the backend until `close`."""
        ...

    def on(self, role: str | None, callback: Callable[[NodeInfo, bool], None]) -> None:
        """Call `callback(node, alive)` for each node with this role (None: any) that is live already, and
        for each change from now on."""
        ...

    async def hear_gateways(self) -> None:
        """From here on gateways are known here too, where a process does without: one that names others to
        its clients. Those that live are known a beacon later."""
        ...

    async def start(self) -> None: ...

    async def stop(self, grace_s: float = ...) -> None:
        """Withdraw the own node at once and stop renewing."""
        ...
