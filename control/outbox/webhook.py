"""Events by HTTP: one POST a batch, signed (Standard Webhooks)."""

from __future__ import annotations

import email.utils
from collections.abc import Callable, Sequence

from control.outbox.endpoints import Format
from control.outbox.sink import Outcome, Verdict, batch_id, body_of
from control.outgoing.client import Answer, OutgoingClient
from control.outgoing.errors import OutgoingError
from control.outgoing.signing import Signer
from im_service.outbox.ports import Event
from im_service.ports import Clock

BUDGET_S = 15.0
"""Of a request, as Standard Webhooks has it. Beyond: it failed, and comes again."""
ANSWER_BYTES = 64 << 10
"""Nothing in an answer is needed. Beyond: it failed."""
LONGEST_AFTER_MS = 86_400_000
"""That Retry-After may ask for."""
OF_THE_EVENTS = frozenset({400, 409, 413, 422, 500})
"""What is said of these events. Every other refusal is of the endpoint: its way, its rights, its load."""
GONE = 410


class Webhook:
    """Implements Sink. `signer` is asked for every request: secrets are changed under way."""

    def __init__(
        self,
        client: OutgoingClient,
        clock: Clock,
        url: str,
        signer: Callable[[], Signer],
        form: Format,
        budget_s: float = BUDGET_S,
    ) -> None:
        self._client = client
        self._clock = clock
        self._url = url
        self._signer = signer
        self._form = form
        self._budget_s = budget_s

    async def send(self, batch: Sequence[Event], again: str) -> Outcome:
        body, kind = body_of(batch, self._form)
        try:
            signature = self._signer().headers(batch_id(batch), self._clock.now_ms() // 1000, body)
        except ValueError as error:
            return Outcome(Verdict.FAILED, f"secret: {error}", request=body)
        headers = {"Content-Type": kind, **signature} | ({"Qianwan-Replay": "true"} if again else {})
        try:
            answer = await self._client.post(
                self._url, headers, body, budget_s=self._budget_s, answer_bytes=ANSWER_BYTES
            )
        except OutgoingError as error:
            verdict = Verdict.ABANDONED if error.kind == "closed" else Verdict.FAILED
            return Outcome(verdict, f"{error.kind}: {error}", request=body)
        return self._judged(answer, body)

    async def close(self) -> None:
        """The client is everybody's."""

    def _judged(self, answer: Answer, body: bytes) -> Outcome:
        status = answer.status
        if answer.good:
            verdict = Verdict.DELIVERED
        elif status == GONE:
            verdict = Verdict.GONE
        else:
            verdict = Verdict.REFUSED if status in OF_THE_EVENTS else Verdict.FAILED
        after = _after_ms(answer.headers.get("retry-after", ""), self._clock.now_ms())
        reason = "" if answer.good else f"status: answered {status}"
        return Outcome(verdict, reason, status, after, body, answer.body)


def _after_ms(text: str, now_ms: int) -> int:
    """Retry-After: seconds, or a moment (RFC 9110 section 10.2.3). 0 for anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * 1000, LONGEST_AFTER_MS)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp() * 1000
    except (ValueError, OverflowError):
        return 0
    return max(0, min(int(moment) - now_ms, LONGEST_AFTER_MS))
