"""What an app's services are built on: the ports it is given, and what its services share.

Whatever belongs to one app is an object handed to its services, never a module's global: two apps in one
process are two contexts over two stores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from im_service.engines.ports import MediaPort
from im_service.ids import ServerIds
from im_service.live.directory import Directory
from im_service.live.memberships import Memberships
from im_service.live.room import RoomTable
from im_service.live.sessions import Sessions
from im_service.notices import Announcer
from im_service.outbox.telling import Teller
from im_service.ports import Clock, Downlink, NoPeers, PeersPort, Presence, SystemClock
from im_service.push.ports import PushPort
from im_service.sending.hooks import CallHook, Hook, Moderator
from im_service.settings import ImSettings
from im_service.spread import Spread
from im_service.storage.store import Store


@dataclass(frozen=True, slots=True)
class Ports:
    """What an app's service is given from outside. All but the downlink may be left out.

    `presence` None means that every session of every user logs in at this process, so its own table
    answers who is online and publications to absent users are saved.
    """

    downlink: Downlink
    clock: Clock = field(default_factory=SystemClock)
    peers: PeersPort = field(default_factory=NoPeers)
    presence: Presence | None = None
    push: PushPort | None = None
    moderation: Moderator | None = None
    text_engine: Hook | None = None
    media_engine: MediaPort | None = None
    callback: Hook | None = None
    call_callback: CallHook | None = None
    latest_session: Callable[[], int] = lambda: 0
    """At least as high as each session id that was given in the cluster, as far as is known."""
    node: int = 0
    """Number of this im process, 0-1023: part of server ids."""
    heir: Callable[[int], bool] = lambda node: False
    """Whether the im process of this number lives no more, and this one finishes what it left."""

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Those that judge a message before it is stored, in their order."""
        return tuple(hook for hook in (self.moderation, self.text_engine, self.callback) if hook is not None)


class ServiceContext:
    """What the services of one app share: what was given, and what is remembered of the living."""

    __slots__ = (
        "announcer",
        "clock",
        "directory",
        "downlink",
        "ids",
        "latest_session",
        "memberships",
        "node",
        "peers",
        "presence",
        "rooms",
        "sees_all",
        "sessions",
        "settings",
        "spread",
        "store",
        "teller",
    )

    def __init__(self, store: Store, ports: Ports, settings: ImSettings) -> None:
        self.store = store
        self.settings = settings
        self.downlink = ports.downlink
        self.clock = ports.clock
        self.peers = ports.peers
        self.node = ports.node
        self.latest_session = ports.latest_session
        self.ids = ServerIds(ports.node)
        self.teller = Teller(settings.copy.record, self.ids, ports.clock)
        self.sessions = Sessions(ports.clock)
        self.directory = Directory(store)
        self.memberships = Memberships(self.sessions, self.directory, ports.downlink)
        self.rooms = RoomTable(store, settings, Random())
        self.presence: Presence = ports.presence or self.sessions
        self.sees_all = ports.presence is None
        """Every session of every user is known here."""
        online = self.sessions.here if self.sees_all else None
        self.spread = Spread(ports.downlink, ports.clock, settings.spread_rate, online)
        self.announcer = Announcer(ports.clock, self.ids, ports.downlink, self.spread)
