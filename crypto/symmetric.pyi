from typing_extensions import Buffer

HAS_SHA_NI: bool
LAYOUT: str

def sha256_digest(data: Buffer, portable: bool = False) -> bytes: ...
def hkdf(ck: bytes, ikm: bytes) -> tuple[bytes, bytes, bytes]: ...
