"""Bytes <-> sealed bytes: libsodium's function table, Noise handshakes, transport ciphers, keys. No I/O but key files."""
