"""Which kinds a reader asks for: whole ones or families, of the table that there is."""

from __future__ import annotations

from collections.abc import Iterable

from im_service.outbox.kinds.catalogue import KINDS

FAMILIES = frozenset(f"{kind.partition('.')[0]}.*" for kind in KINDS)


def wanted_kinds(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text one of them, or several separated by commas; each once. ValueError for what no event is of: a
    filter that nothing ever passes would look like silence."""
    found = dict.fromkeys(kind.strip() for text in texts for kind in text.split(","))
    for kind in found:
        if kind not in KINDS and kind not in FAMILIES:
            raise ValueError(_unknown(kind))
    return tuple(found)


def _unknown(kind: str) -> str:
    from difflib import get_close_matches

    if kind in ("", "*"):
        return f"{kind!r} is no kind of event: whoever names none has them all"
    near = get_close_matches(kind, (*KINDS, *sorted(FAMILIES)), 1, 0.5)
    return f"{kind[:64]!r} is no kind of event" + (f", did you mean {near[0]}?" if near else "")
