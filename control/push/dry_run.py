"""A vendor that tells the log what it would push, and counts it."""

from __future__ import annotations

from collections.abc import Sequence

from control.logs import get_logger
from control.push.apns import payload
from control.push.vendor import SENT, Outcome
from im_service.push.ports import Push

log = get_logger("push")


class DryRun:
    """In the place of every vendor there may be: for trying things out. What is said is in the log."""

    def __init__(self, names: Sequence[str] = ("dry-run",)) -> None:
        self.names = tuple(names)

    def takes(self, app: str) -> bool:
        return True

    async def send(self, push: Push) -> Outcome:
        body = payload(push)
        log.info(
            "would push",
            vendor=push.to.vendor,
            user=push.to.user,
            device=push.to.device,
            collapse=push.collapse,
            badge=push.badge,
            recalls=push.recalls,
            title=push.title,
            text=push.text,
            bytes=len(body or b""),
        )
        return SENT
