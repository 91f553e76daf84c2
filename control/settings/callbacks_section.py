"""[callbacks]: what the application's server is asked before it happens."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from control.settings.place_section import PlaceSection
from control.settings.sections import LIVE

Rule = Annotated[Literal["off", "open", "closed"], Meta(extra=LIVE)]


class CallbacksSection(PlaceSection, frozen=True):
    budget_ms: Annotated[int, Meta(ge=50, le=5_000)] = 2_000
    """For one question, from the look-up of the name to the end of the answer: people wait so long. Beyond:
    there was no answer."""
    single: Rule = "open"
    """Single messages and their edits. `off`: not asked. `open`: asked, and where there is no answer the
    message goes through. `closed`: where there is no answer it is refused with 503."""
    group: Rule = "open"
    """Group messages and their edits; as `single`."""
    room: Rule = "open"
    """Chatroom messages; as `single`."""
    friend_request: Rule = "open"
    """Friend requests; as `single`."""
    group_create: Rule = "open"
    """Groups made by users; as `single`."""
    group_join: Rule = "open"
    """Users who join, apply or invite; as `single`."""
    room_enter: Rule = "open"
    """Users who enter a chatroom; as `single`."""
    login: Rule = "off"
    """Logins, by token or ticket, behind the check of the token. `open` and `closed` as `single`: refused
    with close code 4001, or 2004 where there was no answer. A session that is taken up again is no login."""
