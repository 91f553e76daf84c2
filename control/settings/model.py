"""The tree of settings: one table a section, each key with its type and bounds, and its page under it.

The sample file `deploy/qianwan.toml` and the reference table in `docs/OPERATIONS.md` are generated from here.
[gateway.core] and [im.service] are the limits of their rooms as those rooms declare them.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from control.node_ids import MAX_NODE_ID
from control.outgoing.addresses import AddressPolicy
from control.settings.callbacks_section import CallbacksSection
from control.settings.engines_section import EnginesSection
from control.settings.gateway_addresses import parse_attributes, parse_gateway_address
from control.settings.lbs_section import LbsSection
from control.settings.outgoing_section import OutgoingSection
from control.settings.place_section import PlaceSection
from control.settings.policy_section import PolicySection
from control.settings.push_section import PushSection, RelaySection
from control.settings.sections import (
    LIVE,
    AuditSection,
    AuthSection,
    BusSection,
    EtcdSection,
    LimitsSection,
    LogSection,
    Problems,
    Section,
    StoreSection,
    unit,
)
from control.settings.storms import AdmissionSection, LeavingSection, OverloadSection
from control.settings.values import is_wildcard, parse_address, parse_literal, parse_target
from gateway_core.config import MAX_NETWORKS, NAME_BYTES, CoreLimits
from im_service.settings import TAGS_PER_ROOM, ImSettings

Role = Literal["gateway", "im", "control"]
MAX_ADDRESSES = 16
ROLES: tuple[Role, ...] = ("gateway", "im", "control")


class ServerSection(Section, frozen=True):
    data_dir: Path = Path("qianwan-data")
    """Folder for key files, API keys and the embedded store. Created with mode 0700."""
    roles: tuple[Role, ...] = ROLES
    """What this process does. All three need no other service; a subset needs bus.kind = nats."""
    node_id: Annotated[int, Meta(ge=0, le=MAX_NODE_ID, extra=unit("number"))] = 0
    """Number of this process in its cluster, unique among live processes: it is part of session ids, with 8
    bits. 0: one that is free, from etcd (ids rest a while before they are given again), or asked for on the
    bus. Beyond: refused, a cluster has no more processes."""
    node_name: Annotated[str, Meta(max_length=NAME_BYTES)] = ""
    """Name told to clients, shown in metrics, and by which operators order. Empty: `node-<node_id>`; where
    etcd gives the id, such a name is that of one start, and an order ends with it. Beyond: refused at the
    start, where a live process of the cluster has the name."""
    zone: Annotated[str, Meta(max_length=64)] = ""
    """Zone of this machine; LBS prefers the client's own zone."""
    isp: Annotated[str, Meta(max_length=64)] = ""
    """Carrier of this machine's address; LBS prefers a match."""
    drain_timeout_s: Annotated[float, Meta(ge=0, le=3600)] = 20.0
    """What a SIGTERM may take: below the 30 s an orchestrator grants by default. Beyond: connections are
    closed with 3000."""
    drain_spread_s: Annotated[float, Meta(ge=0, le=3600, extra=LIVE)] = 5.0
    """Over which a drain spreads its GOAWAY frames, so that other nodes see no storm. Beyond:
    server.drain_timeout_s ends it."""
    cut_off_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """That a gateway alone hears nothing on the bus, or a process that is only im reaches no store, while
    others do, until its clients or users go to those: longer than all need to notice what is away for
    everybody (bus.dead_after_s, 8 s for a store). 0: never. Beyond: its clients are sent away over
    server.drain_spread_s; its users are served by others until the store answers it again. For gateways only
    with etcd, which tells it of the others."""

    def problems(self) -> Problems:
        if not self.roles:
            yield ("roles",), f"must name at least one of {', '.join(ROLES)}"
        if len(self.node_name.encode()) > NAME_BYTES:
            yield ("node_name",), f"longer than {NAME_BYTES} bytes"


