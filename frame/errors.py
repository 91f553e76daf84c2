"""What can be wrong with bytes: the Python faces raise these, the C functions return codes.pxd's codes."""

from __future__ import annotations

from typing import Final

NEED_MORE: Final = 0
MALFORMED: Final = -1
TOO_BIG: Final = -2


class FrameError(ValueError):
    """Bytes that cannot be taken as they are."""


class NeedMore(FrameError):
    """The bytes end too early; a longer input may be valid."""


class Malformed(FrameError):
    """No continuation makes these bytes valid: the peer's fault."""


class TooBig(FrameError):
    """A declared length is above its limit: the peer's fault."""


def checked(result: int, what: str) -> int:
    """Return a parser's result when it is a count, else raise NeedMore, Malformed or TooBig naming `what`."""
    if result > 0:
        return result
    kind = {NEED_MORE: NeedMore, MALFORMED: Malformed, TOO_BIG: TooBig}[result]
    raise kind(what)
