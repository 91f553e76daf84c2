"""The values a store packs itself: the target list of a message, by account number; the row of what is held.

u8 flags (1 inclusive, 2 later joiners see, 4 speaks about another seq) | with flag 4: u64 that seq
| n x u64 little-endian account number, ascending
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from frame.constants import SINGLE_PREFIX
from im_service.storage.records import Hold, ReviewKind


class TargetIds(NamedTuple):
    ids: frozenset[int]
    inclusive: bool
    new_joiners_see: bool
    about: int  # seq the rules apply to instead of the row's own; 0 = its own

    def shows_to(self, usr: int, join_seq: int, seq: int, lowest: int = 0) -> bool:
        """Is this reader meant, who came after `join_seq` messages and has nothing below `lowest`?

        The sender is not asked about.
        """
        if self.about:
            if lowest > self.about:
                return False
            seq = self.about
        if join_seq >= seq:
            return self.new_joiners_see
        return (usr in self.ids) == self.inclusive


def pack_target(ids: Iterable[int], inclusive: bool, new_joiners_see: bool, about: int = 0) -> bytes:
    ordered = sorted(set(ids))
    flags = inclusive | new_joiners_see << 1 | bool(about) << 2
    numbers = [about, *ordered] if about else ordered
    return struct.pack(f"<B{len(numbers)}Q", flags, *numbers)


def unpack_target(packed: bytes) -> TargetIds:
    numbers = struct.unpack_from(f"<{(len(packed) - 1) // 8}Q", packed, 1)
    flags = packed[0]
    about, ids = (numbers[0], numbers[1:]) if flags & 4 else (0, numbers)
    return TargetIds(frozenset(ids), bool(flags & 1), bool(flags & 2), about)


HELD_COLUMNS = "kind, bits, rule, time_ms, until_ms, lapse"


def held_row(hold: Hold, time_ms: int) -> tuple[int, int, str, int, int, int]:
    """Of a message that waits for its verdict, behind its conv and seq."""
    return int(ReviewKind.HELD), hold.bits, hold.rule, time_ms, hold.until_ms, int(hold.lapse)


def people_of(conversation: str) -> list[str]:
    """The two users of a single chat `s/<a>:<b>`; empty for other kinds."""
    if not conversation.startswith(SINGLE_PREFIX):
        return []
    a, _, b = conversation[2:].partition(":")
    return [a, b] if a != b else [a]
