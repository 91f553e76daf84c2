"""`Idempotency-Key`: the same key with the same body gets the first answer again
(draft-ietf-httpapi-idempotency-key).

Keys and answers are kept by the store (control/im/replays.py), so they hold for every control process and
after a restart. Who comes first gets a ticket, does the request and files its answer under it. A ticket whose
holder dies is over after LEASE_S: then the request may be done again, for nobody knows whether it was.

Answers hold what the store should not (tokens, API keys): they are sealed by the words of the key, of which
the store has a hash, and by the API key that asks, so that no short word opens them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from control.api.errors import Problem
from control.im import replays
from control.im.api import REQUEST_TIMEOUT_S, ImApi
from control.logs import get_logger
from control.settings.sections import LimitsSection
from im_service.errors import Code, ImError
from im_service.faults import meaning

log = get_logger("api")

HEADER = "Idempotency-Key"
KEY = re.compile(r"[!-~]{1,255}")
PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{KEY.pattern}$"},
}
"""The header in the OpenAPI document."""

LEASE_S = 6 * REQUEST_TIMEOUT_S
"""How long a request may run under its key; a request to the message service is given up long before."""


class Idempotency:
    """The keys of all requests. `im` None: no message service can be reached, and no key be kept."""

    def __init__(self, im: ImApi | None, limits: LimitsSection) -> None:
        self._im = im
        self._limits = limits

    async def begin(self, key: str, digest: bytes, box: SecretBox) -> int | Response:
        """A ticket: do the request, then `finish` or `drop`. A response: the first answer again.

        Problem 422 when the key was used with another body, 409 while the first request still runs, 503 when
        no store can be asked.
        """
        if self._im is None:
            raise Problem(503, "unavailable", f"no store can keep an {HEADER}", {"Retry-After": "1"})
        try:
            known = await replays.begin(
                self._im, key, digest, int(LEASE_S * 1000), self._limits.idempotency_entries
            )
        except ImError as error:
            if error.code != Code.CONFLICT:
                raise
            text = f"this {HEADER} was used with another request"
            raise Problem(422, "idempotency-mismatch", text) from None
        if known.ticket:
            return known.ticket
        if not known.status:
            text = "the first request with this key still runs, or nobody knows how it ended"
            raise Problem(409, "idempotency-in-progress", text, {"Retry-After": "1"})
        if not known.body:
            text = "the first request was done; its answer was too large to be kept"
            raise Problem(409, "idempotency-answer-not-kept", text)
        try:
            body = box.decrypt(known.body)
        except CryptoError:
            text = "the first request was done; its answer was kept by an earlier version"
            raise Problem(409, "idempotency-answer-not-kept", text) from None
        return Response(body, known.status, {"Idempotent-Replayed": "true"}, media_type="application/json")

    async def finish(self, ticket: int, response: Response, box: SecretBox) -> None:
        """File the answer, without its body when it is too large."""
        body = bytes(box.encrypt(bytes(response.body)))
        if len(response.body) > self._limits.idempotency_answer_bytes:
            body = b""
        await self._tell(
            replays.finish, ticket, response.status_code, body, self._limits.idempotency_ttl_s * 1000
        )

    async def drop(self, ticket: int) -> None:
        """The request had no effect: it may be tried again under the same key."""
        await self._tell(replays.drop, ticket)

    async def _tell(self, what: Callable[..., Awaitable[None]], ticket: int, *words: object) -> None:
        """The request is over whatever comes of this: at worst its key waits for the end of the lease."""
        assert self._im is not None
        try:
            await what(self._im, ticket, *words)
        except ImError as error:
            log.warning("an idempotency key is left to its lease", error=error.text)


async def replayable(
    keys: Idempotency, request: Request, owner: str, handle: Callable[[], Awaitable[Response]]
) -> Response:
    """Run `handle` once per Idempotency-Key; without the header, simply run it.

    A refusal had no effect and frees the key. What else goes wrong (no answer in time, a fault) leaves it to
    the lease.
    """
    name = request.headers.get(HEADER)
    if name is None:
        return await handle()
    if not KEY.fullmatch(name):
        raise Problem(422, "invalid", f"{HEADER} must be {meaning(KEY.pattern)}")
    named = "\n".join((owner, request.method, request.url.path, name))
    key = hashlib.blake2b(named.encode(), digest_size=32).hexdigest()
    sealing = "\n".join((named, getattr(request.state, "api_key_text", "")))
    box = SecretBox(hashlib.blake2b(sealing.encode(), digest_size=32, person=b"answer").digest())
    begun = await keys.begin(key, hashlib.blake2b(await request.body(), digest_size=16).digest(), box)
    if isinstance(begun, Response):
        return begun
    try:
        response = await handle()
    except (ImError, Problem) as refusal:
        if not (isinstance(refusal, ImError) and refusal.code in (Code.TIMEOUT, Code.INTERNAL)):
            await keys.drop(begun)
        raise
    await keys.finish(begun, response, box)
    return response
