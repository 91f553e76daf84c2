"""What the application's server sends: single sends without a sender's rights, batches, broadcasts."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from frame.constants import FrameType
from im_service.calls import Args, Caller, Number, method
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.models import encode, notice_event
from im_service.sending.messages import Messages
from im_service.storage.records import Broadcast

DAY_S = 86_400
EVENT = int(FrameType.EVENT)
CHUNK = 500
Type = Number
ClientId = Annotated[str, Meta(max_length=64)]


class SendArgs(Args):
    sender: str
    target: str
    body: Any
    type: Type = 0
    options: dict[str, Any] | None = None
    ext: Annotated[str, Meta(max_length=4096)] | None = None
    client_id: ClientId = ""


class BatchArgs(Args):
    sender: str
    targets: Annotated[list[str], Meta(min_length=1, max_length=500)]
    body: Any
    type: Type = 0
    options: dict[str, Any] | None = None
    ext: Annotated[str, Meta(max_length=4096)] | None = None
    client_id: ClientId = ""


class BroadcastArgs(Args):
    body: Any
    type: Type = 100
    lifetime_s: Annotated[int, Meta(ge=60, le=30 * DAY_S)] = 7 * DAY_S
    platforms: Annotated[list[int], Meta(max_length=16)] = field(default_factory=list)


class MissedArgs(Args):
    after: Number = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


def describe(kept: Broadcast) -> dict[str, Any]:
    """A broadcast as devices get it; `platforms` empty = all."""
    platforms = [number for number in range(31) if kept.platforms >> number & 1]
    return {
        "id": kept.id,
        "time_ms": kept.created_ms,
        "expires_ms": kept.expires_ms,
        "platforms": platforms,
        **msgspec.msgpack.decode(kept.payload),
    }


class ServerSends:
    """Sends with the server's rights: no check of account, mute, blacklist or rate, no hook."""

    def __init__(self, context: ServiceContext, messages: Messages) -> None:
        self._store = context.store
        self._clock = context.clock
        self._downlink = context.downlink
        self._sessions = context.sessions
        self._ids = context.ids
        self._peers = context.peers
        self._messages = messages

    @method(
        "message.send",
        Code.INVALID,
        Code.DUPLICATE,
        Code.GROUP_NOT_FOUND,
        result="{server_id, seq, time_ms}",
        server_only=True,
    )
    async def send(self, caller: Caller, args: SendArgs) -> dict[str, Any]:
        """Send as a user, to a user, group or room; notifications (type 5) too."""
        client_id = args.client_id or f"x{self._ids.next(self._clock.now_ms()):x}"
        raw = encode((client_id, args.type, args.body, args.options, args.ext))
        server_id, seq, time_ms = await self._messages.send_as(
            check_id(args.sender, "sender"), args.target, raw
        )
        return {"server_id": server_id, "seq": seq, "time_ms": time_ms}

    @method(
        "message.batch",
        Code.INVALID,
        result="{results: [{target, code, server_id, seq, time_ms, text}]}",
        server_only=True,
    )
    async def batch(self, caller: Caller, args: BatchArgs) -> dict[str, Any]:
        """The same message to up to 500 targets; each is answered for itself. A client_id gets the
        target's number."""
        check_id(args.sender, "sender")
        results = []
        for number, target in enumerate(args.targets):
            client_id = f"{args.client_id[:54]}#{number}" if args.client_id else ""
            one = SendArgs(
                sender=args.sender,
                target=target,
                body=args.body,
                type=args.type,
                options=args.options,
                ext=args.ext,
                client_id=client_id,
            )
            try:
                results.append({"target": target, "code": 0, **await self.send(caller, one)})
            except ImError as error:
                results.append({"target": target, "code": int(error.code), "text": error.text})
        return {"results": results}

    @method("broadcast", Code.INVALID, result="{id, expires_ms}", server_only=True)
    async def broadcast(self, caller: Caller, args: BroadcastArgs) -> dict[str, Any]:
        """To everybody who is online now; who comes within the lifetime finds it with
        `broadcasts`."""
        now = self._clock.now_ms()
        platforms = sum(1 << p for p in set(args.platforms) if 0 <= p < 31)
        payload = encode({"type": args.type, "body": args.body})
        kept = await self._store.add_broadcast(payload, platforms, now, now + args.lifetime_s * 1000)
        self._peers.changed("broadcast", str(kept.id))
        await self._tell_everybody(kept)
        return {"id": kept.id, "expires_ms": kept.expires_ms}

    async def from_peer(self, number: int) -> None:
        """Another process took a broadcast: tell those who are logged in here."""
        for kept in await self._store.broadcasts(number - 1, self._clock.now_ms(), 1):
            if kept.id == number:
                await self._tell_everybody(kept)

    async def _tell_everybody(self, kept: Broadcast) -> None:
        """One event to every user here, some hundred between two turns of the loop."""
        event = notice_event("broadcast", describe(kept))
        for count, user in enumerate(self._sessions.names()):
            self._downlink.publish("u/" + user, EVENT, event)
            if count % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)

    @method(
        "broadcasts", result="{broadcasts: [{id, time_ms, expires_ms, platforms, type, body}]}", alone=True
    )
    async def missed(self, caller: Caller, args: MissedArgs) -> dict[str, Any]:
        """Living broadcasts after this id that are meant for my platform."""
        state = None if caller.session is None else self._sessions.get(caller.session)
        mine = 0 if state is None else 1 << state.platform
        lines = []
        for kept in await self._store.broadcasts(args.after, self._clock.now_ms(), args.limit):
            if kept.platforms and mine and not kept.platforms & mine:
                continue
            lines.append(describe(kept))
        return {"broadcasts": lines}
