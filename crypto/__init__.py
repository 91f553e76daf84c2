"""Bytes <-> sealed bytes: libsodium, Noise handshakes, transport ciphers, tickets, compressed bodies.

No clock, no sockets, no threads, no files.
"""

from __future__ import annotations

from cmodules import same_build
from crypto import aead, handshake, noise, openssl, sodium, symmetric, ticket, x25519, zstd

same_build(sodium, openssl, zstd, aead, symmetric, x25519, handshake, noise, ticket)