class GatewaySection(Section, frozen=True):
    listen: str = "127.0.0.1:7801"
    """Address of the client port (native and WebSocket). Loopback until you decide otherwise. Port 0: one the
    kernel chooses; LBS, the log and `serve.lock` in the data folder tell it."""
    advertise: str = ""
    """host:port that LBS gives to clients. Empty: the listen address itself, or, where that is 0.0.0.0 or
    [::] and one process does all, the host by which the client reached LBS."""
    advertise_wss: str = ""
    """host:port of a proxy that ends TLS and passes WebSocket on: LBS answers `wss` there to clients that ask
    for WebSocket. Empty: they are told the client port itself."""
    addresses: tuple[str, ...] = ()
    """Further addresses that LBS gives to clients, at most 16: `tcp://host:port`, `ws://host:port/path`,
    `wss://host/path`, `[v6]:port`; with `;isp=name` or `;network=name` behind it, first for clients there."""
    loops: Annotated[int, Meta(ge=0, le=64, extra=unit("threads"))] = 0
    """Loop threads of the core. 0: one per core this process may run on. Beyond: refused, they would only
    take turns."""
    processes: Annotated[int, Meta(ge=1, le=MAX_NODE_ID - 1, extra=unit("processes"))] = 1
    """Gateway processes forked from this one, for more connections than one process may have open files.
    Node ids and ports count up from server.node_id and gateway.listen. More than 1 needs roles = [gateway]
    and a bus. Beyond: refused, node ids end."""
    same_port: bool = False
    """Let all of these processes listen on one port; the kernel spreads clients over them."""
    ping_interval_s: Annotated[int, Meta(ge=5, le=3600, extra=LIVE)] = 240
    """Without writing, after which a client pings: below the common 300 s NAT limit. Beyond: closed after
    1.5 times that and gateway.core.grace_s."""
    ws_ping_interval_s: Annotated[int, Meta(ge=5, le=3600, extra=LIVE)] = 45
    """The same on WebSocket, where that is less: proxies close what is silent for a minute (nginx's
    proxy_read_timeout, the idle time-out of cloud balancers). Beyond: as above."""
    proxy_from: tuple[str, ...] = ()
    """Networks of balancers from which a PROXY v2 header is required, at most 32; v1, which is text, is
    refused with a line in the log. Others may not send one."""
    resume: bool = True
    """Give tickets, with which a client takes its session up again when its connection was lost: what it
    missed comes at once, and no token, store or im process is asked. What is kept: `gateway.core.park_s` and
    `ring_messages`. Off: every client that comes back logs in and syncs."""
    resume_ask_ms: Annotated[int, Meta(ge=10, le=5000)] = 300
    """For the gateway that keeps a session to answer another one, to which its client came. Beyond: the
    client logs in by its ticket and syncs."""
    events_per_wake: Annotated[int, Meta(ge=1, le=65536, extra=unit("events"))] = 2048
    """Taken from the core at once. More makes larger batches, and longer pauses of the HTTP API. Beyond:
    the next turn."""
    admission: AdmissionSection = AdmissionSection()
    leaving: LeavingSection = LeavingSection()
    overload: OverloadSection = OverloadSection()
    core: CoreLimits = CoreLimits()

    def problems(self) -> Problems:
        for name, parse in (
            ("listen", parse_literal),
            ("advertise", parse_target),
            ("advertise_wss", parse_target),
        ):
            if value := getattr(self, name) or name == "listen":
                try:
                    parse(str(value))
                except ValueError as error:
                    yield (name,), str(error)
        if self.core.max_timeout_s < (least := self.ping_interval_s + self.core.grace_s):
            yield (
                ("core.max_timeout_s", "ping_interval_s", "core.grace_s"),
                f"less than {least} s: who has nothing to say would be closed before its ping is here",
            )
        if len(self.addresses) > MAX_ADDRESSES:
            yield ("addresses",), f"at most {MAX_ADDRESSES} addresses"
        for address in self.addresses:
            try:
                parse_gateway_address(address)
            except ValueError as error:
                yield ("addresses",), str(error)
        if len(self.proxy_from) > MAX_NETWORKS:
            yield ("proxy_from",), f"at most {MAX_NETWORKS} networks"
        for network in self.proxy_from:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError as error:
                yield ("proxy_from",), str(error)


class ImSection(Section, frozen=True):
    service: ImSettings = ImSettings()


class ControlSection(Section, frozen=True):
    http: str = "127.0.0.1:7800"
    """Address of the HTTP API, health and metrics."""
    admin: str = "127.0.0.1:7809"
    """Address of the admin API, apart from the HTTP API: operators' machines reach it, app servers need not.
    Loopback until you decide otherwise. Port 0: one the kernel chooses; the log and `serve.lock` in the data
    folder tell it. Empty: there is none."""
    gateways: tuple[str, ...] = ()
    """Static gateway list for LBS: `host:port`, or an address as in gateway.addresses, with
    `;zone=z;isp=i;name=n` behind it; entries of one name are one gateway. Empty: the gateways that announce
    themselves (or the own one)."""
    lbs: LbsSection = LbsSection()
    policy: PolicySection = PolicySection()

    def problems(self) -> Problems:
        for name in ("http", "admin"):
            try:
                if value := getattr(self, name) or name == "http":
                    parse_address(str(value))
            except ValueError as error:
                yield (name,), str(error)
        for entry in self.gateways:
            try:
                parse_gateway(entry)
            except ValueError as error:
                yield ("gateways",), f"{entry!r}: {error}"


def parse_gateway(entry: str) -> tuple[str, dict[str, str]]:
    """An entry of control.gateways as the address, and zone, isp and name. Raises ValueError."""
    address, *attributes = entry.split(";")
    pairs = parse_attributes(attributes, ("zone", "isp", "network", "name"))
    network = f";network={pairs.pop('network')}" if "network" in pairs else ""
    parse_gateway_address(address + network)
    return address + network, pairs


