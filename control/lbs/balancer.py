"""One question -> one answer: which gateways, in which order, at which addresses, and why."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from control.coordination.base import Coordination, NodeInfo
from control.coordination.same_root import of_root
from control.lbs.addresses import Wanted, addresses_of, carriers_of, has_addresses
from control.lbs.locate import Atlas, Location
from control.lbs.placement import Ranked, rank
from control.lbs.sealed import Gateway, Question, Sealed, seal
from control.lbs.tables import IpAddress
from control.settings.gateway_addresses import GatewayAddress
from control.settings.lbs_section import LbsSection
from control.settings.values import is_wildcard
from crypto.base64url import b64url_encode
from frame.constants import Suite

SUITES = [int(suite) for suite in (Suite.AEGIS128L, Suite.CHACHAPOLY, Suite.AESGCM)]
STEPS = 10
"""An answer's time moves by this part of its lifetime, so that the same answer is the same bytes for as long,
and what stands in between may keep it. At least nine parts are left of one that is handed out."""


class Answer(NamedTuple):
    """`gateways` empty: nobody takes connections. `left_s`: seconds it holds from now on."""

    sealed: Sealed
    signed: str
    left_s: int


class Knows(Struct, frozen=True):
    """What one source knows of the client."""

    source: str
    zone: str
    isp: str
    network: str


class Considered(Struct, frozen=True):
    """One node, in the order to try."""

    node: str
    why: str
    zone: str
    isp: str
    capacity: int
    connections: int
    free: float
    answered: bool


class Why(Struct, frozen=True):
    """For people: how one answer came about."""

    address: str | None
    zone: str
    isp: str
    network: str
    sources: list[Knows]
    near: list[str]
    nodes: list[Considered]
    left_out: dict[str, str]
    gateways: list[Gateway]


class Identity(NamedTuple):
    """Of the cluster: the root as clients pin it, its signature, and the signed key set as it is now."""

    root: Callable[[], str]
    sign: Callable[[bytes], bytes]
    key_set: Callable[[], bytes]


class Balancer:
    """Answers from memory: what coordination knows of the nodes, and the atlas as it is now."""

    def __init__(
        self,
        settings: LbsSection,
        coordination: Coordination,
        identity: Identity,
        atlas: Callable[[], Atlas],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._coordination = coordination
        self._identity = identity
        self._atlas = atlas
        self._clock = clock
        self.answered = self.unplaced = 0

    @property
    def root(self) -> str:
        return self._identity.root()

    @property
    def asks_addresses(self) -> bool:
        return self._atlas().asks_addresses

    def nodes(self) -> list[NodeInfo]:
        """Gateways of this root."""
        return of_root(self._coordination.nodes("gateway"), self.root)

    def all_near(self) -> dict[str, list[str]]:
        return self._atlas().all_near()

    def answer(self, question: Question, address: IpAddress | None) -> Answer:
        """For a client with this address."""
        where = self._locate(question, address)
        ranked = self._ranked(question, where)
        gateways = self._gateways(question, where, ranked, address)
        settings, now = self._settings, int(self._clock())
        step = max(1, settings.ttl_s // STEPS)
        issued_at = now if question.nonce else now - now % step
        sealed = Sealed(
            issued_at,
            settings.ttl_s,
            settings.keep_s,
            question,
            gateways,
            b64url_encode(self._identity.key_set()),
            SUITES,
        )
        self.answered += 1
        self.unplaced += not gateways or ranked.order[0].draining
        signed = b64url_encode(seal(self._identity.sign, sealed)) if gateways else ""
        return Answer(sealed, signed, issued_at + settings.ttl_s - now)

    def explain(self, question: Question, address: IpAddress | None) -> Why:
        """The same answer, with what led to it."""
        where = self._locate(question, address)
        ranked = self._ranked(question, where)
        gateways = self._gateways(question, where, ranked, address)
        named = {gateway.node for gateway in gateways}
        left_out = dict(ranked.left_out)
        for node in self._coordination.nodes("gateway"):
            if node not in of_root([node], self.root):
                left_out[node.name] = "has another root key"
        nodes = [
            Considered(
                node.name,
                ranked.classes[node.name],
                node.zone,
                node.isp,
                node.capacity,
                node.connections,
                round(node.free, 4),
                node.name in named,
            )
            for node in ranked.order
        ]
        return Why(
            str(address) if address is not None else None,
            where.zone,
            where.isp,
            where.network,
            [Knows(place.source, *place[:3]) for place in where.sources],
            list(self._atlas().near(where.zone)),
            nodes,
            left_out,
            gateways,
        )

    def _locate(self, asked: Question, address: IpAddress | None) -> Location:
        return self._atlas().locate(address, Location(asked.zone, asked.isp, asked.network))

    def _ranked(self, asked: Question, where: Location) -> Ranked:
        wanted = _wanted(asked)
        nodes: list[NodeInfo] = []
        bare: dict[str, str] = {}
        for node in self.nodes():
            if has_addresses(node, wanted):
                nodes.append(node)
            else:
                bare[node.name] = f"has no address for {wanted}"
        named = asked.user or asked.device
        # Whoever does not say who asks is spread by chance: they must not all be sent to one place.
        key = f"{asked.user}/{asked.device}" if named else secrets.token_hex(8)
        near = self._atlas().near(where.zone)
        ranked = rank(nodes, key, where.zone, where.isp, near, carriers_of, drained_too=True)
        return Ranked(ranked.order, ranked.classes, ranked.left_out | bare)

    def _gateways(
        self, asked: Question, where: Location, ranked: Ranked, address: IpAddress | None
    ) -> list[Gateway]:
        family = address.version if address is not None else 0
        found: dict[tuple[str, int, str], Gateway] = {}
        nodes = 0
        for node in ranked.order:
            if nodes == self._settings.answers:
                break
            fresh = [
                told
                for one in addresses_of(node, _wanted(asked), where, family)
                if (told := _told(one, node)) and (told.host, told.port, told.path or "") not in found
            ]
            # Several nodes may be behind one proxy: an address is named once.
            found |= {(told.host, told.port, told.path or ""): told for told in fresh}
            nodes += bool(fresh)
        return list(found.values())


def _wanted(asked: Question) -> Wanted:
    return "ws" if asked.transport == "ws" else "tcp"


def _told(one: GatewayAddress, node: NodeInfo) -> Gateway:
    """A gateway that listens everywhere is this process: it is reached where LBS was reached."""
    host = "" if is_wildcard(one.host) else one.host
    return Gateway(host, one.port, one.transport, node.name, one.path or None)


def reached_at(gateways: Sequence[Gateway], host: str) -> list[Gateway]:
    """With this host where none is named."""
    return [
        gateway
        if gateway.host
        else Gateway(host, gateway.port, gateway.transport, gateway.node, gateway.path)
        for gateway in gateways
    ]
