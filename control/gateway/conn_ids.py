"""What the core's name of a connection says of its place (gateway_core/conn/table.pxd)."""

from __future__ import annotations

LOOP_SHIFT = 56
SLOTS = 0xFFFF_FFFF


def loop_of(conn: int) -> int:
    return conn >> LOOP_SHIFT


def slot_of(conn: int) -> int:
    return conn & SLOTS
