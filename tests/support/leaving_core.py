"""A core of several loops as far as sessions that leave go: picks, GOAWAYs, and who is still here."""

from __future__ import annotations

from typing import Any, Protocol

from control.gateway.conn_ids import LOOP_SHIFT, loop_of


class Full(Exception):
    """No command is taken now."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Hears(Protocol):
    def on_picked(self, conn: int, user: str, device: str, websocket: bool) -> None: ...


class LeavingCore:
    """Sessions are (conn, user); what is picked goes to `hears` like an event. `silent` are idle."""

    def __init__(self, loops: int = 2) -> None:
        self.loops: list[dict[int, str]] = [{} for _ in range(loops)]
        self.ids: dict[int, int] = {}
        self.above = 1  # session ids
        self.silent: set[str] = set()
        self.picked: set[int] = set()
        self.told: list[tuple[int, bytes, int, int]] = []
        self.full = False  # no command is taken
        self.slow = False  # picks are answered when `answer` is called
        self.asked: list[tuple[int, int, int, int]] = []
        self.stays = 0
        self.hears: Hears | None = None

    def add(self, user: str, loop: int = 0, *, silent: bool = True) -> int:
        conn = loop << LOOP_SHIFT | 1 << 32 | self.above
        self.loops[loop][conn] = user
        self.ids[conn] = self.above
        self.above += 1
        if silent:
            self.silent.add(user)
        return conn

    def leave(self, conn: int) -> None:
        del self.loops[loop_of(conn)][conn]
        self.picked.discard(conn)

    def pick(self, loop: int, most: int, idle_s: int, before: int) -> None:
        if self.full:
            raise Full
        self.asked = [each for each in self.asked if each[0] != loop]  # it stands in for the one before
        self.asked.append((loop, most, idle_s, before))
        if not self.slow:
            self.answer()

    def answer(self) -> None:
        asked, self.asked = self.asked, []
        for each in asked:
            self._answer(*each)

    def _answer(self, loop: int, most: int, idle_s: int, before: int) -> None:
        assert self.hears is not None
        found = [
            (conn, user)
            for conn, user in self.loops[loop].items()
            if conn not in self.picked and self.ids[conn] < before and (not idle_s or user in self.silent)
        ][:most]
        for conn, user in found:
            self.picked.add(conn)
            self.hears.on_picked(conn, user, "d", False)
        if len(found) < most:
            self.hears.on_picked(loop << LOOP_SHIFT, "", "", False)

    def send_away(self, conn: int, goaway: bytes, after_s: int, code: int) -> None:
        if self.full:
            raise Full
        self.told.append((conn, goaway, after_s, code))

    def stay(self) -> None:
        if self.full:
            raise Full
        self.stays += 1
        self.asked.clear()
        self.picked.clear()

    def stats(self) -> dict[str, Any]:
        return {"live": {"sessions": sum(map(len, self.loops)), "told": len(self.picked)}}

    def told_users(self) -> list[str]:
        return [self.loops[loop_of(conn)][conn] for conn, _, _, _ in self.told]
