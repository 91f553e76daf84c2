"""What the application's server sends: single sends without a sender's rights, batches, broadcasts."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from frame.constants import USER_PREFIX, FrameType
from im_service.calls import Args, Caller, Nothing, Number, method
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.grammar import readable
from im_service.ids import check_sender
from im_service.models import encode, notice_event, plain
from im_service.options import Options
from im_service.outbox.kinds.people import BROADCASTS, BroadcastBegin, BroadcastEnd
from im_service.pages import fit
from im_service.sending.bodies import check_body
from im_service.sending.messages import Sending
from im_service.storage.errors import StoreError, StoreUnknown
from im_service.storage.records import Broadcast
from im_service.turns import in_turns

DAY_S = 86_400
EVENT = int(FrameType.EVENT)
NO_STORE = (Code.UNAVAILABLE, Code.TIMEOUT)
Type = Number
ClientId = Annotated[str, Meta(max_length=64)]


class SendArgs(Args):
    sender: str
    target: str
    body: Raw
    type: Type = 0
    options: Options | None = None
    ext: Annotated[str, Meta(max_length=4096)] | None = None
    client_id: ClientId = ""


class BatchArgs(Args):
    sender: str
    targets: Annotated[list[Annotated[str, Meta(max_length=66)]], Meta(min_length=1, max_length=500)]
    body: Raw
    type: Type = 0
    options: Options | None = None
    ext: Annotated[str, Meta(max_length=4096)] | None = None
    client_id: ClientId = ""


Platform = Annotated[int, Meta(ge=0, le=30)]


class BroadcastArgs(Args):
    body: Raw
    type: Type = 100
    lifetime_s: Annotated[int, Meta(ge=60, le=30 * DAY_S)] = 7 * DAY_S
    platforms: Annotated[list[Platform], Meta(max_length=16)] = field(default_factory=list)


class EndArgs(Args):
    id: Number


class MissedArgs(Args):
    after: Number = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class Sent(Struct):
    server_id: int
    seq: int
    time_ms: int


class BatchLine(Struct):
    """What became of one target; `text` says why the code is not 0."""

    target: str
    code: int
    server_id: int | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    time_ms: int | UnsetType = UNSET
    text: str | UnsetType = UNSET


class BatchSent(Struct):
    results: list[BatchLine]


class BroadcastTaken(Struct):
    id: int
    expires_ms: int


class BroadcastLine(Struct):
    """A broadcast as devices get it; `platforms` empty = all."""

    id: int
    time_ms: int
    expires_ms: int
    platforms: list[int]
    type: int
    body: Raw


class BroadcastList(Struct):
    """`after`: where the next page begins."""

    broadcasts: list[BroadcastLine]
    after: int
    more: bool


class _SentPayload(Struct):
    """What the store keeps of a broadcast."""

    type: int
    body: Raw


_decode_payload = msgspec.msgpack.Decoder(_SentPayload).decode


def meant_for(kept: Broadcast, platforms: int) -> bool:
    """Is one of these platforms (a mask) among those it is for?"""
    return not kept.platforms or bool(kept.platforms & platforms)


def describe(kept: Broadcast) -> BroadcastLine:
    platforms = [number for number in range(31) if kept.platforms >> number & 1]
    said = _decode_payload(kept.payload)
    type, body = readable(said.type, said.body)
    return BroadcastLine(kept.id, kept.created_ms, kept.expires_ms, platforms, type, Raw(body))


def _for_target(client_id: str, target: str) -> str:
    """The client_id of one message of a batch: the same for the same target, another for any other."""
    return "b" + blake2b(f"{client_id} {target}".encode(), digest_size=24).hexdigest()


def _lost(left: list[str], error: ImError, done: list[BatchLine]) -> list[BatchLine]:
    """The rest of a batch, where the store is lost: of the first one the outcome may be unknown, the others
    were not tried. As long as none was sent the batch as a whole is refused."""
    unknown = error.code == Code.TIMEOUT
    if not unknown and all(line.code for line in done):
        raise error
    text = "the outcome is unknown" if unknown else None
    first = BatchLine(left[0], int(error.code), text=text or error.text)
    return [first, *(BatchLine(target, int(Code.UNAVAILABLE), text="not tried") for target in left[1:])]


class ServerSends:
    """Sends with the server's rights: no check of account, mute, blacklist or rate, no hook."""

    def __init__(self, context: ServiceContext, messages: Sending) -> None:
        self._store = context.store
        self._accounts = context.directory.accounts
        self._teller = context.teller
        self._clock = context.clock
        self._downlink = context.downlink
        self._sessions = context.sessions
        self._ids = context.ids
        self._node = context.node
        self._peers = context.peers
        self._reply_bytes = context.settings.reply_bytes
        self._messages = messages

    @method(
        "message.send",
        Code.INVALID,
        Code.DUPLICATE,
        Code.GROUP_NOT_FOUND,
        Code.ROOM_NOT_FOUND,
        result=Sent,
        server_only=True,
    )
    async def send(self, caller: Caller, args: SendArgs) -> Sent:
        """Send as a user, to a user, group or room; notifications (type 5) too."""
        client_id = args.client_id or f"x{self._ids.next(self._clock.now_ms()):x}"
        raw = encode((client_id, args.type, args.body, args.options, args.ext))
        return Sent(*await self._messages.send_as(check_sender(args.sender), args.target, raw))

    @method("message.batch", Code.INVALID, result=BatchSent, server_only=True)
    async def batch(self, caller: Caller, args: BatchArgs) -> BatchSent:
        """The same message to up to 500 targets; each is answered for itself, also where the store is
        lost midway: 504 = unknown, 503 "not tried". With a client_id, each target gets one that is made of it
        and the target: a repeat in another order is known."""
        check_sender(args.sender)
        account = await self._accounts.get(args.sender)  # remembered as long as this holds it
        results: list[BatchLine] = []
        for at, target in enumerate(args.targets):
            client_id = _for_target(args.client_id, target) if args.client_id else ""
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
                sent = await self.send(caller, one)
                results.append(BatchLine(target, 0, sent.server_id, sent.seq, sent.time_ms))
            except ImError as error:
                if error.code in NO_STORE:
                    return BatchSent(results + _lost(args.targets[at:], error, results))
                results.append(BatchLine(target, int(error.code), text=error.text))
            except StoreError as error:
                found = Code.TIMEOUT if isinstance(error, StoreUnknown) else Code.UNAVAILABLE
                return BatchSent(results + _lost(args.targets[at:], ImError(found), results))
        del account
        return BatchSent(results)

    @method("broadcast", Code.INVALID, result=BroadcastTaken, server_only=True)
    async def broadcast(self, caller: Caller, args: BroadcastArgs) -> BroadcastTaken:
        """To everybody who is online now; who comes within the lifetime finds it with
        `broadcasts`."""
        check_body(args.type, args.body, server=True)
        now = self._clock.now_ms()
        platforms = sum(1 << p for p in set(args.platforms))
        payload = encode(_SentPayload(args.type, args.body))
        ends = now + args.lifetime_s * 1000
        body = plain(msgspec.msgpack.decode(args.body))

        def told(kept: Broadcast) -> BroadcastBegin:
            return BroadcastBegin(
                id=kept.id, type=args.type, body=body, platforms=args.platforms, expires_ms=ends
            )

        with self._teller.outcome(BROADCASTS, BroadcastBegin, told):
            kept = await self._store.add_broadcast(payload, platforms, now, ends)
        self._peers.changed("broadcast", str(kept.id))
        await self._tell_everybody(kept)
        return BroadcastTaken(kept.id, kept.expires_ms)

    @method("broadcast.end", Code.NOT_FOUND, server_only=True)
    async def end(self, caller: Caller, args: EndArgs) -> Nothing:
        """End a broadcast before its time: `broadcasts` tells it no more, and who is online hears
        `broadcast.end`."""
        with self._teller.change(BROADCASTS, BroadcastEnd(id=args.id)):
            await self._store.end_broadcast(args.id)
        self._peers.changed("broadcast", str(args.id))
        await self._tell_end(args.id)
        return {}

    async def from_peer(self, number: int) -> None:
        """Another process took or ended a broadcast: tell those who are logged in here."""
        found = await self._store.broadcasts(number - 1, self._clock.now_ms(), 1)
        if found and found[0].id == number:
            await self._tell_everybody(found[0])
        else:
            await self._tell_end(number)

    async def _tell_everybody(self, kept: Broadcast) -> None:
        event = notice_event("broadcast", describe(kept))
        if not kept.platforms:
            await self._tell_users(event)
            return
        # Those whom it is not for may share a user with those it is for: a topic for this one publication.
        topic = f"b/{kept.id}.{self._node}"
        meant = [s.session for s in self._sessions.live() if meant_for(kept, 1 << s.platform)]
        async for session in in_turns(meant):
            self._downlink.join(session, topic)
        self._downlink.publish(topic, EVENT, event)
        async for session in in_turns(meant):
            self._downlink.leave(session, topic)

    async def _tell_end(self, number: int) -> None:
        await self._tell_users(notice_event("broadcast.end", {"id": number}))

    async def _tell_users(self, event: bytes) -> None:
        """To every user here, some hundred between two turns of the loop."""
        async for user in in_turns(self._sessions.names()):
            self._downlink.publish(USER_PREFIX + user, EVENT, event)

    @method("broadcasts", result=BroadcastList, alone=True)
    async def missed(self, caller: Caller, args: MissedArgs) -> BroadcastList:
        """Living broadcasts after this id that are meant for my platform."""
        state = None if caller.session is None else self._sessions.get(caller.session)
        mine = 0 if state is None else 1 << state.platform
        found = await self._store.broadcasts(args.after, self._clock.now_ms(), args.limit)
        page, cut = fit(found, self._reply_bytes)
        lines = [describe(kept) for kept in page if not mine or meant_for(kept, mine)]
        return BroadcastList(lines, page[-1].id if page else args.after, cut or len(found) == args.limit)
