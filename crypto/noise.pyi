from typing import NamedTuple, Self, final

from crypto.handshake import Channel as Channel
from crypto.handshake import HandshakeState as HandshakeState
from crypto.handshake import generate_keypair as generate_keypair
from crypto.handshake import public_key as public_key

LAYOUT: str

class Response(NamedTuple):
    payload: bytes
    message: bytes
    channel: Channel

@final
class Initiator:
    @property
    def suite(self) -> int: ...
    @property
    def message(self) -> bytes: ...
    def __new__(
        cls, suite: int, prologue: bytes, rs_pub: bytes, payload: bytes = b"", e_priv: bytes | None = None
    ) -> Self: ...
    @property
    def wiped(self) -> bool: ...
    def finish(self, message: bytes) -> tuple[bytes, Channel]: ...

def respond(
    suite: int,
    prologue: bytes,
    s_priv: bytes,
    message: bytes,
    payload: bytes = b"",
    e_priv: bytes | None = None,
) -> Response: ...
