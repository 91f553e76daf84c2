"""GENERATED from frame/spec/protocol.toml by tools/generate.py. Do not edit."""

# Cipher suites and their sizes in bytes
cdef enum:
    SUITE_CHACHAPOLY = 1  # transport ChaCha20-Poly1305; nonce 4 zero bytes, u64 little-endian n
    SUITE_AESGCM = 2  # transport AES-256-GCM; nonce 4 zero bytes, u64 big-endian n
    # transport AEGIS-128L under the first 16 key bytes; nonce 8 zero bytes, u64 little-endian n
    SUITE_AEGIS128L = 3
    TAG_CHACHAPOLY = 16  # tag bytes
    KEY_CHACHAPOLY = 32  # key bytes
    NONCE_CHACHAPOLY = 12  # nonce bytes
    TAG_AESGCM = 16  # tag bytes
    KEY_AESGCM = 32  # key bytes
    NONCE_AESGCM = 12  # nonce bytes
    TAG_AEGIS128L = 32  # tag bytes
    KEY_AEGIS128L = 16  # key bytes
    NONCE_AEGIS128L = 16  # nonce bytes
    TAG_MAX = 32  # the largest tag of any suite
