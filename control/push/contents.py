"""What every vendor's message says to the application."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

from control.push.sizes import fitted
from im_service.push.ports import Push

SPACE = uuid.UUID("6f1c0f0a-5d0e-4c19-9a3e-2f8a51f3a8d7")
LEAST_TEXT = 64
"""Bytes of text that a payload leaves, or it is left out itself: the text is what people see."""


def push_id(push: Push) -> str:
    """Of one push to one device, the same whenever it is sent again."""
    to = push.to
    name = "\n".join((str(push.server_id), to.user, to.device, to.token, "recall" if push.recalls else ""))
    return str(uuid.uuid5(SPACE, name))


def about(push: Push, payload: bool) -> dict[str, object]:
    """For the application: which message it is, and what its sender sent along."""
    told: dict[str, object] = {
        "conversation": push.conversation,
        "server_id": str(push.server_id),
        "sender": push.sender,
    }
    if push.recalls:
        told["recalled"] = True
    if push.payload and payload:
        told["payload"] = json.loads(push.payload)
    elif push.payload:
        told["payload_left_out"] = True
    return told


def sized(make: Callable[[str, bool], object], push: Push, limit: int) -> bytes | None:
    """JSON of `make(text, with payload)` within the limit: with the payload if a readable part of the text is
    left beside it, else without."""
    if push.payload:
        head = push.text.encode()[:LEAST_TEXT].decode(errors="ignore")
        if fitted(lambda text: make(head + text, True), "", limit) is not None:
            return fitted(lambda text: make(text, True), push.text, limit)
    return fitted(lambda text: make(text, False), push.text, limit)
