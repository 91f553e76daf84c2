"""Cursors as text, and what becomes of one: the life of the store it was made in, what has expired since.

u8 version | 8 bytes of the incarnation | varints: message, event, and how much of what expired behind them
its reader was told of already (message, event); base64url without padding.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

from im_service.outbox.ports import Cursor, CursorForeign, CursorGone, CursorInvalid
from im_service.storage.event_records import EventState, Place

VERSION = 1
_LIFE = 8
_MOST = 1 << 62
NOTHING = Place(0, 0)


class Spot(NamedTuple):
    """A cursor taken apart."""

    life: bytes  # the first bytes of the incarnation; zeroes: a store that never had one
    place: Place
    told: Place = NOTHING
    """Rows up to here that expired are known to be lost."""

    def text(self) -> Cursor:
        told = (max(0, self.told[0] - self.place[0]), max(0, self.told[1] - self.place[1]))
        numbers = b"".join(_varint(number) for number in (*self.place, *told))
        return urlsafe_b64encode(bytes([VERSION]) + self.life + numbers).rstrip(b"=").decode()

    def at(self, place: Place) -> Spot:
        return self._replace(place=place)


def parse(text: Cursor) -> Spot:
    """CursorInvalid."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        numbers = _numbers(raw[1 + _LIFE :])
    except ValueError:
        raise CursorInvalid("not a cursor of this service") from None
    if raw[:1] != bytes([VERSION]) or len(numbers) != 4 or len(text) > 64:
        raise CursorInvalid("not a cursor of this service")
    place = Place(numbers[0], numbers[1])
    return Spot(raw[1 : 1 + _LIFE], place, Place(place.message + numbers[2], place.event + numbers[3]))


def present(state: EventState) -> bytes:
    """The life that cursors are made in now."""
    return state.lives[-1].id[:_LIFE] if state.lives else bytes(_LIFE)


def judged(spot: Spot, state: EventState) -> Spot:
    """The same place in the present life of the store. CursorGone, with where to go on."""
    life = present(state)
    if spot.life != life:
        spot = _moved_over(spot, state, life)
    if spot.place.message > state.ends.message or spot.place.event > state.ends.event:
        raise CursorForeign(
            "the store has not given these numbers: it was put back", _first(state, life).text()
        )
    lost = Place(*(
        gone if gone > max(place, told) else 0
        for gone, place, told in zip(state.gone, spot.place, spot.told, strict=True)
    ))  # fmt: skip
    if any(lost):
        told = Place(*map(max, spot.told, lost))
        raise CursorGone("events behind this cursor have expired", spot._replace(told=told).text())
    return spot


def _moved_over(spot: Spot, state: EventState, life: bytes) -> Spot:
    """Good in a later life up to where each of them took over."""
    at = [number for number, each in enumerate(state.lives) if each.id[:_LIFE] == spot.life]
    if not at and any(spot.life):
        raise CursorForeign(
            "the store was put back from a copy that does not know it", _first(state, life).text()
        )
    later = state.lives[at[-1] + 1 :] if at else state.lives
    limit = Place(*(min(numbers) for numbers in zip(*(each.took_over for each in later), strict=True)))
    there = spot._replace(life=life)
    if spot.place.message > limit.message or spot.place.event > limit.event:
        place = Place(*map(min, spot.place, limit))
        raise CursorForeign("the store was put back from a copy", there.at(place).text())
    return there


def _first(state: EventState, life: bytes) -> Spot:
    return Spot(life, NOTHING, state.gone)


def oldest(state: EventState) -> Spot:
    """Before everything that is left."""
    return _first(state, present(state))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _numbers(raw: bytes) -> list[int]:
    """ValueError where the last one does not end, or one is above what a number can be."""
    numbers, value, shift = [], 0, 0
    for byte in raw:
        value |= (byte & 127) << shift
        shift += 7
        if value > _MOST:
            raise ValueError("too large")
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    if shift:
        raise ValueError("cut off")
    return numbers
