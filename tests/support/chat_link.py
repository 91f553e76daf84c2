"""One connection of the SDK without its outbox: a request is sent once, its answer handed out as it is."""

from __future__ import annotations

import random
import time
from typing import Any

from qianwan.connection.dial import Dialer, DialSettings
from qianwan.connection.link import Link
from qianwan.constants import EventKind, FrameType
from qianwan.models import Message
from qianwan.protocol.auth import Credentials, Welcome
from qianwan.protocol.messages import Answer, decode, encode
from qianwan.protocol.room_messages import parse_room_messages
from qianwan.transport import Address

from tests.support.chat_world import root_of
from tests.support.server_process import ServerProcess


class PlainLink:
    """`open` first. `messages` and `events` are the MSG and EVENT frames as they came; nothing is repeated,
    pulled or reordered.
    """

    def __init__(self, link: Link, welcome: Welcome, owner: Owner) -> None:
        self.link = link
        self.welcome = welcome
        self.messages = owner.messages
        self.events = owner.events

    @classmethod
    async def open(cls, server: ServerProcess, token: str, device: str, root: str = "") -> PlainLink:
        """Connect and log in. Raises ConnectionClosed with the server's reason."""
        host, port = server.gateway
        settings = DialSettings(
            addresses=(Address.parse(f"{host}:{port}"),), root_key=root or root_of(server)
        )
        dialer = Dialer(settings, device=device, rng=random.Random(0), clock=time.monotonic)
        owner = Owner()
        link = await dialer.connect(owner, token)
        welcome = await link.login(Credentials(token, device))
        return cls(link, welcome, owner)

    async def send(self, target: str, client_id: str, text: str, **options: Any) -> Answer:
        payload = encode([client_id, 0, {"text": text}, options or None, None])
        return await self.link.request(FrameType.SEND, target, payload)

    async def call(self, method: str, **args: Any) -> tuple[int, Any]:
        """(code, decoded result or error)."""
        answer = await self.link.request(FrameType.CALL, method, encode(args))
        return answer.code, decode(answer.payload)

    def room_texts(self, room: str) -> list[str]:
        """What was said in a room and came here."""
        bodies = [payload for kind, payload in self.events if kind == EventKind.ROOM_MESSAGES]
        said = [message for payload in bodies for message in parse_room_messages(payload)]
        return [message.text for message in said if message.conversation == f"r/{room}"]

    def notices(self, name: str) -> list[dict[str, Any]]:
        """The data of the notices of this name."""
        told = (decode(payload) for kind, payload in self.events if kind == EventKind.NOTICE)
        return [data for each, data in told if each == name]

    def close(self) -> None:
        self.link.close()


class Owner:
    """Keeps what the server says unasked."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.events: list[tuple[int, bytes]] = []

    def on_message(self, message: Message) -> None:
        self.messages.append(message)

    def on_event(self, kind: int, payload: bytes) -> None:
        self.events.append((kind, payload))

    def on_policy(self, policy: dict[str, Any]) -> None: ...

    def on_ticket(self, link: object, ticket: object) -> None: ...
