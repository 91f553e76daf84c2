from typing import Final

from typing_extensions import Buffer

from frame.models import Upgrade

LAYOUT: Final[str]

def parse(data: Buffer, max_bytes: int = 4096, seen: int = 0) -> tuple[int, Upgrade | None]: ...
def build_response(key: bytes, has_qw1: bool) -> bytes: ...
def build_refusal(status: int) -> bytes: ...
