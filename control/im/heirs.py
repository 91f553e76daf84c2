"""Who finishes what a dead im process left (im_service/outbox/succession.py)."""

from __future__ import annotations

from collections.abc import Iterable

from control.rendezvous import choose


def is_heir(node: int, own: int, living: Iterable[int], readers: Iterable[int]) -> bool:
    """Whether this im process is the one of those that read the store; nobody is of one that lives."""
    return node not in living and choose(f"left/{node}", map(str, readers)) == str(own)
