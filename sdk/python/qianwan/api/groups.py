"""Groups: `me.groups`."""

from __future__ import annotations

from typing import Any, Literal

from qianwan.api.base import Caller, Page, given, page

Join = Literal["free", "approval", "closed"]
Who = Literal["managers", "all"]


class Groups:
    """One method per call; an information map has the group's id under "group"."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def create(
        self,
        name: str,
        *,
        group: str | None = None,
        members: list[str] | None = None,
        limit: int | None = None,
        intro: str | None = None,
        join: Join | None = None,
        invite: Who | None = None,
        agree: bool | None = None,
        update: Who | None = None,
    ) -> dict[str, Any]:
        """Make a group that I own; its information, and which of the members were "invited" or "refused"."""
        args = given(
            name=name,
            group=group,
            members=members,
            limit=limit,
            intro=intro,
            join=join,
            invite=invite,
            agree=agree,
            update=update,
        )
        made: dict[str, Any] = await self._call("group.create", args)
        return made

    async def info(self, group: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("group.info", {"group": group})
        return found

    async def mine(self, *, after: str = "", limit: int = 100) -> Page[dict[str, Any]]:
        """The groups I am in, behind the group `after`."""
        found = await self._call("group.mine", {"after": after, "limit": limit})
        return page(found, "groups", last=lambda row: row["group"], limit=limit)

    async def update(self, group: str, **fields: Any) -> dict[str, Any]:
        """Change name, intro, announcement, icon, ext, join, invite, agree, update, history or limit."""
        changed: dict[str, Any] = await self._call("group.update", {"group": group, **given(**fields)})
        return changed

    async def members(self, group: str, *, after: str = "", limit: int = 100) -> Page[dict[str, Any]]:
        """Members (user, role, nick, muted_until_ms, joined_ms) behind the user `after`."""
        args = {"group": group, "after": after, "limit": limit}
        found = await self._call("group.members", args)
        return page(found, "members", last=lambda row: row["user"], limit=limit)

    async def invite(self, group: str, users: list[str], text: str = "") -> dict[str, list[str]]:
        """{"added": at once, "invited": asked first, "refused": who takes no invitation}."""
        args = {"group": group, "users": users, "text": text}
        return dict(await self._call("group.invite", args))

    async def join(self, group: str, text: str = "") -> bool:
        """True when I am in; False when my request waits for a decision."""
        return bool((await self._call("group.join", {"group": group, "text": text}))["joined"])

    async def requests(self, group: str = "", *, after: int = 0, limit: int = 50) -> Page[dict[str, Any]]:
        """Requests and invitations that wait, behind the id `after`: of a group I manage, or my own."""
        args = {"group": group, "after": after, "limit": limit}
        found = await self._call("group.requests", args)
        return page(found, "requests", next="after", last=lambda row: row["id"], limit=limit)

    async def decide(self, group: str, request: int, accept: bool) -> None:
        await self._call("group.decide", {"group": group, "id": request, "accept": accept})

    async def leave(self, group: str) -> None:
        await self._call("group.leave", {"group": group})

    async def kick(self, group: str, users: list[str], text: str = "") -> list[str]:
        """Who was removed."""
        args = {"group": group, "users": users, "text": text}
        return list((await self._call("group.kick", args))["removed"])

    async def transfer(self, group: str, user: str, *, leave: bool = False) -> None:
        """Make another member the owner."""
        await self._call("group.transfer", {"group": group, "user": user, "leave": leave})

    async def role(self, group: str, users: list[str], role: Literal["manager", "member"]) -> None:
        await self._call("group.role", {"group": group, "users": users, "role": role})

    async def nick(self, group: str, nick: str, user: str = "") -> None:
        """My name in the group, or another member's."""
        await self._call("group.nick", {"group": group, "nick": nick, "user": user})

    async def mute(self, group: str, user: str, seconds: int = -1) -> int:
        """Silence a member (-1 for good, 0 lifts it); until when, in Unix milliseconds."""
        args = {"group": group, "user": user, "seconds": seconds}
        return int((await self._call("group.mute", args))["until_ms"])

    async def mute_all(self, group: str, on: bool = True) -> None:
        await self._call("group.mute_all", {"group": group, "on": on})

    async def dismiss(self, group: str) -> None:
        await self._call("group.dismiss", {"group": group})
