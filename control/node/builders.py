"""The engines behind the Protocols, chosen by settings: bus, store, message service, gateway core."""

from __future__ import annotations

import dataclasses
import inspect
import os
from typing import Any

import msgspec

from control.bus.base import Bus
from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.node.core import Core
from control.node.gateway_node import EventCodes
from control.settings import Settings
from control.settings.model import parse_address
from im_service.limits import Settings as ImSettings
from im_service.ports import Downlink
from im_service.service import ImService
from im_service.storage.base import Store

STORE_FILE = "store.sqlite3"


class SettingsProblem(ValueError):
    """A map of settings for another room names something that room does not have."""


def make_bus(settings: Settings) -> Bus:
    if settings.bus.kind == "memory":
        return MemoryBus()
    from control.bus.nats import NatsBus

    token = settings.bus.nats_token.get_secret_value() if settings.bus.nats_token else None
    return NatsBus(settings.bus.nats_url, settings.bus.prefix, token, settings.node_name)


def make_store(settings: Settings) -> Store:
    """The store, not started. Raises nothing that touches the disk."""
    if settings.store.kind == "postgres":
        from im_service.storage.postgres.store import PostgresStore

        url = settings.store.url.get_secret_value() if settings.store.url else ""
        return PostgresStore(url)
    from im_service.storage.sqlite.store import SqliteStore

    return SqliteStore(settings.server.data_dir / STORE_FILE)


def im_settings(settings: Settings) -> ImSettings:
    """The [im] service map as im_service.limits.Settings. Raises SettingsProblem."""
    given = {"node": settings.server.node_id, **settings.im.service}
    if unknown := set(given) - set(ImSettings.__struct_fields__):
        raise SettingsProblem(f"im.service: no such setting: {', '.join(sorted(unknown))}")
    try:
        return msgspec.convert(given, ImSettings)
    except msgspec.ValidationError as error:
        raise SettingsProblem(f"im.service: {error}") from None


def make_service(settings: Settings, store: Store, downlink: Downlink, **ports: Any) -> ImService:
    """The message service; `ports` are those of its optional ports this process can supply."""
    accepted = inspect.signature(ImService.__init__).parameters
    known = {name: port for name, port in ports.items() if name in accepted}
    return ImService(store, downlink, settings=im_settings(settings), **known)


def loops_of(settings: Settings) -> int:
    """Loop threads of the gateway core."""
    named = settings.gateway.core.get("loops", settings.gateway.loops)
    return int(named) or len(os.sched_getaffinity(0))


def make_core(
    settings: Settings, keys: list[tuple[int, bytes, bytes]], key_set: bytes, announce_topics: bool
) -> Core:
    """The gateway core, not started. Raises SettingsProblem for an unknown key in [gateway] core."""
    from gateway_core import Gateway, GatewayConfig

    host, port = parse_address(settings.gateway.listen)
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "loops": loops_of(settings),
        "announce_topics": announce_topics,
        "node": settings.node_name,
        "ping_interval_s": settings.gateway.ping_interval_s,
        "proxy_from": tuple(settings.gateway.proxy_from),
        **settings.gateway.core,
    }
    known = {field.name for field in dataclasses.fields(GatewayConfig)}
    if unknown := set(settings.gateway.core) - known:
        raise SettingsProblem(f"gateway.core: no such setting: {', '.join(sorted(unknown))}")
    try:
        config = GatewayConfig(**{name: value for name, value in given.items() if name in known})
    except (TypeError, ValueError) as error:
        raise SettingsProblem(f"gateway.core: {error}") from None
    core: Core = Gateway(config, keys, key_set)
    return core


def event_codes() -> EventCodes:
    import gateway_core as core

    return EventCodes(
        core.EV_AUTH, core.EV_SEND, core.EV_CALL, core.EV_CLOSED, core.EV_TOPIC, core.EV_SESSION
    )


def mailbox_full() -> type[Exception]:
    from gateway_core import MailboxFull

    return MailboxFull


def static_gateways(settings: Settings) -> tuple[NodeInfo, ...]:
    """control.gateways as nodes. Raises SettingsProblem."""
    found = []
    for number, entry in enumerate(settings.control.gateways, 1):
        address, *attributes = entry.split(";")
        try:
            host, port = parse_address(address)
            pairs = dict(attribute.split("=", 1) for attribute in attributes)
        except ValueError as error:
            raise SettingsProblem(f"control.gateways: {entry!r}: {error}") from None
        if unknown := set(pairs) - {"zone", "isp", "name"}:
            raise SettingsProblem(f"control.gateways: {entry!r}: no such attribute: {', '.join(unknown)}")
        found.append(
            NodeInfo(
                number,
                0,
                pairs.get("name", address),
                ("gateway",),
                host,
                port,
                pairs.get("zone", ""),
                pairs.get("isp", ""),
            )
        )
    return tuple(found)


def own_info(settings: Settings, epoch: int, capacity: int) -> NodeInfo:
    """What this process tells the others about itself."""
    host, port = "", 0
    if "gateway" in settings.server.roles:
        host, port = parse_address(settings.gateway.advertise or settings.gateway.listen)
    return NodeInfo(
        settings.server.node_id,
        epoch,
        settings.node_name,
        tuple(settings.server.roles),
        host,
        port,
        settings.server.zone,
        settings.server.isp,
        capacity,
    )
