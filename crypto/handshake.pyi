from typing import NamedTuple, Self, final

from crypto.aead import Cipher

LAYOUT: str
PATTERN_NUMBERS: dict[str, int]

class Channel(NamedTuple):
    rx: Cipher
    tx: Cipher
    handshake_hash: bytes

@final
class HandshakeState:
    @property
    def suite(self) -> int: ...
    def __new__(
        cls,
        pattern: str,
        suite: int,
        initiator: bool,
        prologue: bytes = b"",
        *,
        s: bytes | None = None,
        rs: bytes | None = None,
        e: bytes | None = None,
        psk: bytes | None = None,
    ) -> Self: ...
    @property
    def wiped(self) -> bool: ...
    @property
    def complete(self) -> bool: ...
    def write_message(self, payload: bytes = b"") -> bytes: ...
    def read_message(self, message: bytes) -> bytes: ...
    def split(self) -> Channel: ...

def public_key(private: bytes) -> bytes: ...
def generate_keypair() -> tuple[bytes, bytes]: ...
