from typing import Final

from typing_extensions import Buffer

from frame.models import ProxyHeader

LAYOUT: Final[str]

def parse(data: Buffer) -> tuple[int, ProxyHeader | None]: ...
