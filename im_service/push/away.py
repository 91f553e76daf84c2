"""Who is told through a vendor because no connection tells them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from im_service.accounts.login_policy import DESKTOP, WEB, class_of
from im_service.context import ServiceContext
from im_service.ports import LiveDevices
from im_service.push.rules import PushRules

NOBODY: frozenset[str] = frozenset()


class Away:
    """As heartbeats tell it: a session whose connection is lost is there no more, though it waits for its
    client. Whoever is there with a phone is told by that; with desktops and browsers only, phones are pushed
    to if their user wants it."""

    def __init__(self, context: ServiceContext, while_desktop: bool) -> None:
        self._presence = context.presence
        self._here = context.sessions.devices_here if context.sees_all else None
        self._while_desktop = while_desktop

    def surely_there(self, user: str, rules: PushRules | None) -> bool:
        """Without asking anybody. `rules` None: not known."""
        if not self._presence.online(user):
            return False
        if rules is not None and not self._wanted(rules):
            return True
        if rules is None and not self._while_desktop and self._here is None:
            return False  # their own word has to be read
        return self._here is not None and not _at_a_desk(self._here(user))

    def _wanted(self, rules: PushRules) -> bool:
        return self._while_desktop if rules.desktop is None else rules.desktop

    async def devices(self, users: Mapping[str, PushRules]) -> dict[str, Collection[str]]:
        """Of those who are told, their devices that are not: those that are there."""
        found: dict[str, Collection[str]] = {}
        asked: list[str] = []
        for user, rules in users.items():
            if not self._presence.online(user):
                found[user] = NOBODY
            elif self._wanted(rules):
                asked.append(user)
        if asked:
            live = await self._presence.devices(asked)
            for user in asked:
                if (devices := live.get(user)) and _at_a_desk(devices):
                    found[user] = {device for device, _ in devices}
        return found


def _at_a_desk(devices: LiveDevices) -> bool:
    return all(class_of(platform) in (DESKTOP, WEB) for _, platform in devices)
