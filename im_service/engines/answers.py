"""What engines answer."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from im_service.errors import MAX_REFUSAL_TEXT, UNDECODABLE
from im_service.sending.bodies import MAX_TEXT

Rule = Annotated[str, Meta(max_length=63, pattern=r"\A([^@\x00-\x1f][^\x00-\x1f]*)?\Z")]
"""What found it, in a word of the engine's: for counters, and for people who decide. They see it with an @
before it."""


class TextFinding(Struct, kw_only=True):
    """`text`: what the sender is told of a rejection. `texts`: in the place of those that were asked about,
    in their order. `hold_s`: until nobody decides any more; left out: as the settings say."""

    verdict: Literal["pass", "reject", "replace", "hold"]
    rule: Rule = ""
    text: Annotated[str, Meta(max_length=MAX_REFUSAL_TEXT)] = ""
    texts: list[Annotated[str, Meta(max_length=MAX_TEXT)]] | None = None
    hold_s: Annotated[int, Meta(ge=1, le=366 * 86_400)] | None = None


class MediaFinding(Struct, kw_only=True):
    """`later`: it comes by POST /v1/moderation/verdicts. `text`: what people see of a recall."""

    verdict: Literal["pass", "reject", "later"]
    rule: Rule = ""
    text: Annotated[str, Meta(max_length=128)] = ""


_decode_text = msgspec.json.Decoder(TextFinding).decode
_decode_media = msgspec.json.Decoder(MediaFinding).decode


def read_text(count: int, raw: bytes) -> TextFinding:
    """About so many texts. Raises ValueError for what is no answer."""
    try:
        found = _decode_text(raw)
    except (msgspec.MsgspecError, *UNDECODABLE) as error:
        raise ValueError(f"no answer: {error}") from None
    if found.verdict == "replace" and (found.texts is None or len(found.texts) != count):
        raise ValueError(f"replace has not the {count} texts that were asked about")
    return found


def read_media(raw: bytes) -> MediaFinding:
    """Raises ValueError for what is no answer."""
    try:
        return _decode_media(raw)
    except (msgspec.MsgspecError, *UNDECODABLE) as error:
        raise ValueError(f"no answer: {error}") from None
