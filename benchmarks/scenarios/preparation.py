"""Settings of the server under test: limits that protect a public server would refuse a load that is
wanted.
"""

from __future__ import annotations

from typing import Any

from benchmarks.servers import Servers
from frame.constants import USER_PREFIX

OFF = {"per_s": 0.0}

OPEN_SERVICE: dict[str, Any] = {
    "account_rate": OFF,
    "device_rate": OFF,
    "conversation_rate": OFF,
    "room_sender_rate": OFF,
    "stranger_rate": OFF,
    "call_rate": OFF,
    "room_normal_per_s": 0,
    "room_high_per_s": 0,
}
OPEN_CORE: dict[str, Any] = {
    "inbound_per_s": 0,
    "ip_connections": 0,
    "net64_connections": 0,
    "ip_accepts_per_s": 0,
}
RELAY_PREFIX = USER_PREFIX


def flush_settings(k: int) -> dict[str, Any]:
    """Settings that bound the messages of one flush; none when k is 0. Above 64 a flush may hold several
    records, because messages of 60 characters fill one at about 100.
    """
    if not k:
        return {}
    more = {"flush_max_delay_ms": 0.0} if k == 1 else {"flush_bytes": 65_000} if k > 64 else {}
    return {"flush_messages": k, **more}


def create_room(servers: Servers, room: str) -> None:
    """Who joins a room has to find it."""
    servers.call("POST", "/v1/rooms", {"room": room})
