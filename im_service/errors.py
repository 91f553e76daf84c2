"""Request codes and the one exception services raise.

Codes travel in SEND_ACK and RETURN frames (docs/PROTOCOL.md, "request codes"). A refused request answers
`[text]` or `[text, detail]` as msgpack; the connection goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from frame.constants import RequestCode

Code = RequestCode

TEXTS: Mapping[Code, str] = {
    Code.OK: "ok",
    Code.MALFORMED: "the payload does not decode",
    Code.FORBIDDEN: "not allowed",
    Code.NOT_FOUND: "not found",
    Code.CONFLICT: "conflicts with the present state",
    Code.INVALID: "a parameter is out of its bounds",
    Code.RATE_LIMITED: "too many requests",
    Code.DUPLICATE: "this client_id was used for another message",
    Code.ACCOUNT_DISABLED: "the account is disabled",
    Code.MUTED: "muted",
    Code.INTERNAL: "internal error",
    Code.UNAVAILABLE: "not available now",
    Code.TIMEOUT: "took too long",
    Code.RECALL_WINDOW: "the recall window has passed",
    Code.GROUP_FULL: "the group is full",
    Code.NOT_GROUP_MEMBER: "not a member of the group",
    Code.GROUP_NOT_FOUND: "no such group",
    Code.BLACKLISTED: "the receiver does not take messages from you",
    Code.NOT_IN_ROOM: "not in the room",
    Code.ROOM_NOT_FOUND: "no such room",
    Code.ROOM_BLACKLISTED: "blacklisted in the room",
    Code.ROOM_MUTED: "muted in the room",
    Code.ROOM_MUTED_ALL: "the room is muted",
}


UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bytes that are no message: broken msgpack, broken UTF-8, nesting without end."""


Detail = dict[str, int | str]
"""What a program reads of a refusal, for example {"retry_after_ms": 500}."""


MAX_REFUSAL_TEXT = 500
"""Characters: a text may repeat what the caller wrote."""


class ImError(Exception):
    """A request that is refused, with the code the peer sees.

    `text` is for people, `detail` for programs.
    """

    def __init__(self, code: Code, text: str | None = None, detail: Detail | None = None) -> None:
        self.code = code
        self.text = text[:MAX_REFUSAL_TEXT] if text is not None else TEXTS[code]
        self.detail = detail
        super().__init__(f"{int(code)} {self.text}")

    def payload(self) -> bytes:
        """The msgpack body of the refusal: `[text]` or `[text, detail]`."""
        return refusal(self.text, self.detail)


def refusal(text: str, detail: Detail | None = None) -> bytes:
    """Encode the payload that goes with a code other than 0."""
    return msgspec.msgpack.encode([text] if detail is None else [text, detail])


REFUSALS: Mapping[int, bytes] = {int(code): refusal(text) for code, text in TEXTS.items()}


def rate_limited(retry_after_ms: int, what: str) -> ImError:
    """416 with the wait in milliseconds; `what` names the limit that was hit."""
    return ImError(
        Code.RATE_LIMITED,
        f"too many requests: {what}",
        {"retry_after_ms": max(1, retry_after_ms), "limit": what},
    )
