"""What a sink is: it gives events to one endpoint, and says what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple, Protocol

import msgspec

from control.outbox.endpoints import Format
from im_service.outbox.kinds.catalogue import data_uri
from im_service.outbox.ports import Event

JSON, CLOUD_EVENTS = "application/json", "application/cloudevents-batch+json"
CLOUD_EVENT = "application/cloudevents+json"
SOURCE = "/qianwan"


class Verdict(Enum):
    DELIVERED = "delivered"
    REFUSED = "refused"
    """It works and takes these events not."""
    FAILED = "failed"
    """It does not work now."""
    GONE = "gone"
    """It wants no events ever again."""
    ABANDONED = "abandoned"
    """This process ends, nobody knows."""


class Outcome(NamedTuple):
    """`status` of HTTP, 0 where there was none. `after_ms`: it named a time to come again. `request` and
    `answer` for people to look at."""

    verdict: Verdict
    reason: str = ""
    status: int = 0
    after_ms: int = 0
    request: bytes = b""
    answer: bytes = b""


class Sink(Protocol):
    """Guarantees. Events of one subject are given in the order of the batch. DELIVERED: all of them are with
    the endpoint, durably as far as it says so. Anything else: some of them may be there. `send` ends within
    its budget and raises nothing; `close` ends what is under way."""

    async def send(self, batch: Sequence[Event], again: str) -> Outcome:
        """`again`: somebody asked for it, under this name; the endpoint may have had them. "": nobody."""
        ...

    async def close(self) -> None: ...


def shown(event: Event) -> dict[str, object]:
    """An event as it goes out."""
    found: dict[str, object] = {
        "event_id": event.event_id,
        "kind": event.kind,
        "time_ms": event.time_ms,
        "subject": event.subject,
        "data": event.data,
        "cursor": event.cursor,
    }
    return found if event.env is None else {**found, "env": event.env}


def cloud_event(event: Event) -> dict[str, object]:
    """CloudEvents 1.0 in JSON."""
    found: dict[str, object] = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": SOURCE,
        "type": event.kind,
        "time": datetime.fromtimestamp(event.time_ms / 1000, UTC),
        "subject": event.subject,
        "datacontenttype": JSON,
        "dataschema": data_uri(event.kind),
        "data": event.data,
    }
    extensions = {"qwcursor": event.cursor, "qwenv": event.env}
    return found | {name: value for name, value in extensions.items() if value}


def encoded(event: Event, form: Format) -> bytes:
    """One event alone."""
    return msgspec.json.encode(cloud_event(event) if form == "cloudevents" else shown(event))


def media_of(form: Format) -> str:
    """Of one event alone. CloudEvents go in structured mode: the message is all of the event."""
    return CLOUD_EVENT if form == "cloudevents" else JSON


def body_of(batch: Sequence[Event], form: Format) -> tuple[bytes, str]:
    """(body, media type) of a request with these events."""
    if form == "cloudevents":
        return msgspec.json.encode([cloud_event(event) for event in batch]), CLOUD_EVENTS
    return msgspec.json.encode({"events": [shown(event) for event in batch]}), JSON


def batch_id(batch: Sequence[Event]) -> str:
    """The same for the same events."""
    if len(batch) == 1:
        return batch[0].event_id
    digest = blake2b(digest_size=16)
    for event in batch:
        digest.update(event.event_id.encode() + b"\0")
    return f"batch_{digest.hexdigest()}"
