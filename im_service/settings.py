"""Every limit of the service in one place, as a setting, and the rate limiter.

Rates are GCRA: one float per bucket says when it is empty again. A bucket allows `burst` at once and
`per_s` in the long run; a breach answers 416 with the wait.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from im_service.rates import Rate

DAY_MS = 86_400_000


class Retention(Struct, frozen=True):
    """How long the views live, in milliseconds; 0 = for ever. Roaming also counts messages per
    conversation."""

    offline_ms: int = 7 * DAY_MS
    roam_ms: int = 7 * DAY_MS
    history_ms: int = 365 * DAY_MS
    roam_count: int = 100
    roam_conversations: int = 500


class LoginPolicy(NamedTuple):
    """Which sessions of one user may live side by side. `numbers`: 1 one device; 2 one desktop class and
    one mobile class; 3 all, at most `max_devices`; 4 the matrix `exclusive` (platform classes that
    exclude each other)."""

    number: int = 3
    max_devices: int = 10
    exclusive: frozenset[tuple[str, str]] = frozenset()


class ImSettings(Struct, kw_only=True, frozen=True):
    """ImSettings of the IM service. All have working defaults."""

    node: int = 0  # number of this im process, 0-1023: part of server ids
    account_rate: Rate = Rate(500, 2000)  # sends of one account, all its devices
    device_rate: Rate = Rate(500, 2000)  # sends of one device
    conversation_rate: Rate = Rate(1000, 5000)  # sends into one group or room, or from one user to another
    stranger_rate: Rate = Rate(0, 3)  # to somebody who is no friend; off by default
    call_rate: Rate = Rate(200, 1000)  # calls of one device
    friend_only: bool = False  # single messages between friends only
    blacklist_answer: int = 7101  # what a blacklisted sender is told; 0 = as if it were delivered
    retention: Retention = Retention()
    recall_window_ms: int = 120_000
    recall_window_max_ms: int = 7 * DAY_MS  # the most the setting above, and one-sided recall, may be
    edit_window_ms: int = DAY_MS
    edit_versions: int = 100
    group_members: int = 200  # default limit of a new group
    group_members_max: int = 5000
    groups_per_user: int = 500
    receipt_members: int = 500  # larger groups keep no receipts
    receipt_report: int = 50
    receipt_flush_ms: int = 1000  # receipt counts go to the sender at most this often per message
    friends_max: int = 3000
    login_policy: LoginPolicy = LoginPolicy()
    rooms_per_connection: int = 20
    room_autocreate: bool = True  # joining an unknown room makes it
    room_ring: int = 50  # most messages a room's entry ring may keep
    room_normal_rate: Rate = Rate(20, 200)  # normal messages a member gets of one room; more are dropped
    room_high_rate: Rate = Rate(10, 100)  # high priority ones; what is above competes as normal
    room_notice_members: int = 200  # in and out notices are off above this many people online
    room_queue: int = 1000
    room_attributes_bytes: int = 4096
    presence_per_call: int = 100
    presence_subscriptions: int = 3000
    presence_min_ms: int = 60_000
    presence_max_ms: int = 30 * DAY_MS
    routes: int = 200_000  # remembered (sender, target) pairs
    reply_bytes: int = 48 * 1024  # most a reply carries
    expire_every_ms: int = 60_000
    expire_rows: int = 500  # rows removed in one step
