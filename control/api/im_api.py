"""The message service as the HTTP API sees it: named operations with plain arguments, here or behind the
bus.
"""

from __future__ import annotations

from typing import Any, Protocol


class ImApi(Protocol):
    """Arguments and results are what msgpack can carry. Refusals are raised as im_service.errors.ImError."""

    async def call(self, operation: str, **arguments: Any) -> Any: ...
