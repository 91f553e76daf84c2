"""Which committed messages are pushed to which absent receivers, and what the push says.

Nothing is pushed before the commit, and nothing here delays an acknowledgement: decisions that must read
(members, names, do-not-disturb) are made by one worker behind a bounded queue; above it pushes are dropped,
counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

import msgspec
from msgspec import UNSET

from frame.constants import MessageType
from im_service.accounts.profiles import ProfileInfo
from im_service.context import ServiceContext
from im_service.models import preferences, unpack_payload
from im_service.options import MAX_PUSH_TEXT, PUSH, Options
from im_service.push.ports import Push, PushPort
from im_service.sending.judging import Judge
from im_service.sending.pending import Pending
from im_service.storage.errors import StoreError
from im_service.storage.records import BADGE

MAX_WAITING = 20_000
"""Messages that wait for a decision; above it their pushes are dropped."""
WORDS = {
    MessageType.IMAGE: "[image]",
    MessageType.AUDIO: "[audio]",
    MessageType.VIDEO: "[video]",
    MessageType.LOCATION: "[location]",
    MessageType.FILE: "[file]",
    MessageType.NOTIFICATION: "[notice]",
    MessageType.CUSTOM: "[message]",
}
QUIET = (MessageType.NOTIFICATION, MessageType.CUSTOM)
"""Types whose push text has no name before it unless asked for."""
_log = logging.getLogger("qianwan.im")
_decode_profile = msgspec.msgpack.Decoder(ProfileInfo).decode


class PushDecider:
    """Decides the pushes of committed messages."""

    def __init__(self, context: ServiceContext, port: PushPort, judge: Judge) -> None:
        self._store = context.store
        self._presence = context.presence
        self._port = port
        self._judge = judge
        self._waiting: deque[tuple[Pending, int]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self.dropped = 0

    def offer(self, entry: Pending, server_id: int, message: bytes) -> None:
        """One committed message. Synchronous and quick."""
        if not entry.bits & PUSH or entry.verdict or entry.route.room is not None:
            return
        peer = entry.route.peer
        if peer is not None and self._presence.online(peer):
            return
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append((entry, server_id))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._waiting:
            entry, server_id = self._waiting.popleft()
            try:
                pushes = await self._decide(entry, server_id)
                if pushes:
                    self._port.offer(pushes)
            except StoreError as error:
                self.dropped += 1
                _log.warning("push not decided: %s", error)
            except Exception:
                self.dropped += 1
                _log.exception("push not decided")

    async def _decide(self, entry: Pending, server_id: int) -> list[Push]:
        """One push per absent receiver who is not muted, or is forced."""
        route, options = entry.route, entry.options.options
        receivers = [user for user in await self._receivers(entry) if not self._presence.online(user)]
        if not receivers:
            return []
        force = options.forcePush
        forced = set() if force is UNSET else set(receivers if force.everybody else force.users)
        text = await self._text(entry, options)
        own = text if force is UNSET or force.content is None else force.content
        payload = "" if options.payload is UNSET else options.payload
        pushes = []
        for user in receivers:
            if user not in forced and await self._muted(entry, user):
                continue
            said = own if user in forced else text
            pushes.append(
                Push(
                    user,
                    route.conversation,
                    server_id,
                    said,
                    payload,
                    bool(entry.bits & BADGE),
                    user in forced,
                    route.sender,
                )
            )
        return pushes

    async def _receivers(self, entry: Pending) -> list[str]:
        route = entry.route
        if route.peer is not None:
            return [route.peer]
        if entry.receivers is not None:
            return list(entry.receivers)
        names = await self._judge.member_names(route.conversation[2:])
        return [user for user in names if user != route.sender]

    async def _muted(self, entry: Pending, user: str) -> bool:
        """Do-not-disturb of the conversation, or the sender on the receiver's mute list."""
        route = entry.route
        if route.pair is not None and route.pair.muted:
            return True
        rows = await self._store.inbox(user, "", [route.conversation])
        return bool(rows) and preferences(rows[0].settings).mute

    async def _text(self, entry: Pending, options: Options) -> str:
        """pushContent as it is; otherwise the text or a word for the type, after "name: " unless not
        wanted."""
        if options.pushContent is not UNSET:
            text = options.pushContent
        else:
            text = _words(entry)
        named = entry.type not in QUIET if options.needPushNick is UNSET else options.needPushNick
        if not named:
            return text[:MAX_PUSH_TEXT]
        profiles = await self._store.profiles([entry.route.sender])
        nick = _decode_profile(profiles[0].info).nick if profiles and profiles[0].info else ""
        return f"{nick or entry.route.sender}: {text}"[:MAX_PUSH_TEXT]

    async def close(self) -> None:
        """Wait until every waiting push is decided."""
        if self._worker is not None:
            await self._worker


def _words(entry: Pending) -> str:
    word = WORDS.get(MessageType(entry.type))
    if word is not None:
        return word
    body = msgspec.msgpack.decode(unpack_payload(entry.payload)[0])
    return str(body.get("text", "")) if isinstance(body, dict) else ""
