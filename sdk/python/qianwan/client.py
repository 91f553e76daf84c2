"""`Client`: one user on one device, always connected as far as the network allows."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from qianwan.api.groups import Groups
from qianwan.api.messages import MessageCalls
from qianwan.api.push import Push
from qianwan.api.relations import Devices, Presence, Profiles, Relations
from qianwan.connection.dial import DialSettings
from qianwan.connection.kept_ticket import TicketFile
from qianwan.connection.policy import Policy
from qianwan.connection.reconnect import Backoff
from qianwan.connection.supervisor import State, StateChange
from qianwan.connection.vitals import NETS, Quality
from qianwan.constants import GROUP_PREFIX, USER_PREFIX
from qianwan.delivery.journal import FileOutbox, OutboxStore
from qianwan.delivery.notices import NoticeQueue
from qianwan.delivery.outbox import OutboxLimits, new_client_id
from qianwan.delivery.store import CursorStore, FileCursor, MemoryCursor
from qianwan.engine import Engine, EngineSettings
from qianwan.errors import ClientClosed, SettingError
from qianwan.models import Ack, Content, Message, Options, text
from qianwan.protocol.auth import check_device, check_token
from qianwan.protocol.messages import decode, encode
from qianwan.rooms import Room
from qianwan.steering import SteeringSettings
from qianwan.tokens import TokenSource
from qianwan.transport import USUAL_SOCKETS, Address, SocketOptions

CLOSE_PATIENCE_S = 2.0


class Messages:
    """The stream of `Client.messages()`: in order per conversation, nothing twice, gaps repaired first.

    A message counts as delivered when the one after it is asked for, or when the client is closed without
    an error.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: Message | None = None

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Message:
        self.settle()
        self._last = await self._engine.feed.next()
        return self._last

    def settle(self) -> None:
        """The message handed out last was dealt with."""
        if self._last is not None:
            self._engine.feed.consumed(self._last)
            self._last = None


