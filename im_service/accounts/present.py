"""Nothing is done with an account that is gone, nor in its name: what would be new of it would stay."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from im_service.calls import Args, Caller
from im_service.errors import Code, ImError
from im_service.live.directory import Directory

NAMING: Mapping[str, tuple[str, ...]] = {
    "account.mute": ("user",),
    "account.shadow": ("user",),
    "friend.add": ("user",),
    "friend.alias": ("user",),
    "friend.request": ("user",),
    "group.create": ("owner", "members"),
    "group.invite": ("users",),
    "group.transfer": ("user",),
    "relation.black": ("user",),
    "relation.mute": ("user",),
    "room.black": ("user",),
    "room.create": ("owner",),
    "room.mute": ("user",),
    "room.role": ("user",),
}
"""What calls name of people of whom something would be kept."""


class Present:
    """Asked before every call. A message is looked at by its admission."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def check(self, name: str, args: Args, caller: Caller) -> None:
        """404 for somebody who is gone; 422 where the server acts for one."""
        if caller.server and caller.user and await self._gone(caller.user):
            raise ImError(Code.ACCOUNT_DISABLED, f"the account of {caller.user} was deleted")
        for member in NAMING.get(name, ()):
            named = getattr(args, member)
            users = [user for user in ([named] if isinstance(named, str) else named) if user]
            gone = await asyncio.gather(*map(self._gone, users))  # which are read together
            if any(gone):
                raise ImError(Code.NOT_FOUND, f"no such user: {users[gone.index(True)]}")

    async def _gone(self, user: str) -> bool:
        return (await self._directory.accounts.get(user)).gone
