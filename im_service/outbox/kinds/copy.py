"""Kinds that tell of the copy itself: its endpoints."""

from __future__ import annotations

from im_service.outbox.kinds.base import Change

ENDPOINT = "endpoint/<name>"


def subject_of(endpoint: str) -> str:
    return f"endpoint/{endpoint}"


class EndpointTest(Change, kw_only=True):
    """Given to an endpoint because somebody asked for it; it is in no log."""

    KIND = "endpoint.test"
    RECORD = None
    SUBJECT = ENDPOINT


class CopyGap(Change, kw_only=True):
    """Given to an endpoint in the place of events that expired before it had them; it is in no log."""

    KIND = "copy.gap"
    RECORD = None
    SUBJECT = ENDPOINT
    reason: str


KINDS: tuple[type[Change], ...] = (EndpointTest, CopyGap)
