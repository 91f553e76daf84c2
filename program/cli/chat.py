"""The terminal client of `qianwan chat`: a stream of messages above, a prompt below."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import qianwan
from qianwan.models import single_conversation
from rich.console import Console

from frame.constants import ID_PATTERN, ROOM_PREFIX
from program.access import Access, NoAccess

HELP = "/quit leaves, /read marks everything read, /history shows the last messages"


def run_chat(
    user: str, peer: str, url: str, token: str | None, api_key: str | None, data_dir: str | None
) -> int:
    """Chat until /quit or end of input. Returns the exit code."""
    console = Console()
    logging.getLogger("qianwan").setLevel(logging.ERROR)  # how the connection is stands in the window
    for name in (user, peer.removeprefix("#")):
        if not re.fullmatch(ID_PATTERN, name):
            console.print(f"{name!r} is no id: {ID_PATTERN}", style="red", markup=False, highlight=False)
            return 2
    try:
        access = Access(url, api_key, data_dir)
        if peer.startswith("#"):
            access.room(peer[1:])
        secret = token or access.token(user)
        asyncio.run(Chat(console, user, peer).run(url, secret))
    except NoAccess as error:
        console.print(f"[red]{error}[/]")
        return 1
    except qianwan.QianwanError as error:
        console.print(f"[red]{error}[/]")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


class Chat:
    """One conversation. `peer` is a user, or `#room`, which is made if an API key is given."""

    def __init__(self, console: Console, user: str, peer: str) -> None:
        self._console = console
        self._user = user
        self._peer = peer
        self._room = peer[1:] if peer.startswith("#") else None
        self._here = ROOM_PREFIX + self._room if self._room else single_conversation(user, peer)
        self._last: qianwan.Message | None = None
        self._waits_for = ""
        self._url = ""

    async def run(self, url: str, token: str) -> None:
        self._url = url
        device = f"terminal-{os.getsid(0)}"  # each terminal is one: two of one user live side by side
        async with qianwan.Client(url, token=token, device_id=device, on_state=self._on_state) as me:
            where = f"#{self._room}" if self._room else self._peer
            self._console.print(f"[bold]{self._user}[/] talks to [bold]{where}[/]. {HELP}", highlight=False)
            readers = [asyncio.create_task(self._show(me.messages()))]
            room = None
            if self._room:
                room = await me.join_room(self._room)
                readers.append(asyncio.create_task(self._show(room)))
            try:
                await self._prompt(me, room)
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)

    async def _prompt(self, me: qianwan.Client, room: qianwan.Room | None) -> None:
        lines = _lines()
        while (line := await lines.get()) is not None and line != "/quit":
            if line == "/read" and self._last is not None:
                await me.read(self._last.conversation, self._last.seq)
            elif line == "/history":
                page = await me.history(self._here, limit=20)
                for message in sorted(page, key=lambda message: message.seq):
                    self._print(message)
                if room is not None and not page:
                    self._console.print("[dim]this room keeps no history[/]")
            elif line.startswith("/"):
                self._console.print(f"[dim]{HELP}[/]")
            elif line:
                await self._send(me, room, line)

    async def _send(self, me: qianwan.Client, room: qianwan.Room | None, line: str) -> None:
        try:
            ack = await (room.send(line) if room is not None else me.send(self._peer, line))
            self._console.print(f"[dim]{_clock(ack.time)} ✓ {ack.seq or ''}[/]")
        except qianwan.QianwanError as error:
            self._console.print(f"[red]not sent: {error}[/]")

    async def _show(self, messages: Any) -> None:
        async for message in messages:
            if message.conversation == self._here and message.seq:
                self._last = message
            if message.sender != self._user:
                self._print(message)

    def _print(self, message: qianwan.Message) -> None:
        """What was said elsewhere says where."""
        body = message.body
        text = body.get("text", body) if isinstance(body, dict) else body
        who = "green" if message.sender == self._user else "cyan"
        where = "" if message.conversation == self._here else f"[dim]in {message.conversation}[/] "
        self._console.print(
            f"[dim]{_clock(message.time_ms)}[/] {where}[{who}]{message.sender}[/] ", end="", highlight=False
        )
        self._console.print(str(text), markup=False)

    def _on_state(self, change: qianwan.StateChange) -> None:
        """A wait says what for, once: tries that fail alike say nothing new."""
        waits_for = str(change.reason or "") if change.state is qianwan.State.WAITING else ""
        if waits_for:
            if waits_for != self._waits_for:
                hint = f"trying {self._url} again and again; does a server run there (`qianwan serve`)?"
                self._say(f"waiting: {waits_for}")
                self._say(hint)
            self._waits_for = waits_for
        elif change.state is not qianwan.State.CONNECTING or not self._waits_for:
            self._waits_for = ""
            self._say(change.state.name.lower())

    def _say(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False, highlight=False)


def _clock(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000).strftime("%H:%M:%S")


def _lines() -> asyncio.Queue[str | None]:
    """Lines of standard input, read by a thread of its own: None at the end."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    put: Callable[[str | None], object] = lambda line: loop.call_soon_threadsafe(  # noqa: E731
        queue.put_nowait, line
    )

    def read() -> None:
        for line in sys.stdin:
            put(line.strip())
        put(None)

    threading.Thread(target=read, daemon=True, name="stdin").start()
    return queue
