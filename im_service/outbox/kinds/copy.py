"""Kinds that tell of the copy itself: its endpoints."""

from __future__ import annotations

from im_service.outbox.kinds.base import Change, Ms

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


class EndpointState(Change, kw_only=True):
    """It is `active`, `paused`, or `disabled` by the service, which says why. Of changes that follow each
    other at once the last may be told alone."""

    KIND = "endpoint.state"
    RECORD = None
    SUBJECT = ENDPOINT
    endpoint: str
    state: str
    why: str
    since_ms: Ms


class EndpointLetters(Change, kw_only=True):
    """It has a dead letter, and had none before: this event was given up."""

    KIND = "endpoint.letters"
    RECORD = None
    SUBJECT = ENDPOINT
    endpoint: str
    event_id: str
    kind: str
    reason: str


KINDS: tuple[type[Change], ...] = (EndpointTest, EndpointState, EndpointLetters, CopyGap)
