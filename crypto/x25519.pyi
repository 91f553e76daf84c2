from collections.abc import Sequence

IS_WIDE: bool
LAYOUT: str

def multiply(pairs: Sequence[tuple[bytes, bytes]], portable: bool = False) -> list[bytes]: ...
