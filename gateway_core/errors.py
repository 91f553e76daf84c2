"""What the core raises."""

from __future__ import annotations


class GatewayError(Exception):
    """Base of the core's errors."""


class MailboxFull(GatewayError):
    """A loop did not take commands within `mailbox_wait_ms`; the command was not given to that loop.

    `missing`, of a publish: the loops that did not take it, as bits. Who tries again gives it to those alone.
    """

    def __init__(self, text: str, missing: int | None = None) -> None:
        super().__init__(text)
        self.missing = missing


class NotRunning(GatewayError):
    """The gateway is not started, or stopped."""
