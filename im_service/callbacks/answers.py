"""What the application's server answers."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from im_service.errors import MAX_REFUSAL_TEXT, UNDECODABLE, Code, ImError
from im_service.sending.bodies import check_body
from im_service.sending.hooks import hook_detail

REFUSED = "refused by the application"
MAX_EXT = 4096


class Answer(Struct, kw_only=True):
    """`code`: the application's own, for the client's program; `text` for people. `replace` puts `body`,
    `ext` or both in the place of what was sent."""

    verdict: Literal["allow", "refuse", "replace"]
    code: Annotated[int, Meta(ge=0, le=1 << 31)] = 0
    text: Annotated[str, Meta(max_length=MAX_REFUSAL_TEXT)] = ""
    body: Raw | UnsetType = UNSET
    ext: Annotated[str, Meta(max_length=MAX_EXT)] | UnsetType = UNSET


_decode = msgspec.json.Decoder(Answer).decode


def read_answer(raw: bytes) -> Answer:
    """Raises ValueError for what is none."""
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, *UNDECODABLE) as error:
        raise ValueError(f"no answer: {error}") from None


def read_decision(raw: bytes) -> Answer:
    """An answer about something that has no body."""
    found = read_answer(raw)
    if found.verdict == "replace":
        raise ValueError("there is nothing to replace")
    return found


class MessageAnswer(NamedTuple):
    """An answer about a message, and the body in its place as msgpack."""

    answer: Answer
    body: bytes | None = None

    @property
    def verdict(self) -> str:
        return self.answer.verdict


def read_for(type: int, room: bool, raw: bytes) -> MessageAnswer:
    """An answer about a message of this type, and the body in its place, checked as the sender's was."""
    found = read_answer(raw)
    if found.verdict != "replace":
        return MessageAnswer(found)
    if found.body is UNSET:
        if found.ext is UNSET:
            raise ValueError("replace names neither body nor ext")
        return MessageAnswer(found)
    try:
        body = msgspec.msgpack.encode(msgspec.json.decode(found.body))
        check_body(type, body, room, server=True)
    except (ImError, msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"the body in its place: {error}") from None
    return MessageAnswer(found, body)


def refused(answer: Answer) -> ImError:
    return ImError(Code.FORBIDDEN, answer.text or REFUSED, hook_detail(answer.code))
