"""From (session, target) to everything a send needs, resolved once and kept with the session."""

from __future__ import annotations

from frame.constants import GROUP_PREFIX, ROOM_PREFIX, USER_PREFIX
from im_service import ids
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.live.directory import AccountState
from im_service.live.route import Route
from im_service.live.users import SessionState

MAX_ROUTES = 5000
"""Targets remembered per session; above it the session starts again."""


class RouteResolver:
    """Resolves targets: `u/<user>`, `g/<group>`, `r/<room>`."""

    def __init__(self, context: ServiceContext) -> None:
        self._directory = context.directory
        self._sessions = context.sessions
        self._rooms = context.rooms

    async def resolve(self, state: SessionState, target: str, back: bool = False) -> Route:
        """The route of a session, remembered there unless the room does not exist. `back`: for a word about
        what came from there, and be it from the server. Raises 414 for a bad target, 803."""
        found = state.routes.get(target)
        if found is not None:
            return found
        sender = state.session.user
        account = state.account = await self._directory.accounts.get(sender)
        own = back and ids.reserved(target[2:])
        route = await (self._made if own else self.make)(sender, target, account)
        if own or (route.room is not None and route.room.record is None):
            return route
        if len(state.routes) >= MAX_ROUTES:
            self._sessions.rates.keep(state.routes.values())
            state.routes.clear()
        state.routes[target] = route
        return route

    async def make(self, sender: str, target: str, account: AccountState | None) -> Route:
        """A route that is not remembered; account None = the server speaks as `sender`. 414: nobody is called
        as the server calls itself."""
        if ids.reserved(target[2:]):
            raise ImError(
                Code.INVALID, f"ids that begin with {ids.RESERVED} are the server's: they take nothing"
            )
        return await self._made(sender, target, account)

    async def _made(self, sender: str, target: str, account: AccountState | None) -> Route:
        kind, name = target[:2], target[2:]
        if ids.ID.match(name) is None:
            raise ImError(Code.INVALID, "a target is u/<user>, g/<group> or r/<room>")
        if kind == USER_PREFIX:
            return await self._single(sender, name, account)
        if kind == GROUP_PREFIX:
            return await self._group(sender, name, account)
        if kind == ROOM_PREFIX:
            room = await self._rooms.get(name)
            route = Route(ids.ROOM, target, target, sender, account, room.bucket)
            route.room = room
            return route
        raise ImError(Code.INVALID, "a target is u/<user>, g/<group> or r/<room>")

    async def _single(self, sender: str, name: str, account: AccountState | None) -> Route:
        if name == sender:
            raise ImError(Code.INVALID, "a message needs somebody else to go to")
        pair = await self._directory.pairs.get((name, sender))
        route = Route(ids.SINGLE, ids.single(sender, name), USER_PREFIX + name, sender, account, pair.bucket)
        route.pair = pair
        route.mine = self._sessions.user(sender)
        route.theirs = self._sessions.user(name)
        route.their_account = await self._directory.accounts.get(name)
        return route

    async def _group(self, sender: str, name: str, account: AccountState | None) -> Route:
        group = await self._directory.groups.get(name)
        if group.record is None:
            raise ImError(Code.GROUP_NOT_FOUND)
        route = Route(ids.GROUP, GROUP_PREFIX + name, GROUP_PREFIX + name, sender, account, group.bucket)
        route.group = group
        route.member = await self._directory.members.get((name, sender))
        route.mine = self._sessions.user(sender)
        return route
