"""Who is online anywhere, as an im process knows it: the routing table, which every gateway keeps up to
date, and what the other im processes say of the devices of those they serve.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from control.bus.base import Bus
from control.im.api import Absent, ask
from control.logs import get_logger
from control.rendezvous import choose
from control.request_keys import user_key
from control.routing.base import Routes
from frame.constants import USER_PREFIX
from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.ports import LiveDevices

log = get_logger("presence")

LIVE: Final = "presence.live"
"""What im processes ask each other: the devices of sessions there. No method of the message service."""
TIMEOUT_S = 2.0


class LiveArgs(Args):
    users: list[str]


def live_devices(arguments: Args | msgspec.Raw, here: Callable[[str], LiveDevices]) -> dict[str, LiveDevices]:
    """The answer to LIVE, without those who have none."""
    try:
        users = msgspec.msgpack.decode(msgspec.msgpack.encode(arguments), type=LiveArgs).users
    except msgspec.MsgspecError:
        raise ImError(Code.MALFORMED) from None
    return {user: found for user in users if (found := here(user))}


class RoutePresence:
    """Implements im_service.ports.Presence. A user is online while some live gateway has the topic u/<user>,
    unless all of their sessions wait for their clients: `away` says so.

    `here` answers with the devices of sessions that logged in through this im process. A user's logins all go
    to one im process (rendezvous hash over `ims()`), which is asked; what is here of those whom another one
    serves is from before it came, and says something only where that one says nothing.
    """

    def __init__(
        self,
        routes: Routes,
        here: Callable[[str], LiveDevices],
        bus: Bus,
        own: int,
        ims: Callable[[], Sequence[int]],
        away: Callable[[str], bool] = lambda user: False,
    ) -> None:
        self._routes = routes
        self._here = here
        self._bus = bus
        self._own = own
        self._ims = ims
        self._away = away

    def online(self, user: str) -> bool:
        return bool(self._routes.gateways(USER_PREFIX + user)) and not self._away(user)

    async def devices(self, users: Sequence[str]) -> Mapping[str, LiveDevices]:
        found: dict[str, LiveDevices] = {}
        elsewhere: dict[int, list[str]] = {}
        ims = [str(im_id) for im_id in self._ims()]
        for user in users:
            home = int(choose(user_key(user), ims) or self._own)
            if home == self._own:
                found[user] = self._here(user)
            else:
                elsewhere.setdefault(home, []).append(user)
        await asyncio.gather(*(self._ask(home, asked, found) for home, asked in elsewhere.items()))
        return found

    async def _ask(self, home: int, users: list[str], found: dict[str, LiveDevices]) -> None:
        try:
            answer = await ask(self._bus, home, LIVE, LiveArgs(users=users), timeout_s=TIMEOUT_S)
            told = msgspec.convert(answer, dict[str, LiveDevices])
            found.update({user: told.get(user) or self._here(user) for user in users})
        except (Absent, ImError, msgspec.ValidationError) as error:
            log.warning("another im process does not say who is there", peer_id=home, reason=repr(error))
            found.update({user: here for user in users if (here := self._here(user))})
