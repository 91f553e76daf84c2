"""Every error an application can see. Whose fault it is, and what to do about it, stands in the type.

The codes are those of docs/PROTOCOL.md ("Request codes", "Close codes"); a code without a class of its own
arrives as the plain RequestError with the number in `code`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from qianwan.constants import Reject, RequestCode


class QianwanError(Exception):
    """Base of all errors of this package."""


class ProtocolError(QianwanError):
    """The peer sent bytes that break the protocol, or are not from the server whose key is pinned."""


class SettingError(QianwanError, ValueError):
    """Something the client was given can never work: a device id, a token, a key, a suite."""


class TooBig(QianwanError, ValueError):
    """A message or the arguments of a call do not fit into a frame; nothing was sent."""


class KeySetError(QianwanError):
    """The server's key set is not signed by the pinned root, or holds no valid key."""


class CertificateError(QianwanError):
    """The certificate of a `wss` gateway or an `https` LBS is not believed."""


class ConnectFailed(QianwanError):
    """No gateway could be reached in the time allowed; the causes are in the message."""


class HandshakeRejected(QianwanError):
    """The gateway answered the handshake with REJECT."""

    def __init__(self, code: int, data: bytes) -> None:
        known = Reject(code).name.lower().replace("_", " ") if code in list(Reject) else "unknown reason"
        super().__init__(f"the gateway rejected the handshake: {known} ({code})")
        self.code = code
        self.data = data


class OutboxFull(QianwanError):
    """Too many messages wait for their acknowledgement; slow down, or raise `max_pending`."""


class ClientClosed(QianwanError):
    """The client was closed, by the application or for good by the server (see `__cause__`)."""


class Advice(enum.Enum):
    """What the range of a close code says about connecting again."""

    AT_ONCE = 1
    LATER = 2
    ELSEWHERE = 3
    NEVER = 4


class ConnectionClosed(QianwanError):
    """The connection ended. `code` is a close code, or 0 when the stream ended without one."""

    def __init__(self, code: int, text: str = "", *, retry_after_ms: int = 0) -> None:
        super().__init__(f"connection closed ({code or 'no code'}){': ' + text if text else ''}")
        self.code = code
        self.text = text
        self.retry_after_ms = retry_after_ms

    @property
    def advice(self) -> Advice:
        if self.code == 0 or 1000 <= self.code < 2000:
            return Advice.AT_ONCE
        if 3000 <= self.code < 4000:
            return Advice.ELSEWHERE
        if 4000 <= self.code < 5000:
            return Advice.NEVER
        return Advice.LATER


class RequestError(QianwanError):
    """The server refused a request. `code` is the request code, `detail` what it added (may be empty)."""

    CODE: ClassVar[int] = 0

    def __init__(self, code: int, text: str = "", detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{text or type(self).__name__} ({code})")
        self.code = code
        self.text = text
        self.detail: Mapping[str, Any] = detail or {}

    @property
    def retry_after_s(self) -> float:
        """Seconds the server asks to wait before trying again (0 when it does not say)."""
        value = self.detail.get("retry_after_ms", 0)
        told = isinstance(value, (int, float)) and math.isfinite(value) and value > 0
        return value / 1000 if told else 0.0

    @property
    def transient(self) -> bool:
        """Whether the same request may be answered otherwise in a while."""
        return self.code in (RateLimited.CODE, ServerError.CODE, Unavailable.CODE, RequestTimeout.CODE)


class MalformedRequest(RequestError):
    CODE = RequestCode.MALFORMED


class Forbidden(RequestError):
    CODE = RequestCode.FORBIDDEN


class NotFound(RequestError):
    CODE = RequestCode.NOT_FOUND


class Conflict(RequestError):
    CODE = RequestCode.CONFLICT


class InvalidParameters(RequestError):
    CODE = RequestCode.INVALID


class RateLimited(RequestError):
    CODE = RequestCode.RATE_LIMITED


class DuplicateMessage(RequestError):
    """The same client id was used before with another content."""

    CODE = RequestCode.DUPLICATE


class AccountDisabled(RequestError):
    CODE = RequestCode.ACCOUNT_DISABLED


class Muted(RequestError):
    CODE = RequestCode.MUTED


class ServerError(RequestError):
    CODE = RequestCode.INTERNAL


class Unavailable(RequestError):
    CODE = RequestCode.UNAVAILABLE


class RequestTimeout(RequestError):
    """No answer, or none to one of the tries: whether the request was carried out is unknown."""

    CODE = RequestCode.TIMEOUT


class RecallWindowPassed(RequestError):
    CODE = RequestCode.RECALL_WINDOW


class Blacklisted(RequestError):
    CODE = RequestCode.BLACKLISTED


class GroupFull(RequestError):
    CODE = RequestCode.GROUP_FULL


class NotGroupMember(RequestError):
    CODE = RequestCode.NOT_GROUP_MEMBER


class GroupNotFound(RequestError):
    CODE = RequestCode.GROUP_NOT_FOUND


class NotInRoom(RequestError):
    """Not entered, or put out by somebody (the text says by whom)."""

    CODE = RequestCode.NOT_IN_ROOM


class RoomNotFound(RequestError):
    CODE = RequestCode.ROOM_NOT_FOUND


class RoomBlacklisted(RequestError):
    CODE = RequestCode.ROOM_BLACKLISTED


class RoomMuted(RequestError):
    CODE = RequestCode.ROOM_MUTED


class RoomMutedAll(RequestError):
    CODE = RequestCode.ROOM_MUTED_ALL


BY_CODE: Mapping[int, type[RequestError]] = {kind.CODE: kind for kind in RequestError.__subclasses__()}


def request_error(code: int, text: str = "", detail: Mapping[str, Any] | None = None) -> RequestError:
    """The error object for a request code."""
    return BY_CODE.get(code, RequestError)(code, text, detail)