class Client(MessageCalls):
    """Use as `async with Client(url, token=..., root_key=...) as me:`.

    where         LBS URL(s) (`http...`), or addresses of gateways (`host:port`, `tcp://`, `ws://`, `wss://`).
    With both, the addresses are for when no LBS answers and nothing is kept of an earlier answer
    token         a JWT, or an async callable that gets a fresh one (asked before every login)
    root_key      `qwroot1....`, the pinned root; may be left out when an LBS answers over https or on this
    machine
    device_id     stable name of this device; a new login of the same device ends the old one for good. Left
    out: made once and kept in `store`, so with a FileCursor each file is a device, without one each Client
    signing_key   Ed25519 seed of a key-bound token
    suite         "auto", "chachapoly", "aesgcm" or "aegis128l";  transport: "auto", "tcp" or "ws"
    tls           for `wss` gateways and an `https` LBS, when the system's certificates are not enough
    unsigned_lbs  take answers of an LBS that its root has not signed, from servers that do not sign
    store         where the read position, and the last answer of an LBS, are kept (FileCursor survives
    restarts)
    folder        a folder of its own for all of this: the read position, messages without an answer and the
    newest ticket, with which the next start logs in without a token. The ticket is as secret as a token: when
    the user logs out, remove the folder. One program at a time
    user          whom `token` is of, if it is a callable: the ticket in `folder` is used for this user alone
    backoff       how to reconnect, and how long a wait the server may ask for
    max_pending   unanswered messages before OutboxFull;  max_queue: unread messages held in memory
    pipeline      unanswered messages of one target with the server at once. 1 keeps their order whatever is
    answered; more is faster on long lines, and what is answered 503 may change places
    refused_s     how long a service that answers 503 is asked again before `send` gives up
    on_state      called with every StateChange
    rng, clock, sleep  for tests
    """

    def __init__(
        self,
        where: str | Sequence[str],
        *,
        token: TokenSource,
        root_key: str | None = None,
        device_id: str | None = None,
        platform: int = 0,
        signing_key: bytes | None = None,
        suite: Literal["auto", "chachapoly", "aesgcm", "aegis128l"] = "auto",
        transport: Literal["auto", "tcp", "ws"] = "auto",
        tls: ssl.SSLContext | None = None,
        unsigned_lbs: bool = False,
        sockets: SocketOptions = USUAL_SOCKETS,
        store: CursorStore | None = None,
        outbox: OutboxStore | None = None,
        folder: str | os.PathLike[str] | None = None,
        user: str = "",
        backoff: Backoff | None = None,
        policy: Policy | None = None,
        version: str = "",
        max_pending: int = 1000,
        max_queue: int = 10_000,
        pipeline: int = 1,
        refused_s: float = 300.0,
        login_timeout_s: float = 20.0,
        call_timeout_s: float = 10.0,
        ack_timeout_s: float = 20.0,
        on_state: Callable[[StateChange], None] | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        places = [where] if isinstance(where, str) else list(where)
        urls = tuple(place for place in places if place.startswith("http"))
        scheme = "ws" if transport == "ws" else "tcp"
        try:
            addresses = tuple(Address.parse(place, scheme) for place in places if place not in urls)
        except ValueError as error:
            raise SettingError(str(error)) from error
        if not places:
            raise SettingError("nowhere to connect to")
        if device_id is not None:
            check_device(device_id)
        if isinstance(token, str):
            check_token(token)
        if not 0 <= platform < 256 or (signing_key is not None and len(signing_key) != 32):
            raise SettingError("a platform is one byte, a signing key is a seed of 32")
        back = backoff or Backoff()
        kept = None if folder is None else Path(folder)
        if kept is not None:
            store = FileCursor(kept / "position") if store is None else store
            outbox = FileOutbox(kept / "outbox") if outbox is None else outbox
        self._settings = EngineSettings(
            dial=DialSettings(urls, addresses, root_key, suite, transport, tls, unsigned_lbs, sockets),
            token=token,
            signing_key=signing_key,
            device_id=device_id,
            platform=platform,
            store=MemoryCursor() if store is None else store,
            backoff=back,
            steering=SteeringSettings(
                policy=policy or Policy(backoff_base_s=back.base_s, backoff_cap_s=back.cap_s),
                keep_backoff=backoff is not None,
                version=version,
            ),
            outbox=OutboxLimits(
                pending=max_pending,
                window=max(1, pipeline),
                overdue_s=ack_timeout_s,
                patience_s=refused_s,
                believe_s=back.believe_s,
            ),
            unsent=outbox,
            ticket=None if kept is None else TicketFile(kept / "ticket", time.time),
            user=user,
            max_queue=max_queue,
            login_timeout_s=login_timeout_s,
            call_timeout_s=call_timeout_s,
            on_state=on_state,
            rng=rng or random.Random(),
            clock=clock,
            sleep=sleep,
        )
        self.groups = Groups(self)
        self.relations = Relations(self)
        self.profiles = Profiles(self)
        self.presence = Presence(self)
        self.devices = Devices(self)
        self.push = Push(self)
        self._engine: Engine | None = None
        self._messages: Messages | None = None

    # life

    async def __aenter__(self) -> Client:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(handled=kind is None)

    async def open(self) -> None:
        """Connect and log in. Raises ConnectFailed after `login_timeout_s`, or what the server refused
        with.
        """
        if self._engine is not None:
            raise RuntimeError("a client is opened once")
        self._engine = Engine(self._settings)
        self._engine.renewals.append(self.presence.renew)
        await self._engine.open()

    async def close(self, *, handled: bool = True) -> None:
        """Wait (two seconds at most) for outstanding acknowledgements, tell read positions, say goodbye.

        `handled` says that the message last handed out by `messages()` was dealt with.
        """
        if handled and self._messages is not None:
            self._messages.settle()
        if self._engine is not None:
            await self._engine.close(patience_s=CLOSE_PATIENCE_S)

    @property
    def engine(self) -> Engine:
        """The inside, for tools and tests."""
        if self._engine is None:
            raise ClientClosed("the client is not open")
        return self._engine

    @property
    def user(self) -> str:
        """Who is logged in, as the server says."""
        return self.engine.user

    @property
    def node(self) -> str:
        """The gateway's name."""
        return self.engine.node

    @property
    def state(self) -> State:
        return self.engine.change.state

    @property
    def quality(self) -> Quality:
        """How the connection fares: round trip, last byte read, heartbeat interval, network."""
        return self.engine.steering.vitals.quality()

    def network_changed(
        self, net: str = "other", *, carrier: str = "", region: str = "", name: str = ""
    ) -> None:
        """The system says that the device is on this network (`wifi`, `2g` to `5g`, `ethernet`, `other`; a
        carrier as MCC-MNC; `name` tells Wi-Fis apart and stays here). Another one than before means:
        connect again at once. Heartbeat intervals are learned for each.
        """
        if net not in NETS:
            raise SettingError(f"a network is one of {', '.join(sorted(NETS))}, not {net!r}")
        self.engine.steering.network_changed(net, carrier, region, name)

    def app_state(self, *, foreground: bool) -> None:
        """The app came to the foreground (then the connection is tried at once) or left it."""
        self.engine.steering.app_state(foreground)

    @property
    def device_id(self) -> str:
        """The name of this device, as given or made."""
        return self.engine.keeper.device

    @property
    def cursor_error(self) -> Exception | None:
        """Why the read position cannot be saved at present; it is tried again every second."""
        return self.engine.keeper.error

    # messages

    async def send(
        self,
        user: str,
        content: str | Content,
        *,
        options: Options | None = None,
        ext: str | None = None,
        client_id: str | None = None,
    ) -> Ack:
        """Send to a user; returns when the message is durably stored. Raises RequestError, OutboxFull,
        ClientClosed.

        While the network is away the message waits and is sent again with the same client id; the server
        stores it once.
        """
        return await self.send_to(USER_PREFIX + user, content, options=options, ext=ext, client_id=client_id)

    async def send_group(
        self,
        group: str,
        content: str | Content,
        *,
        options: Options | None = None,
        ext: str | None = None,
        client_id: str | None = None,
    ) -> Ack:
        """Send to a group, otherwise like `send`."""
        return await self.send_to(
            GROUP_PREFIX + group, content, options=options, ext=ext, client_id=client_id
        )

    async def send_to(
        self,
        target: str,
        content: str | Content,
        *,
        options: Options | None = None,
        ext: str | None = None,
        client_id: str | None = None,
    ) -> Ack:
        """Send to a target as the protocol writes it: `u/<user>`, `g/<group>` or `r/<room>`."""
        engine = self.engine
        if engine.change.state is State.CLOSED:
            raise ClientClosed("the client is closed") from engine.failure
        kind, body = text(content) if isinstance(content, str) else content
        name = client_id or new_client_id()
        chosen = options.to_map() if options is not None else None
        payload = encode([name, int(kind), body, chosen, ext])
        future = engine.outbox.put(name, target, payload)
        engine.feed.sending(name)
        return await asyncio.shield(future)

    def messages(self) -> Messages:
        """All conversations' messages as one stream. There is one stream per client, so read it in one
        place.
        """
        if self._messages is None:
            self._messages = Messages(self.engine)
        return self._messages

    def notices(self) -> NoticeQueue:
        """Events that are not messages; the newest 1,000 unread ones are kept."""
        return self.engine.notices

    # rooms

    async def create_room(self, name: str, **fields: Any) -> dict[str, Any]:
        """Make a chatroom that I own, where clients may make them; fields as in `Room.update`."""
        made: dict[str, Any] = await self.call("room.create", {"room": name, **fields})
        return made

    async def join_room(self, name: str, *, tags: Sequence[str] = ()) -> Room:
        """Enter a chatroom; the client enters it again, in the same tags, after every reconnect until `leave`
        or until somebody puts this user out. Entering again with other tags changes them.
        """
        return await self.engine.rooms.join(self, name, tags)

    async def leave_room(self, name: str) -> None:
        if self.engine.rooms.leave(name) and self.state is not State.CLOSED:
            await self.call("room.leave", {"room": name})

    # everything else

    async def call(
        self, method: str, args: dict[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        """Any method of the service (docs/PROTOCOL.md, "Calls"); returns its result.

        Raises RequestError; RequestTimeout or ConnectionClosed when the outcome is unknown.
        """
        return decode(await self.engine.call(method, args or {}, timeout_s=timeout_s))
