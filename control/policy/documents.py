"""Policies as documents of the cluster.

    policies/draft/<name>         what an operator works on: a Policy
    policies/version/<name>/<n>   published, never changed
    policies/state/<name>         which version holds, and the canary of another: a State
    policies/revision             the number that the next version is known by to clients

Whoever publishes writes the version first and the state last, which names it: a version without a state that
knows it was never published.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from control.coordination.documents import Conflict, Documents
from control.policy.model import Policy

PREFIX = "policies/"
DRAFT, VERSION, STATE = PREFIX + "draft/", PREFIX + "version/", PREFIX + "state/"
REVISION = PREFIX + "revision"
POLICIES_MOST = 64
"""Of a cluster: each costs every gateway a look at each new kind of client. Beyond: refused."""
HISTORY = 50
FULL = 100.0
TRIES = 10
SHARES = (1.0, 10.0, 50.0, 100.0)
"""Percent, the steps of a canary."""


class Version(Struct, kw_only=True, frozen=True):
    """`rev`: how clients and PONG call it; no two versions of all policies have the same. `copy_of`: an
    earlier version that it repeats.
    """

    name: str
    number: int
    rev: int
    policy: Policy
    at: str
    who: str
    copy_of: int = 0


class Canary(Struct, kw_only=True, frozen=True):
    """`share`: percent of the devices, found by a hash of the device id and `salt`. A paused one goes on with
    those it has, and takes no further step by itself or by an operator before it is resumed.
    """

    number: int
    share: Annotated[float, Meta(gt=0, le=100)]
    salt: str
    since: str
    paused: bool = False
    why: str = ""


class Step(Struct, kw_only=True, frozen=True):
    """What was done to a policy."""

    at: str
    who: str
    what: Literal["publish", "canary", "promote", "pause", "resume", "rollback"]
    number: int
    share: float = 0
    why: str = ""


class State(Struct, kw_only=True, frozen=True):
    """`number`: the version that holds, 0: none yet. `last`: the highest that was published."""

    name: str
    number: int = 0
    last: int = 0
    canary: Canary | None = None
    history: list[Step] = []


class Refused(Exception):
    """It cannot be done as the policy stands now."""


def version_key(name: str, number: int) -> str:
    return f"{VERSION}{name}/{number}"


def now_text() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PolicyDocuments:
    """Every change names the revision of the state that it is based on, None: whatever is there. Raises
    Conflict, DocumentsUnavailable, Refused.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def state(self, name: str) -> tuple[State, int]:
        """And its revision, 0: nothing was published yet."""
        document = await self._documents.get(STATE + name)
        if document is None:
            return State(name=name), 0
        return msgspec.json.decode(document.value, type=State), document.revision

    async def states(self) -> list[tuple[State, int]]:
        listed = await self._documents.list(STATE)
        return [(msgspec.json.decode(each.value, type=State), each.revision) for each in listed.documents]

    async def draft(self, name: str) -> tuple[Policy | None, int]:
        document = await self._documents.get(DRAFT + name)
        if document is None:
            return None, 0
        return msgspec.json.decode(document.value, type=Policy), document.revision

    async def drafts(self) -> list[str]:
        listed = await self._documents.list(DRAFT)
        return [each.key.removeprefix(DRAFT) for each in listed.documents]

    async def version(self, name: str, number: int) -> Version | None:
        document = await self._documents.get(version_key(name, number))
        return None if document is None else msgspec.json.decode(document.value, type=Version)

    async def publish(
        self, name: str, policy: Policy, share: float, who: str, expected: int | None, copy_of: int = 0
    ) -> tuple[State, int, Version]:
        """As a new version: for everybody at 100 %, else for a canary beside what holds."""
        state, revision = await self._at(name, expected)
        if state.canary is not None and not copy_of:
            raise Refused(f"version {state.canary.number} is a canary: promote it or take it back first")
        if not state.last and len(await self.states()) >= POLICIES_MOST:
            raise Refused(f"there are {POLICIES_MOST} policies, which is the most")
        if share < FULL and not state.number:
            raise Refused("the first version has nothing beside it that a canary could be compared with")
        version = Version(
            name=name,
            number=state.last + 1,
            rev=await self._next_rev(),
            policy=policy,
            at=now_text(),
            who=who,
            copy_of=copy_of,
        )
        await self._documents.put(version_key(name, version.number), msgspec.json.encode(version))
        number = version.number if share >= FULL else state.number
        canary = None if share >= FULL else _canary(version, share)
        what: Literal["rollback", "publish"] = "rollback" if copy_of else "publish"
        made = msgspec.structs.replace(state, number=number, last=version.number, canary=canary)
        made = _noted(made, Step(at=version.at, who=who, what=what, number=version.number, share=share))
        return made, await self._put(made, revision), version

    async def step(self, name: str, share: float, who: str, expected: int | None) -> tuple[State, int]:
        """The canary for another share of the devices; with 100 % it holds for all."""
        state, revision = await self._at(name, expected)
        if (canary := state.canary) is None:
            raise Refused("there is no canary")
        if canary.paused:
            raise Refused(f"the canary is paused ({canary.why}): resume it or take it back first")
        if share >= FULL:
            made = msgspec.structs.replace(state, number=canary.number, canary=None)
            step = Step(at=now_text(), who=who, what="promote", number=canary.number, share=FULL)
        else:
            wider = msgspec.structs.replace(canary, share=share, since=now_text())
            made = msgspec.structs.replace(state, canary=wider)
            step = Step(at=now_text(), who=who, what="canary", number=canary.number, share=share)
        made = _noted(made, step)
        return made, await self._put(made, revision)

    async def pause(
        self, name: str, paused: bool, who: str, expected: int | None, why: str = ""
    ) -> tuple[State, int]:
        state, revision = await self._at(name, expected)
        if (canary := state.canary) is None:
            raise Refused("there is no canary")
        held = msgspec.structs.replace(canary, paused=paused, why=why, since=now_text())
        made = msgspec.structs.replace(state, canary=held)
        made = _noted(
            made,
            Step(
                at=now_text(),
                who=who,
                what="pause" if paused else "resume",
                number=canary.number,
                share=canary.share,
                why=why,
            ),
        )
        return made, await self._put(made, revision)

    async def rollback(
        self, name: str, to: int | None, who: str, expected: int | None, why: str = ""
    ) -> tuple[State, int]:
        """A canary ends: its devices go by what holds for the others. Without one, or with `to`, an earlier
        version (None: the one before) is published again as a new one, for everybody.
        """
        state, revision = await self._at(name, expected)
        if state.canary is not None and to is None:
            made = msgspec.structs.replace(state, canary=None)
            step = Step(at=now_text(), who=who, what="rollback", number=state.canary.number, why=why)
            made = _noted(made, step)
            return made, await self._put(made, revision)
        number = state.number - 1 if to is None else to
        old = await self.version(name, number)
        if old is None:
            raise Refused(f"there is no version {number} of {name}")
        made, revision, _ = await self.publish(name, old.policy, FULL, who, revision, copy_of=number)
        return made, revision

    async def _at(self, name: str, expected: int | None) -> tuple[State, int]:
        state, revision = await self.state(name)
        if expected is not None and expected != revision:
            raise Conflict(STATE + name, revision)
        return state, revision

    async def _put(self, state: State, revision: int) -> int:
        document = await self._documents.put(STATE + state.name, msgspec.json.encode(state), revision)
        return document.revision

    async def _next_rev(self) -> int:
        for _ in range(TRIES):
            document = await self._documents.get(REVISION)
            number = 1 if document is None else msgspec.json.decode(document.value, type=int)
            expected = 0 if document is None else document.revision
            try:
                await self._documents.put(REVISION, msgspec.json.encode(number + 1), expected)
            except Conflict:
                continue
            return number
        raise Refused("others publish all the time: try again")


def _canary(version: Version, share: float) -> Canary:
    """Salted by its own revision: who is a canary today is none of those of the last time by rule."""
    return Canary(number=version.number, share=share, salt=f"{version.rev}", since=version.at)


def _noted(state: State, step: Step) -> State:
    return msgspec.structs.replace(state, history=[*state.history, step][-HISTORY:])
