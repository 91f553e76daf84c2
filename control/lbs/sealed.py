"""A signed answer: bytes that anybody may hand on, and only the cluster's root can make.

    "QWLB" | u8 ver=1 | JSON text in UTF-8 | 64 Ed25519 signature over all bytes before it

The root signs nothing else that begins so: key sets begin with QWKS. The members of the JSON object stand in
docs/PROTOCOL.md, "Finding a gateway". Whoever asks can put nothing into it but the question itself, `for`,
which the client compares with its own.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from frame.constants import LBS_MAGIC, VERSION

HEAD = LBS_MAGIC.encode() + bytes((VERSION,))
SIGNATURE_SIZE = 64


class Question(Struct, frozen=True, omit_defaults=True):
    """What a client asked; members that it left out are missing."""

    user: str = ""
    device: str = ""
    transport: str = ""
    zone: str = ""
    isp: str = ""
    network: str = ""
    nonce: str = ""


class Gateway(Struct, frozen=True):
    """One address. `host` "": the host at which the LBS itself was reached."""

    host: str
    port: int
    transport: str
    node: str
    path: str | None = None


class Sealed(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed. Times in Unix seconds."""

    issued_at: int
    ttl_s: int
    keep_s: int
    asked: Question = msgspec.field(name="for")
    gateways: list[Gateway]
    key_set: str
    suites: list[int]


def seal(sign: Callable[[bytes], bytes], answer: Sealed) -> bytes:
    """`sign` gives the root's signature."""
    body = HEAD + msgspec.json.encode(answer)
    return body + sign(body)


def unseal(data: bytes, root: bytes) -> Sealed:
    """The answer, if the root with this public key signed exactly these bytes. Raises ValueError."""
    body, signature = data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]
    try:
        VerifyKey(root).verify(body, signature)
    except (BadSignatureError, ValueError):
        raise ValueError("not signed by this root") from None
    if not body.startswith(HEAD):
        raise ValueError("not an answer of an LBS")
    return msgspec.json.decode(body[len(HEAD) :], type=Sealed)
