"""The steps of an erasure, and how far one is."""

from typing import NamedTuple

STEPS = (
    "groups", "relations", "related", "requests", "push", "devices", "marks", "messages",
    "reactions", "reports", "receipts",
    "conversations", "rooms", "queues", "owned_rooms", "profile", "events",
    "groups", "relations", "related", "requests", "messages", "profile",
)  # fmt: skip
"""In this order. Those at the end look again: what was under way at the beginning is done by then."""


class Erasure(NamedTuple):
    """How far it is; done_ms 0: under way, and there is no receipt yet."""

    id: int
    user: str
    asked_ms: int
    done_ms: int
    step: int
    place: str
    counts: dict[str, int]
    receipt: bytes

    @property
    def next(self) -> str:
        """What is to be done; "" = to finish."""
        return STEPS[self.step] if self.step < len(STEPS) else ""
