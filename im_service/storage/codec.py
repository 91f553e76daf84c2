"""The one value a store packs itself: the target list of a message, by account number.

u8 flags (1 inclusive, 2 later joiners see) | n x u64 little-endian account number, ascending
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple


class TargetIds(NamedTuple):
    ids: frozenset[int]
    inclusive: bool
    new_joiners_see: bool

    def shows_to(self, usr: int, join_seq: int, seq: int) -> bool:
        """Is this reader, who came after `join_seq` messages, meant? The sender is not asked about."""
        if join_seq >= seq:
            return self.new_joiners_see
        return (usr in self.ids) == self.inclusive


def pack_target(ids: Iterable[int], inclusive: bool, new_joiners_see: bool) -> bytes:
    ordered = sorted(set(ids))
    return struct.pack(f"<B{len(ordered)}Q", inclusive | new_joiners_see << 1, *ordered)


def unpack_target(packed: bytes) -> TargetIds:
    ids = struct.unpack_from(f"<{(len(packed) - 1) // 8}Q", packed, 1)
    return TargetIds(frozenset(ids), bool(packed[0] & 1), bool(packed[0] & 2))


def people_of(conversation: str) -> list[str]:
    """The two users of a single chat `s/<a>:<b>`; empty for other kinds."""
    if not conversation.startswith("s/"):
        return []
    a, _, b = conversation[2:].partition(":")
    return [a, b] if a != b else [a]