ANYWHERE = AddressPolicy(("0.0.0.0/0", "::/0"), plain=True)
"""What is no URL for it is none under any settings."""
OWN_TOPICS = 2
"""Of every connection: its user, and a broadcast under way."""


class Settings(Struct, kw_only=True, frozen=True):
    """All settings of one process. Environment: `QIANWAN_<SECTION>__<KEY>`, lists and maps as JSON."""

    server: ServerSection = ServerSection()
    gateway: GatewaySection = GatewaySection()
    im: ImSection = ImSection()
    control: ControlSection = ControlSection()
    bus: BusSection = BusSection()
    etcd: EtcdSection = EtcdSection()
    store: StoreSection = StoreSection()
    auth: AuthSection = AuthSection()
    limits: LimitsSection = LimitsSection()
    outgoing: OutgoingSection = OutgoingSection()
    callbacks: CallbacksSection = CallbacksSection()
    engines: EnginesSection = EnginesSection()
    push: PushSection = PushSection()
    audit: AuditSection = AuditSection()
    log: LogSection = LogSection()

    def problems(self) -> Problems:
        missing = [role for role in ROLES if role not in self.server.roles]
        if self.bus.kind == "memory" and {"gateway", "im"} & set(missing):
            yield (
                ("server.roles", "bus.kind"),
                f'roles without {", ".join(missing)} need another process: set bus.kind = "nats"',
            )
        if self.auth.keys_secret and not self.etcd.endpoints:
            yield ("auth.keys_secret", "etcd.endpoints"), "keys are shared through etcd: name its endpoints"
        if self.etcd.endpoints and self.server.node_id:
            yield ("server.node_id", "etcd.endpoints"), "etcd gives the node ids: leave it out"
        gateway, split = self.gateway, self.bus.kind != "memory" and "gateway" in self.server.roles
        if split and not gateway.advertise and is_wildcard(parse_address(gateway.listen)[0]):
            yield (
                ("gateway.advertise", "gateway.listen", "bus.kind"),
                f"LBS cannot tell clients to connect to {gateway.listen}: name the address they reach",
            )
        service = self.im.service
        needed = OWN_TOPICS + service.groups_per_user + service.rooms_per_connection * (1 + TAGS_PER_ROOM)
        if gateway.core.max_topics < needed:
            yield (
                (
                    "gateway.core.max_topics",
                    "im.service.groups_per_user",
                    "im.service.rooms_per_connection",
                ),
                f"less than the {needed} topics of a user in all groups and rooms: some would stay silent",
            )
        if gateway.processes > 1:
            yield from self._workers()
        yield from self._places()

    def _places(self) -> Problems:
        """URLs that would never be called."""
        places: dict[str, PlaceSection | RelaySection] = {
            "callbacks": self.callbacks, "engines.text": self.engines.text,
            "engines.media": self.engines.media, "push.relay": self.push.relay,
        }  # fmt: skip
        for name, place in places.items():
            if not place.url:
                continue
            key = f"{name}.url"
            try:
                ANYWHERE.check_url(place.url)
            except ValueError as error:
                yield (key,), str(error)
                continue
            try:
                AddressPolicy(self.outgoing.networks, self.outgoing.plain_http).check_url(place.url)
            except ValueError as error:
                yield (key, "outgoing.networks", "outgoing.plain_http"), str(error)

    def _workers(self) -> Problems:
        """Several gateways from one command: numbers, ports and names count up."""
        server, gateway, key = self.server, self.gateway, "gateway.processes"
        last = gateway.processes - 1
        if set(server.roles) != {"gateway"} or self.bus.kind == "memory":
            yield (key, "server.roles", "bus.kind"), 'more than 1 needs roles = ["gateway"] and a bus'
        if server.node_id and server.node_id + last > MAX_NODE_ID:
            yield (
                (key, "server.node_id"),
                f"node ids would count up to {server.node_id + last}: the last one is {MAX_NODE_ID}",
            )
        if len(server.node_name.encode()) + len(f"-{last + 1}") > NAME_BYTES:
            yield ("server.node_name", key), f"longer than {NAME_BYTES} bytes with the number of a worker"
        if gateway.same_port and parse_address(gateway.listen)[1] == 0:
            yield ("gateway.listen", "gateway.same_port", key), "each would get another port: name one"
        for name in () if gateway.same_port else ("listen", "advertise"):
            if address := getattr(gateway, name):
                port = parse_address(address)[1]
                if port == 0:
                    yield (f"gateway.{name}", key), "port 0 cannot be counted up: name the first port"
                elif port + last > 65535:
                    yield (
                        (f"gateway.{name}", key),
                        f"ports would count up to {port + last}: the last one is 65535",
                    )
        for text in () if gateway.same_port else gateway.addresses:
            address = parse_gateway_address(text)
            if address.transport != "wss" and address.port + last > 65535:
                yield (
                    ("gateway.addresses", key),
                    f"ports would count up to {address.port + last}: the last one is 65535",
                )

    @property
    def node_name(self) -> str:
        return self.server.node_name or f"node-{self.server.node_id}"
