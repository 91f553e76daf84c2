"""`qianwan events tail | lag`: what passes through the durable copy, and how far its readers are."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, show

WAIT_S = 8
PAUSE_S = 1


class _Event(msgspec.Struct):
    event_id: str
    kind: str
    time_ms: int
    subject: str
    env: str | None

    def line(self) -> str:
        when = datetime.fromtimestamp(self.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
        env = "" if self.env is None else f"  env={self.env}"
        return f"{when}  {self.kind:<20}  {self.subject}  {self.event_id}{env}"


class _Page(msgspec.Struct):
    events: list[_Event]
    next: str


class _Groups(msgspec.Struct):
    groups: list[Json]
    more: bool


@asks_admin
def tail(
    admin: Admin,
    after: Annotated[str, typer.Option("--after", help="A cursor; default: what comes from now on")] = "",
    kinds: Annotated[str, typer.Option("--kinds", help="As message.*,session.login; default: all")] = "",
    count: Annotated[int, typer.Option("--count", min=0, help="End after so many events; 0: never")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print events as they are committed, a line each, without what is in them."""
    left = count
    while True:
        query = {"after": after, "kinds": kinds, "wait_s": WAIT_S, "limit": min(left, 100) if count else 100}
        began = time.monotonic()
        page = msgspec.convert(admin.get("/events", query), _Page)
        for event in page.events:
            typer.echo(msgspec.json.encode(event) if as_json else event.line())
        left -= len(page.events)
        if count and left <= 0:
            return
        after = page.next
        if not page.events and time.monotonic() - began < PAUSE_S:
            time.sleep(PAUSE_S)  # too many wait there already


@asks_admin
def lag(admin: Admin, as_json: JsonOption = False) -> None:
    """Consumer groups, and how far each is behind."""
    found: list[Json] = []
    page = _Groups([], True)
    while page.more:
        page = msgspec.convert(
            admin.get("/events/groups", {"after": found[-1]["group"] if found else ""}), _Groups
        )
        found += page.groups
    columns = {
        "group": "group", "behind": "lag_events", "oldest s": "lag_seconds", "revision": "revision",
        "cursor": "cursor",
    }  # fmt: skip
    show({"groups": found}, as_json, "Consumer groups", columns, "groups")
