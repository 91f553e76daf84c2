"""Errors of the crypto floor. The type says whose fault it is."""

from __future__ import annotations


class CryptoError(Exception):
    """Base of all errors of this package."""


class UnsupportedSuite(CryptoError, ValueError):
    """The suite is unknown, or this CPU has no instructions for it."""


class AuthenticationFailed(CryptoError):
    """The peer's bytes are not authentic: wrong key, wrong nonce, or changed on the way."""


class NonceExhausted(CryptoError):
    """The counter of a key has reached its end; going on would reuse a nonce."""


class HandshakeFailed(CryptoError):
    """The peer's handshake message is malformed, not authentic, or holds a low-order public key."""


class HandshakeMisuse(CryptoError):
    """Our own call is out of turn: wrong direction, finished, or a key is missing."""


class KeySetError(CryptoError):
    """A signed key set is malformed, or its signature is not the root's."""


class CompressionFailed(CryptoError):
    """A compressed body is damaged, not a single frame, or exceeds a limit."""
