"""The check of an AUTH frame: token, device, and the binding that ties both to this very connection.

Binding (docs/PROTOCOL.md, AUTH): kind 1 HMAC-SHA256 under SHA-256(token), kind 2 an Ed25519 signature by the
key in the token's `cnf`; both over "qw1 auth" and the Noise handshake hash, so a recorded AUTH is worthless
elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from control.auth.tokens import ID, Claims, TokenRefused, TokenVerifier, verified
from frame.constants import AUTH_CONTEXT, AuthKind, CloseCode

CONTEXT = AUTH_CONTEXT.encode()
REVOKED_TEXT = "token revoked"


class LoginRefused(Exception):
    """`code` and `text` go to the client (the same text for every kind of bad credential); `reason` to the
    log.
    """

    def __init__(self, code: int, text: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.text = text
        self.reason = reason


def check_login(
    verifier: TokenVerifier,
    now: float,
    handshake_hash: bytes,
    kind: int,
    token: str,
    binding: bytes,
    device: str,
    revoked: Callable[[str, str], int] = lambda user, device: 0,
) -> Claims:
    """Claims of a client that may log in on this connection. `revoked(user, device)`: tokens that name no
    revocation, or one before that, are over. Raises LoginRefused (a CloseCode).
    """
    try:
        claims = verifier.verify(token, now)
    except TokenRefused as refusal:
        if refusal.expired:
            raise LoginRefused(CloseCode.TOKEN_EXPIRED, "token expired", refusal.reason) from None
        if refusal.early:
            raise LoginRefused(CloseCode.AUTH_UNAVAILABLE, "not valid yet", refusal.reason) from None
        raise _failed(refusal.reason) from None
    if not ID.fullmatch(device):
        raise _failed("device id")
    if claims.device is not None and claims.device != device:
        raise _failed("token is for another device")
    if kind == AuthKind.BEARER:
        if claims.confirm is not None:
            raise _failed("a key-bound token was used as a bearer token")
        if not hmac.compare_digest(bearer_binding(token, handshake_hash), binding):
            raise _failed("binding")
    elif kind == AuthKind.KEY_BOUND:
        if claims.confirm is None:
            raise _failed("kind 2 needs a token with cnf")
        if not verified(claims.confirm, binding, CONTEXT + handshake_hash):
            raise _failed("key binding")
    else:
        raise _failed("unknown kind")
    if claims.revocation < revoked(claims.user, device):
        raise LoginRefused(CloseCode.TOKEN_EXPIRED, REVOKED_TEXT, REVOKED_TEXT)
    return claims


def bearer_binding(token: str, handshake_hash: bytes) -> bytes:
    """The 32-byte binding of kind 1."""
    return hmac.digest(hashlib.sha256(token.encode()).digest(), CONTEXT + handshake_hash, "sha256")


def _failed(reason: str) -> LoginRefused:
    return LoginRefused(CloseCode.AUTH_FAILED, "authentication failed", reason)
