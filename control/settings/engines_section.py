"""[engines]: services outside that judge texts before, and media after, others have them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from control.settings.place_section import PlaceSection
from control.settings.sections import Section, unit

Kinds = Annotated[tuple[Literal["s", "g", "r"], ...], Meta(extra=unit("list of s, g, r"))]
Types = Annotated[tuple[Annotated[int, Meta(ge=0, le=255)], ...], Meta(extra=unit("list of message types"))]


class TextEngineSection(PlaceSection, frozen=True):
    budget_ms: Annotated[int, Meta(ge=50, le=5_000)] = 500
    """For one question, from the look-up of the name to the end of the answer: the sender waits so long.
    Beyond: there was no answer."""
    kinds: Kinds = ("s", "g", "r")
    """Single chats, groups, chatrooms whose texts are judged."""
    types: Types = ()
    """Of messages whose texts are judged. Empty: all in which there is a text."""
    fails: Literal["open", "closed", "hold"] = "open"
    """Where there is no answer. `open`: the message goes through. `closed`: it is refused with 503. `hold`:
    it waits for somebody to decide (docs/MODERATION.md)."""
    cache: Annotated[int, Meta(ge=0, le=1_000_000, extra=unit("findings"))] = 10_000
    """That are remembered: the same text of many is asked about once; 300 bytes each, and what the engine put
    in a text's place. 0: none. Beyond: the one asked for longest ago is forgotten."""
    cache_s: Annotated[int, Meta(ge=1, le=86_400)] = 600
    """How long a finding is remembered: an engine that has learnt something is asked again. Beyond: asked
    anew."""
    heed_off: bool = False
    """Whether `antispam: {"on": false}` of a sender is obeyed: only where nobody but your own app can
    send."""


class MediaEngineSection(PlaceSection, frozen=True):
    budget_ms: Annotated[int, Meta(ge=50, le=60_000)] = 10_000
    """For one question: nobody waits for it, the message is delivered already. Beyond: there was no
    answer."""
    kinds: Kinds = ("s", "g", "r")
    """Single chats, groups, chatrooms whose media are looked at."""
    types: Types = (1, 2, 3, 6)
    """Of messages that are looked at: image, audio, video, file."""
    queue: Annotated[int, Meta(ge=1, le=100_000, extra=unit("messages"))] = 5_000
    """Under way or waiting for another try, in memory, 2 kB each. Beyond: not looked at, and counted."""
    tries: Annotated[int, Meta(ge=1, le=20, extra=unit("questions of a message"))] = 6
    """Until a message is given up, where there is no answer. Beyond: it stays, and is counted."""
    retry_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1_000
    """Until the second try; twice that until the third, and so on, up to a minute. Beyond: tried again."""
    heed_off: bool = False
    """Whether `antispam: {"on": false}` of a sender is obeyed: only where nobody but your own app can
    send."""


class EnginesSection(Section, frozen=True):
    text: TextEngineSection = TextEngineSection()
    media: MediaEngineSection = MediaEngineSection()
