"""Who people are to each other: `me.relations`, `me.profiles`, `me.presence`, `me.devices`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal

from qianwan.api.base import Caller, Page, given, page
from qianwan.models import Notice

FriendConsent = Literal["free", "ask", "nobody", "default"]
GroupConsent = Literal["free", "friends", "ask", "nobody", "default"]


class Relations:
    """Friends, blacklist, mute list, and who may come near without asking."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def add_friend(self, user: str, text: str = "") -> bool:
        """True when we have become friends; False when we were, or when the user is asked first."""
        return bool((await self._call("friend.add", {"user": user, "text": text}))["changed"])

    async def consent(self) -> dict[str, str]:
        """{"friend", "group"}: who may make me a friend, or put me into a group, without asking me."""
        return dict(await self._call("consent.get"))

    async def set_consent(
        self, *, friends: FriendConsent | None = None, groups: GroupConsent | None = None
    ) -> dict[str, str]:
        """Change it; what is left out stays, "default" is what the service says."""
        return dict(await self._call("consent.set", given(friend=friends, group=groups)))

    async def request_friend(self, user: str, text: str = "") -> int:
        """The id of the request; 0 when we are friends already."""
        return int((await self._call("friend.request", {"user": user, "text": text}))["id"])

    async def decide(self, request: int, accept: bool) -> None:
        await self._call("friend.decide", {"id": request, "accept": accept})

    async def requests(self, *, after: int = 0, limit: int = 50) -> Page[dict[str, Any]]:
        """Friend requests that wait for me, behind the id `after`."""
        found = await self._call("friend.requests", {"after": after, "limit": limit})
        return page(found, "requests", last=lambda row: row["id"], limit=limit)

    async def remove_friend(self, user: str) -> bool:
        return bool((await self._call("friend.remove", {"user": user}))["changed"])

    async def alias(self, user: str, alias: str | None = None, ext: str | None = None) -> None:
        """What I call a friend."""
        await self._call("friend.alias", given(user=user, alias=alias, ext=ext))

    async def blacklist(self, user: str, on: bool = True) -> None:
        await self._call("relation.black", {"user": user, "on": on})

    async def mute(self, user: str, on: bool = True) -> None:
        await self._call("relation.mute", {"user": user, "on": on})

    async def changed(self, cursor: int = 0, limit: int = 200) -> Page[dict[str, Any]]:
        """What changed since the cursor; `next` is the cursor to keep."""
        args = {"cursor": cursor, "limit": limit}
        found = await self._call("relations", args)
        rows = list(found["relations"])
        while after := found.get("after"):  # cut among changes that belong together
            found = await self._call("relations", {**args, "cursor": found["cursor"], "after": after})
            rows += found["relations"]
        last: Page[object] = page(found, "relations", next="cursor", limit=limit)
        return Page(tuple(rows), last.more, last.next)


class Profiles:
    """Hosted profiles: nick, icon, sign, gender, birth, ext."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def set(self, **fields: Any) -> dict[str, Any]:
        mine: dict[str, Any] = await self._call("profile.set", given(**fields))
        return mine

    async def get(self, users: list[str]) -> Page[dict[str, Any]]:
        return page(await self._call("profile.get", {"users": users}), "profiles")


class Presence:
    """Who is online; changes arrive as notices named "presence". What was subscribed is subscribed again,
    for the time that is left, after every login: what changed meanwhile comes as such notices too.
    """

    def __init__(self, client: Caller) -> None:
        self._call = client.call
        self._until: dict[str, float] = {}  # user -> end, on the monotonic clock
        self._chunk = 1  # the most users the service took in one call

    async def subscribe(self, users: list[str], seconds: int = 3600) -> Page[dict[str, Any]]:
        """A snapshot of these users now; changes follow for so many seconds."""
        found = await self._call("presence.subscribe", {"users": users, "seconds": seconds})
        now = time.monotonic()
        self._until = {user: end for user, end in self._until.items() if end > now and user not in users}
        self._until.update(dict.fromkeys(users, now + seconds))
        self._chunk = max(self._chunk, len(users))
        return page(found, "states")

    async def unsubscribe(self, users: list[str]) -> None:
        for user in users:
            self._until.pop(user, None)
        await self._call("presence.unsubscribe", {"users": users})

    async def renew(self, notify: Callable[[Notice], None]) -> None:
        """Subscribe again what still runs, the oldest first, and tell how these users are now."""
        left = list(self._until.items())
        for at in range(0, len(left), self._chunk):
            now = time.monotonic()
            part = {user: end - now for user, end in left[at : at + self._chunk] if end > now}
            users = list(part)
            while users:
                args = {"users": users, "seconds": math.ceil(max(part.values()))}
                found = await self._call("presence.subscribe", args)
                for state in found["states"]:
                    notify(Notice("presence", state))
                users = list(found.get("rest", ()))


class Devices:
    """My devices."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def all(self, *, after: str = "") -> Page[dict[str, Any]]:
        """My devices, behind the device `after`."""
        return page(await self._call("devices", {"after": after}), "devices", last=lambda row: row["device"])

    async def kick(self, devices: list[str], *, reason: int = 0, ext: str = "") -> Page[str]:
        """Log other devices of mine out; which there were."""
        args = {"devices": devices, "reason": reason, "ext": ext}
        return page(await self._call("kick", args), "kicked")
