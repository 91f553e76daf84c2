"""One connection of the SDK without its outbox: a request is sent once, its answer handed out as it is."""

from __future__ import annotations

import random
import time
from typing import Any

from qianwan.connection.dial import Dialer, DialSettings
from qianwan.connection.link import Link
from qianwan.constants import FrameType
from qianwan.models import Message
from qianwan.protocol.auth import Credentials, Welcome
from qianwan.protocol.messages import Answer, decode, encode
from qianwan.transport import Address

from tests.support.chat_world import root_of
from tests.support.server_process import ServerProcess


class PlainLink:
    """`open` first. `messages` are the MSG frames as they came; nothing is repeated, pulled or reordered."""

    def __init__(self, link: Link, welcome: Welcome, messages: list[Message]) -> None:
        self.link = link
        self.welcome = welcome
        self.messages = messages

    @classmethod
    async def open(cls, server: ServerProcess, token: str, device: str, root: str = "") -> PlainLink:
        """Connect and log in. Raises ConnectionClosed with the server's reason."""
        host, port = server.gateway
        settings = DialSettings(
            addresses=(Address.parse(f"{host}:{port}"),), root_key=root or root_of(server)
        )
        dialer = Dialer(settings, device=device, rng=random.Random(0), clock=time.monotonic)
        owner = _Owner()
        link = await dialer.connect(owner, token)
        welcome = await link.login(Credentials(token, device))
        return cls(link, welcome, owner.messages)

    async def send(self, target: str, client_id: str, text: str) -> Answer:
        payload = encode([client_id, 0, {"text": text}, None, None])
        return await self.link.request(FrameType.SEND, target, payload)

    async def call(self, method: str, **args: Any) -> tuple[int, Any]:
        """(code, decoded result or error)."""
        answer = await self.link.request(FrameType.CALL, method, encode(args))
        return answer.code, decode(answer.payload)

    def close(self) -> None:
        self.link.close()


class _Owner:
    """Keeps what the server says unasked."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def on_message(self, message: Message) -> None:
        self.messages.append(message)

    def on_event(self, kind: int, payload: bytes) -> None: ...

    def on_policy(self, policy: dict[str, Any]) -> None: ...
