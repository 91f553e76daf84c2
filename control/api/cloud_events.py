"""Pages of the durable copy as CloudEvents 1.0, in JSON batches: where a page ends stands in headers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from fastapi.responses import Response

from control.api.forms import OtherForm
from control.outbox.sink import CLOUD_EVENTS as MEDIA
from control.outbox.sink import body_of
from im_service.event_calls import EventLines
from im_service.outbox.ports import Event

NEXT, MORE = "Qianwan-Next", "Qianwan-More"
_decode = msgspec.msgpack.Decoder(EventLines).decode


def _page(result: object, headers: Mapping[str, str]) -> Response:
    page = _decode(msgspec.msgpack.encode(result))
    events = [Event(*msgspec.structs.astuple(line)) for line in page.events]
    body, media = body_of(events, "cloudevents")
    told = {**headers, NEXT: page.next, MORE: str(page.more).lower()}
    return Response(body, headers=told, media_type=media)


CLOUD_EVENTS = OtherForm(
    "format",
    "cloudevents",
    MEDIA,
    {"type": "array", "items": {"type": "object"}},
    (NEXT, MORE),
    _page,
)
