"""The slow half of a send's way: the hooks, and who gets a group message that not everybody gets."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence

from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import ROOM
from im_service.live.route import Route
from im_service.options import Resolved
from im_service.sending.admission import PASSED, SILENTLY_BLOCKED
from im_service.sending.bodies import check_body
from im_service.sending.hooks import Action, Draft, Hook
from im_service.storage.records import SENDER_SYNC

_log = logging.getLogger("qianwan.im")


def picks(options: Resolved) -> bool:
    """Does a group message with these options go to members one by one?"""
    return options.target is not None or not options.bits & SENDER_SYNC


class Judge:
    """Runs hooks and resolves receivers."""

    def __init__(self, context: ServiceContext, hooks: Sequence[Hook]) -> None:
        self._store = context.store
        self.hooks = tuple(hooks)

    def wanted(self, kind: str, type: int) -> bool:
        """Does any hook look at such messages?"""
        return any(hook.wants(kind, type) for hook in self.hooks)

    async def judge(self, draft: Draft, kind: str) -> tuple[Draft, int]:
        """Run the hooks in order: moderation, then callback. Raises 403 on a rejection, 503 on a failing
        hook."""
        for hook in self.hooks:
            if not hook.wants(kind, draft.type):
                continue
            try:
                found = hook.judge(draft)
                verdict = await found if inspect.isawaitable(found) else found
            except Exception:
                _log.exception("hook failed")
                raise ImError(Code.UNAVAILABLE, "the message could not be judged") from None
            if verdict.action == Action.REJECT:
                raise ImError(Code.FORBIDDEN, verdict.text or "rejected", {"hook": True})
            if verdict.action == Action.SWALLOW:
                return draft, SILENTLY_BLOCKED
            if verdict.action == Action.REPLACE:
                draft = draft._replace(body=verdict.body or draft.body, ext=verdict.ext or draft.ext)
                check_body(draft.type, draft.body, kind == ROOM, server=True)
        return draft, PASSED

    async def receivers(self, route: Route, options: Resolved) -> list[str] | None:
        """Who gets a group message one by one; None = everybody through the group's topic."""
        if route.group is None or not picks(options):
            return None
        target = options.target
        group = route.group.group
        if target is not None and target.inclusive:
            states = await self._store.member_states([(group, user) for user in target.users])
            return [user for _, user in states if user != route.sender]
        hidden = set() if target is None else set(target.users)
        hidden.add(route.sender)
        return [user for user in await self.member_names(group) if user not in hidden]

    async def member_names(self, group: str) -> list[str]:
        """Every member of a group, in order of user id."""
        names: list[str] = []
        more = True
        while more:
            page = await self._store.members(group, names[-1] if names else "", 1000)
            names += [member.user for member in page.items]
            more = page.more
        return names
