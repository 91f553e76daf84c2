"""Settings of each worker, made from those of the whole."""

from __future__ import annotations

from control.errors import SettingsProblem
from control.node_ids import MAX_NODE_ID
from control.process.descriptors import file_limit
from control.settings import Settings
from control.settings.model import parse_address

# Commands and events of one loop with 19,000 connections: rings of this size keep up with both, and a ring
# that has gone round once is memory for good.
RING = 2048


def worker_settings(settings: Settings, index: int) -> Settings:
    """Settings of worker `index` (from 0): its node id, name and port.

    Raises SettingsProblem when the numbers do not suffice.
    """
    node_id = settings.server.node_id + index
    if node_id > MAX_NODE_ID:
        raise SettingsProblem(f"node id {node_id}: a cluster has at most {MAX_NODE_ID} processes")
    gateway, server = settings.gateway, settings.server
    shift = 0 if gateway.same_port else index
    rings: dict[str, int | float | bool | str] = {
        "mailbox": RING, "event_ring": RING, "max_connections": file_limit()
    }  # fmt: skip
    own_gateway = gateway.model_copy(
        update={
            "listen": _shifted(gateway.listen, shift),
            "advertise": _shifted(gateway.advertise, shift) if gateway.advertise else "",
            "loops": gateway.loops or 1,
            "processes": 1,
            "core": rings | gateway.core,
        }
    )
    own_server = server.model_copy(
        update={
            "node_id": node_id,
            "node_name": f"{server.node_name}-{index + 1}" if server.node_name else "",
        }
    )
    return settings.model_copy(update={"gateway": own_gateway, "server": own_server})


def _shifted(address: str, shift: int) -> str:
    host, port = parse_address(address)
    if port == 0 and shift:
        raise SettingsProblem("port 0 cannot be counted up: name the first port")
    if port + shift > 65535:
        raise SettingsProblem(f"{address}: port {port + shift} does not exist")
    return f"[{host}]:{port + shift}" if ":" in host else f"{host}:{port + shift}"
