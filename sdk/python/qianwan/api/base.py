"""What every group of calls stands on."""

from __future__ import annotations

from typing import Any, Protocol


class Caller(Protocol):
    """A client, as far as calls need it."""

    async def call(
        self, method: str, args: dict[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any: ...


def given(**fields: Any) -> dict[str, Any]:
    """The arguments that were given: None means "not said"."""
    return {name: value for name, value in fields.items() if value is not None}
