"""What the core raises."""

from __future__ import annotations


class GatewayError(Exception):
    """Base of the core's errors."""


class MailboxFull(GatewayError):
    """A loop did not take commands within `mailbox_wait_ms`; the command was not given to that loop."""


class NotRunning(GatewayError):
    """The gateway is not started, or stopped."""
