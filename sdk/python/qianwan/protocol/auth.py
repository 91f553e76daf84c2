"""The AUTH frame: the token, bound to this one handshake so that nobody can forward it (docs/PROTOCOL.md,
"Login").
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from typing import NamedTuple

import msgspec
import nacl.bindings

from qianwan import constants as c
from qianwan.errors import ProtocolError, SettingError
from qianwan.protocol import varint

LABEL = c.AUTH_CONTEXT.encode()
DEVICE_ID = re.compile(rf"[A-Za-z0-9_.@-]{{1,{c.NAME_MAX}}}")


class Credentials(NamedTuple):
    """What a device logs in with. `signing_key` is the 32-byte Ed25519 seed of a key-bound token, else
    None.
    """

    token: str
    device_id: str
    platform: int = 0
    signing_key: bytes | None = None


def check_token(token: object) -> bytes:
    """A token as the bytes of AUTH. Raises SettingError for what is none."""
    if not isinstance(token, str) or not token or not token.isascii():
        raise SettingError(f"a token is ASCII text, not {type(token).__name__}")
    if len(token) > c.TOKEN_MAX:
        raise SettingError(f"a token has at most {c.TOKEN_MAX} characters, this one has {len(token)}")
    return token.encode()


def check_device(device: str) -> None:
    """Raises SettingError for a device id that a server would close the connection for."""
    if not DEVICE_ID.fullmatch(device):
        raise SettingError(
            f"a device id has 1 to {c.NAME_MAX} characters out of A-Z a-z 0-9 _ . @ -, not {device!r}"
        )


def binding(token: bytes, handshake_hash: bytes, signing_key: bytes | None) -> tuple[int, bytes]:
    """(kind, proof): an HMAC under the token's hash, or an Ed25519 signature by the key the token names."""
    if signing_key is None:
        return c.AuthKind.BEARER, hmac.digest(sha256(token).digest(), LABEL + handshake_hash, "sha256")
    _, secret = nacl.bindings.crypto_sign_seed_keypair(signing_key)
    signed: bytes = nacl.bindings.crypto_sign(LABEL + handshake_hash, secret)
    return c.AuthKind.KEY_BOUND, signed[:64]


def auth_body(
    credentials: Credentials, handshake_hash: bytes, extras: dict[str, object] | None = None
) -> bytes:
    """The body of AUTH."""
    token = check_token(credentials.token)
    kind, proof = binding(token, handshake_hash, credentials.signing_key)
    return pack(kind, token, proof, credentials.device_id, credentials.platform, extras)


def pack(
    kind: int,
    token: bytes,
    proof: bytes,
    device_id: str,
    platform: int,
    extras: dict[str, object] | None = None,
) -> bytes:
    device = device_id.encode()
    packed = msgspec.msgpack.encode(extras) if extras else b""
    return b"".join(
        (
            bytes((kind,)),
            varint.put(len(token)),
            token,
            varint.put(len(proof)),
            proof,
            varint.put(len(device)),
            device,
            bytes((platform,)),
            varint.put(len(packed)),
            packed,
        )
    )


class Welcome(msgspec.Struct, array_like=True, frozen=True):
    """AUTH_OK: the session as the server sees it; fields appended later are ignored. `incarnation` names the
    store that the numbers of conversations belong to, None when the server does not say."""

    session_id: bytes
    user: str
    server_time_ms: int
    policy_rev: int
    ping_interval_s: int
    node: str
    incarnation: bytes | None = None


_welcome = msgspec.msgpack.Decoder(Welcome)


def parse_welcome(body: bytes) -> Welcome:
    try:
        return _welcome.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError("AUTH_OK cannot be read") from error
