"""Running a chatroom; part of `Room`."""

from __future__ import annotations

from typing import Any, Literal

from qianwan.api.base import Page, given, itself, page

RoomRole = Literal["member", "manager", "guest", "restricted"]


class RoomCalls:
    """Methods of `Room` beside talking. Most need the owner or a manager. All raise RequestError."""

    async def call(self, method: str, **args: Any) -> Any:
        raise NotImplementedError

    async def info(self) -> dict[str, Any]:
        """Name, owner, people online, settings, and how many messages were dropped."""
        found: dict[str, Any] = await self.call("info")
        return found

    async def update(self, **fields: Any) -> dict[str, Any]:
        """Change name, announcement, history, ring, notices, queue_by_managers, normal_per_s or
        high_per_s.
        """
        changed: dict[str, Any] = await self.call("update", **given(**fields))
        return changed

    async def attributes(
        self, put: dict[str, str] | None = None, remove: list[str] | None = None
    ) -> dict[str, str]:
        """Change attributes of the room; all of them as they now are."""
        return dict((await self.call("attributes", **given(put=put, remove=remove)))["attributes"])

    async def users(self, *, after: str = "", limit: int = 100) -> Page[str]:
        """Who is here, behind the user `after`."""
        found = await self.call("online", after=after, limit=limit)
        return page(found, "users", last=itself, limit=limit)

    async def people(self, *, after: str = "", limit: int = 100) -> Page[dict[str, Any]]:
        """Named, blacklisted and muted people, behind the user `after`."""
        found = await self.call("people", after=after, limit=limit)
        return page(found, "people", last=lambda row: row["user"], limit=limit)

    async def role(self, user: str, role: RoomRole) -> None:
        await self.call("role", user=user, role=role)

    async def mute(self, user: str, seconds: int = -1) -> int:
        """Silence somebody (-1 for good, 0 lifts it); until when, in Unix milliseconds."""
        return int((await self.call("mute", user=user, seconds=seconds))["until_ms"])

    async def mute_tag(self, tag: str, seconds: int = -1) -> int:
        return int((await self.call("mute_tag", tag=tag, seconds=seconds))["until_ms"])

    async def mute_all(self, on: bool = True) -> None:
        """Only owner and managers may speak."""
        await self.call("mute_all", on=on)

    async def blacklist(self, user: str, on: bool = True) -> None:
        await self.call("black", user=user, on=on)

    async def recall(self, server_id: int, text: str = "") -> None:
        """Take a message of the room back: everybody here hears the notice "room.recall"."""
        await self.call("recall", server_id=server_id, text=text)

    async def kick(self, user: str, reason: str = "") -> None:
        await self.call("kick", user=user, reason=reason)

    async def shut(self) -> None:
        """Close the room for everybody."""
        await self.call("close")

    async def queue_put(self, key: str, value: str, *, transient: bool = False, front: bool = False) -> None:
        """Add or replace an element; a transient one goes when its owner leaves."""
        await self.call("queue.put", key=key, value=value, transient=transient, front=front)

    async def queue_poll(self, key: str | None = None) -> dict[str, Any] | None:
        """Take the first element, or the one with this key."""
        found = await self.call("queue.poll", **given(key=key))
        item: dict[str, Any] | None = found.get("item")
        return item

    async def queue(self, *, after: int | None = None) -> Page[dict[str, Any]]:
        """The elements in order, behind the place `after` (it may be below zero); None: from the front."""
        return page(await self.call("queue.list", **given(after=after)), "items", next="after")

    async def queue_drop(self) -> int:
        """Empty the queue; how many there were."""
        return int((await self.call("queue.drop"))["dropped"])
