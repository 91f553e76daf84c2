"""The slow half of a send's way: the hooks, and who gets a group message that not everybody gets."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Sequence
from typing import NamedTuple

from msgspec import UNSET

from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import ROOM
from im_service.live.route import Route
from im_service.live.users import SessionState
from im_service.models import SendRequest
from im_service.options import Resolved
from im_service.sending.admission import PASSED, SILENTLY_BLOCKED, WAITING, OfNew
from im_service.sending.bodies import check_body
from im_service.sending.hooks import Action, Draft, Hook, Verdict, hook_detail
from im_service.storage.records import SENDER_SYNC

_log = logging.getLogger("qianwan.im")


class Rejected(OfNew):
    """A hook said no."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(Code.FORBIDDEN, text or "rejected", hook_detail(code))


class Judged(NamedTuple):
    """A message as its hooks left it. `verdict`: PASSED, SILENTLY_BLOCKED, or WAITING with what `holds`
    it."""

    draft: Draft
    verdict: int = PASSED
    holds: Verdict | None = None


class Judge:
    """Runs hooks and resolves receivers."""

    def __init__(self, context: ServiceContext, hooks: Sequence[Hook]) -> None:
        self._store = context.store
        self._spread = context.spread
        self._sees_all = context.sees_all
        self.hooks = tuple(hooks)
        self.instant = tuple(hook for hook in hooks if hook.instant)
        self.slow = tuple(hook for hook in hooks if not hook.instant)

    def wanted(self, kind: str, type: int) -> bool:
        """Does a hook look at such messages that has to be waited for?"""
        return any(hook.wants(kind, type) for hook in self.slow)

    def glances(self, kind: str, type: int) -> bool:
        """Does a hook look at such messages that is not waited for?"""
        return any(hook.wants(kind, type) for hook in self.instant)

    def glance(self, draft: Draft, kind: str) -> Judged:
        """Run the hooks that are not waited for. Raises as `judge` does."""
        judged = Judged(draft)
        for hook in self.instant:
            if hook.wants(kind, draft.type):
                verdict = self._asked(hook, judged.draft)
                assert isinstance(verdict, Verdict), "an instant hook is not waited for"
                judged = self._obeyed(judged, kind, verdict)
                if judged.verdict == SILENTLY_BLOCKED:
                    break
        return judged

    async def judge(self, draft: Draft, kind: str) -> Judged:
        """Run the hooks in order: moderation, then callback. A message that one holds is judged by the others
        too. Raises 403 on a rejection, 503 on a failing hook."""
        judged = Judged(draft)
        for hook in self.hooks:
            if not hook.wants(kind, draft.type):
                continue
            found = self._asked(hook, judged.draft)
            try:
                verdict = await found if inspect.isawaitable(found) else found
            except ImError:
                raise
            except Exception:
                raise self._failed() from None
            judged = self._obeyed(judged, kind, verdict)
            if judged.verdict == SILENTLY_BLOCKED:
                break
        return judged

    def _asked(self, hook: Hook, draft: Draft) -> Verdict | Awaitable[Verdict]:
        try:
            return hook.judge(draft)
        except Exception:
            raise self._failed() from None

    def _failed(self) -> ImError:
        _log.exception("hook failed")
        return ImError(Code.UNAVAILABLE, "the message could not be judged")

    def _obeyed(self, judged: Judged, kind: str, verdict: Verdict) -> Judged:
        """The message as the verdict leaves it."""
        action = verdict.action
        if action == Action.PASS:
            return judged
        if action == Action.REJECT:
            raise Rejected(verdict.text, verdict.code)
        draft = judged.draft
        if action == Action.SWALLOW:
            return Judged(draft, SILENTLY_BLOCKED)
        draft = draft._replace(body=verdict.body or draft.body, ext=verdict.ext or draft.ext)
        check_body(draft.type, draft.body, kind == ROOM, server=True)
        if action == Action.HOLD and judged.holds is None:
            return Judged(draft, WAITING, verdict)
        return judged._replace(draft=draft)

    def picks(self, state: SessionState | None, route: Route, options: Resolved) -> bool:
        """Does this message go to members of the group one by one? Without its sender's other devices it
        still goes through the group's topic, if there are none: that leaves out one connection."""
        if options.target is not None or options.bits & SENDER_SYNC:
            return options.target is not None
        mine = None if route.mine is None else route.mine.live
        return not (self._sees_all and (not mine or (len(mine) == 1 and mine[0] is state)))

    async def receivers(
        self, state: SessionState | None, route: Route, options: Resolved
    ) -> list[str] | None:
        """Who gets a group message one by one, which the sender pays for (416); None = everybody through the
        group's topic. The application's server waits instead."""
        if route.group is None or not self.picks(state, route, options):
            return None
        if state is None:
            await self._spread.room()
            return await self._picked(route.group.group, route.sender, options)
        self._spread.ask(route.sender)
        users = await self._picked(route.group.group, route.sender, options)
        self._spread.charge(route.sender, len(users))
        return users

    async def still(self, users: list[str], route: Route) -> list[str]:
        """Those of them who are members, after a hook was waited for."""
        if route.group is None:
            return users
        states = await self._store.member_states([(route.group.group, user) for user in users])
        return [user for _, user in states]

    async def _picked(self, group: str, sender: str, options: Resolved) -> list[str]:
        target = options.target
        if target is not None and target.inclusive:
            states = await self._store.member_states([(group, user) for user in target.users])
            return [user for _, user in states if user != sender]
        hidden = set() if target is None else set(target.users)
        hidden.add(sender)
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


def draft_of(state: SessionState, route: Route, asked: SendRequest, options: Resolved) -> Draft:
    """What the hooks are shown."""
    said = options.options
    return Draft(
        route.conversation,
        route.sender,
        state.session.device,
        asked.client_id,
        asked.type,
        bytes(asked.body),
        asked.ext,
        None if said.antispam is UNSET else said.antispam,
        said.shown,
    )
