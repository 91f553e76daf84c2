"""Who is online anywhere, as an im process knows it: the routing table, which every gateway keeps up to
date.
"""

from __future__ import annotations

from collections.abc import Callable

from control.routing.base import Routes
from frame.constants import USER_PREFIX


class RoutePresence:
    """Implements im_service.ports.Presence. A user is online while some live gateway has the topic u/<user>.

    `local` answers with the devices of sessions that logged in through this im process. A user's logins all
    go to one im process (rendezvous hash), so that is all of them unless the set of im processes changed
    meanwhile.
    """

    def __init__(self, routes: Routes, local: Callable[[str], list[tuple[str, int]]]) -> None:
        self._routes = routes
        self._local = local

    def online(self, user: str) -> bool:
        return bool(self._routes.gateways(USER_PREFIX + user))

    def devices(self, user: str) -> list[tuple[str, int]]:
        return self._local(user)
