"""What a kind of event is made of. A class is a kind: its fields are the event's `data`, its docstring is
what docs/EVENTS.md and the schema say of it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from im_service.settings import Recorded

Ms = Annotated[int, Meta(description="unix time in milliseconds")]
UntilMs = Annotated[int, Meta(description="unix time in milliseconds; 0: no longer")]
Big = Annotated[str, Meta(pattern="^[0-9]+$", description="64 bits as text: JavaScript would round them")]
By = Annotated[str, Meta(description="who did it; `@system`: the application's server, or the service")]


class Change(Struct, kw_only=True):
    """Something that is not in the log. `RECORD`: what im.service.copy.record must name for it; None: it is
    always written."""

    KIND: ClassVar[str]
    RECORD: ClassVar[Recorded | None]
    SUBJECT: ClassVar[str] = "u/<user>"
