"""Where a gateway listens: `host:port`, `tcp://host:port`, `ws://host:port/path` or `wss://...`."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from qianwan.constants import WS_PATH

DEFAULT_PORT = 7801


class Address(NamedTuple):
    """One way to a gateway; `transport` is "tcp", "ws" or "wss"."""

    transport: str
    host: str
    port: int
    path: str = WS_PATH

    @classmethod
    def parse(cls, text: str, transport: str = "tcp") -> Address:
        """Read an address; `transport` is meant where the text does not say one. Raises ValueError."""
        parts = urlsplit(text if "://" in text else f"{transport}://{text}")
        if parts.scheme not in ("tcp", "ws", "wss") or not parts.hostname:
            raise ValueError(f"not an address of a gateway: {text!r}")
        port = parts.port or (443 if parts.scheme == "wss" else DEFAULT_PORT)
        return cls(parts.scheme, parts.hostname, port, parts.path or WS_PATH)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.transport}://{self.authority}"
