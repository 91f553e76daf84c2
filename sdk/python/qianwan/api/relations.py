"""Who people are to each other: `me.relations`, `me.profiles`, `me.presence`, `me.devices`."""

from __future__ import annotations

from typing import Any

from qianwan.api.base import Caller, given


class Relations:
    """Friends, blacklist, mute list."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def add_friend(self, user: str) -> bool:
        """Without asking, where the service allows it; False when we are friends already."""
        return bool((await self._call("friend.add", {"user": user}))["changed"])

    async def request_friend(self, user: str, text: str = "") -> int:
        """The id of the request; 0 when we are friends already."""
        return int((await self._call("friend.request", {"user": user, "text": text}))["id"])

    async def decide(self, request: int, accept: bool) -> None:
        await self._call("friend.decide", {"id": request, "accept": accept})

    async def requests(self, *, after: int = 0, limit: int = 50) -> list[dict[str, Any]]:
        return list((await self._call("friend.requests", {"after": after, "limit": limit}))["requests"])

    async def remove_friend(self, user: str) -> bool:
        return bool((await self._call("friend.remove", {"user": user}))["changed"])

    async def alias(self, user: str, alias: str | None = None, ext: str | None = None) -> None:
        """What I call a friend."""
        await self._call("friend.alias", given(user=user, alias=alias, ext=ext))

    async def blacklist(self, user: str, on: bool = True) -> None:
        await self._call("relation.black", {"user": user, "on": on})

    async def mute(self, user: str, on: bool = True) -> None:
        await self._call("relation.mute", {"user": user, "on": on})

    async def changed(self, cursor: int = 0, limit: int = 200) -> dict[str, Any]:
        """{"relations": changed since the cursor, "cursor", "more"}."""
        page: dict[str, Any] = await self._call("relations", {"cursor": cursor, "limit": limit})
        return page


class Profiles:
    """Hosted profiles: nick, icon, sign, gender, birth, ext."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def set(self, **fields: Any) -> dict[str, Any]:
        mine: dict[str, Any] = await self._call("profile.set", given(**fields))
        return mine

    async def get(self, users: list[str]) -> list[dict[str, Any]]:
        return list((await self._call("profile.get", {"users": users}))["profiles"])


class Presence:
    """Who is online; changes arrive as notices named "presence"."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def subscribe(self, users: list[str], seconds: int = 3600) -> list[dict[str, Any]]:
        """A snapshot of these users now; changes follow for so many seconds."""
        args = {"users": users, "seconds": seconds}
        return list((await self._call("presence.subscribe", args))["states"])

    async def unsubscribe(self, users: list[str]) -> None:
        await self._call("presence.unsubscribe", {"users": users})


class Devices:
    """My devices."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def all(self) -> list[dict[str, Any]]:
        return list((await self._call("devices"))["devices"])

    async def kick(self, devices: list[str], *, reason: int = 0, ext: str = "") -> list[str]:
        """Log other devices of mine out; which there were."""
        args = {"devices": devices, "reason": reason, "ext": ext}
        return list((await self._call("kick", args))["kicked"])
