"""A server of the application that pushes through other vendors, and what it is sent: signed JSON.

POST with the three headers of Standard Webhooks; `webhook-id` is the same when a push is sent again. Answers:
2xx it has it; 410 the token is over; 429 and 5xx it is asked again (Retry-After in seconds); any other 4xx it
is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from control.outgoing.client import OutgoingClient
from control.outgoing.errors import OutgoingError
from control.outgoing.signing import Signer
from control.push.contents import about, push_id, sized
from control.push.vendor import Outcome, by_status, lost
from im_service.ports import Clock
from im_service.push.ports import Push

LIMIT = 4096
"""Bytes of a request: what those vendors take (Huawei and Xiaomi 4096) without what is for the relay."""
ANSWER_BYTES = 4096


class Relay:
    """All vendors that have no adapter here."""

    def __init__(
        self,
        client: OutgoingClient,
        url: str,
        signer: Signer,
        names: Sequence[str],
        clock: Clock,
        *,
        budget_s: float,
        keep_s: int,
    ) -> None:
        self.names = tuple(names)
        self._client = client
        self._url = url
        self._signer = signer
        self._clock = clock
        self._budget_s = budget_s
        self._keep_s = keep_s

    def takes(self, app: str) -> bool:
        return True

    async def send(self, push: Push) -> Outcome:
        body = sized(lambda text, whole: self._content(push, text, whole), push, LIMIT)
        if body is None:
            return Outcome("refused", f"no request of {LIMIT} bytes can say that")
        body = body[:-1] + b"," + _to(push)
        signed = self._signer.headers(push_id(push), self._clock.now_ms() // 1000, body)
        headers = {"content-type": "application/json", **signed}
        try:
            answer = await self._client.post(
                self._url, headers, body, budget_s=self._budget_s, answer_bytes=ANSWER_BYTES
            )
        except OutgoingError as error:
            return lost(error)
        if answer.status == 410:
            return Outcome("gone", "410")
        return by_status(answer, str(answer.status))

    def _content(self, push: Push, text: str, with_payload: bool) -> dict[str, object]:
        until = push.expires_ms or self._clock.now_ms() + self._keep_s * 1000
        return {
            "title": push.title,
            "text": text,
            "badge": push.badge,
            "collapse": push.collapse,
            "silent": push.recalls,
            "expires_ms": until,
            "qianwan": about(push, with_payload),
        }


def _to(push: Push) -> bytes:
    """The rest of the JSON object: where it goes."""
    to = push.to
    where = {"vendor": to.vendor, "app": to.app, "token": to.token, "user": to.user, "device": to.device}
    return msgspec.json.encode({"to": where})[1:]
