"""`Idempotency-Key`: the same key with the same body gets the first answer again
(draft-ietf-httpapi-idempotency-key).

Kept in memory, bounded by entries and age: it makes retries of one app server safe. What must be idempotent
for good (messages) is so by `client_id` in the store.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response

from control.api.errors import Problem

HEADER = "Idempotency-Key"
KEY = re.compile(r"[!-~]{1,255}")


@dataclass
class _Entry:
    digest: bytes
    at: float
    status: int = 0
    body: bytes = b""
    media_type: str | None = None


class IdempotencyCache:
    """Answers by (API key, method, path, Idempotency-Key). `ttl_s` and `entries` bound it, oldest first."""

    def __init__(self, ttl_s: int, entries: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._max = entries
        self._clock = clock
        self._entries: OrderedDict[tuple[str, ...], _Entry] = OrderedDict()

    def begin(self, key: tuple[str, ...], digest: bytes) -> Response | None:
        """None: go on and `finish` or `abandon`. A response: the first answer again.

        Raises Problem 422 when the key was used with another body, 409 while the first request still runs.
        """
        now = self._clock()
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if now - oldest.at < self._ttl_s:
                break
            self._entries.popitem(last=False)
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(digest, now)
            if len(self._entries) > self._max:
                self._entries.popitem(last=False)
            return None
        if entry.digest != digest:
            raise Problem(422, "idempotency-mismatch", f"this {HEADER} was used with another request")
        if entry.status == 0:
            raise Problem(409, "idempotency-in-progress", "the first request with this key still runs")
        return Response(
            entry.body, entry.status, {"Idempotent-Replayed": "true"}, media_type=entry.media_type
        )

    def finish(self, key: tuple[str, ...], response: Response) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.status = response.status_code
            entry.body = bytes(response.body)
            entry.media_type = response.headers.get("content-type")

    def abandon(self, key: tuple[str, ...]) -> None:
        """The request failed without a lasting effect: it may be tried again under the same key."""
        self._entries.pop(key, None)


async def replayable(
    cache: IdempotencyCache, request: Request, owner: str, handle: Callable[[], Awaitable[Response]]
) -> Response:
    """Run `handle` once per Idempotency-Key; without the header, simply run it."""
    name = request.headers.get(HEADER)
    if name is None:
        return await handle()
    if not KEY.fullmatch(name):
        raise Problem(422, "invalid", f"{HEADER} must match {KEY.pattern}")
    key = (owner, request.method, request.url.path, name)
    digest = hashlib.blake2b(await request.body(), digest_size=16).digest()
    known = cache.begin(key, digest)
    if known is not None:
        return known
    try:
        response = await handle()
    except BaseException:
        cache.abandon(key)
        raise
    if response.status_code >= 500 or response.status_code == 429:
        cache.abandon(key)
    else:
        cache.finish(key, response)
    return response
