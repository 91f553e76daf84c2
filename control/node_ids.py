"""How the processes of a cluster are numbered, and how one number names one life of a process."""

from __future__ import annotations

import secrets

NODE_BITS = 8
MAX_NODE_ID = (1 << NODE_BITS) - 1
ALONE = 1
"""The number of a process that needs none."""
COUNTER_BITS = 12
"""Of a login, behind its milliseconds: session ids (gateway/session_ids.py) count logins in these units."""
LOGINS_AHEAD = 30_000 << COUNTER_BITS
"""Half a minute of logins: what was told last of another life is older by less."""

Peer = tuple[int, int]
"""(node id, epoch): one life of a process. Epochs are drawn, so that no clock can make a process deaf; which
of two is the live one is known by hearing it (coordination/base.py)."""
EPOCH_BITS = 48


def new_epoch() -> int:
    """One that no process has had before."""
    return secrets.randbits(EPOCH_BITS) or 1


def node_key(node_id: int, epoch: int) -> int:
    """`Session.node`: it names one epoch of a gateway, so that an answer for a connection of a process that
    is gone can never reach a connection of its successor."""
    return epoch << NODE_BITS | node_id


def peer_of(key: int) -> Peer:
    """The node id and the epoch that `node_key` packed."""
    return key & MAX_NODE_ID, key >> NODE_BITS
