from typing import Final

from typing_extensions import Buffer

LAYOUT: Final[str]

def parse(data: Buffer, min_len: int = 17, max_len: int = 65535) -> tuple[int, bytes | None]: ...
def build(sealed: bytes) -> bytes: ...
