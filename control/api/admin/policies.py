"""Heartbeat policies: drafts, what is published, canaries and what is taken back."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.keys.api_keys import POLICY_ADMIN, VIEWER
from control.policy.checks import Cost, cost_of, differences, errors
from control.policy.documents import DRAFT, FULL, STATE, Canary, Refused, State, Step, Version
from control.policy.model import Constants, Match, Policy

NUMBER = r"[1-9][0-9]{0,8}"
Percent = Annotated[float, Meta(gt=0, le=100)]


class DraftWanted(Given, kw_only=True):
    """As a policy: `match`, `constants` (what is left out has its default), `rank`, `note`."""

    match: Match = Match()
    constants: Constants = Constants()
    rank: Annotated[int, Meta(ge=0, le=1000)] = 0
    note: Annotated[str, Meta(max_length=500)] = ""


class PublishWanted(Given, kw_only=True):
    """`share`: percent of the devices that get it first; 100: all of them. `draft`: the revision of the
    draft that is meant, 0: whichever stands there."""

    share: Percent = FULL
    draft: Annotated[int, Meta(ge=0)] = 0


class CanaryWanted(Given, kw_only=True):
    """`share`: percent of the devices, 100 makes it the policy of all. `paused`: it goes no further, and the
    guard looks away, until it is resumed; with it `share` is not heeded."""

    share: Percent = FULL
    paused: bool | None = None


class RollbackWanted(Given, kw_only=True):
    """`to`: the version that is published again; null: end the canary, or where there is none the version
    before the one that holds."""

    to: Annotated[int, Meta(ge=1)] | None = None


class PolicySummary(Struct, kw_only=True):
    """`version`: the one that holds, 0: none. `draft`: there is one."""

    name: str
    version: int
    rank: int
    match: Match
    canary: Canary | None
    draft: bool
    revision: int


class PolicyList(Struct, kw_only=True):
    policies: list[PolicySummary]


class PolicyShown(Struct, kw_only=True):
    """`history`: what was done, the latest last, at most 50 steps; `who` is a key's id, or policy-guard."""

    name: str
    version: int
    current: Version | None
    canary: Canary | None
    canary_version: Version | None
    last: int
    history: list[Step]


class Checked(Struct, kw_only=True):
    """`errors`: why it cannot be published; none: it can be. `changes`: against the version that holds."""

    errors: list[str]
    cost: Cost
    changes: list[str]


async def listed(ask: Ask[Nothing]) -> Reply:
    room = ask.services.policy.documents
    drafts = set(await room.drafts())
    found: list[PolicySummary] = []
    for state, revision in await room.states():
        version = await room.version(state.name, state.number)
        policy = version.policy if version is not None else Policy()
        found.append(
            PolicySummary(
                name=state.name,
                version=state.number,
                rank=policy.rank,
                match=policy.match,
                canary=state.canary,
                draft=state.name in drafts,
                revision=revision,
            )
        )
    for name in sorted(drafts - {each.name for each in found}):
        draft, _ = await room.draft(name)
        policy = draft or Policy()
        found.append(
            PolicySummary(
                name=name,
                version=0,
                rank=policy.rank,
                match=policy.match,
                canary=None,
                draft=True,
                revision=0,
            )
        )
    return Reply(PolicyList(policies=sorted(found, key=lambda each: (-each.rank, each.name))))


async def shown(ask: Ask[Nothing]) -> Reply:
    name = ask.path["policy"]
    state, revision = await ask.services.policy.documents.state(name)
    if not revision and (await ask.services.policy.documents.draft(name))[0] is None:
        raise Problem(404, "not-found", f"there is no policy {name}; a draft begins one", revision=0)
    return await _shown(ask, state, revision, None)


async def _shown(ask: Ask[Given], state: State, revision: int, before: int | None) -> Reply:
    room = ask.services.policy.documents
    canary = await room.version(state.name, state.canary.number) if state.canary else None
    body = PolicyShown(
        name=state.name,
        version=state.number,
        current=await room.version(state.name, state.number) if state.number else None,
        canary=state.canary,
        canary_version=canary,
        last=state.last,
        history=state.history,
    )
    what = state.canary.number if state.canary else state.number
    return Reply(body, revision, before, (("version", what),) if before is not None else ())


async def version_shown(ask: Ask[Nothing]) -> Reply:
    name, number = ask.path["policy"], int(ask.path["number"])
    found = await ask.services.policy.documents.version(name, number)
    if found is None:
        raise Problem(404, "not-found", f"there is no version {number} of {name}")
    return Reply(found)


async def draft_shown(ask: Ask[Nothing]) -> Reply:
    return await documents.show(ask, DRAFT + ask.path["policy"], Policy)


async def draft_replaced(ask: Ask[DraftWanted]) -> Reply:
    return await documents.put(ask, DRAFT + ask.path["policy"], _policy(ask.given))


async def draft_dropped(ask: Ask[Nothing]) -> Reply:
    return await documents.drop(ask, DRAFT + ask.path["policy"])


async def checked(ask: Ask[Nothing]) -> Reply:
    room, name = ask.services.policy, ask.path["policy"]
    draft, revision = await room.documents.draft(name)
    if draft is None:
        raise Problem(404, "not-found", f"there is no draft of {name}", revision=0)
    state, _ = await room.documents.state(name)
    current = await room.documents.version(name, state.number)
    limits = room.limits()
    body = Checked(
        errors=errors(draft, limits),
        cost=cost_of(draft, limits.connections),
        changes=differences(current.policy, draft) if current is not None else [],
    )
    return Reply(body, revision)


async def published(ask: Ask[PublishWanted]) -> Reply:
    room, name = ask.services.policy, ask.path["policy"]
    draft, revision = await room.documents.draft(name)
    if draft is None:
        raise Problem(404, "not-found", f"there is no draft of {name}", revision=0)
    if ask.given.draft not in (0, revision):
        raise documents.conflict(DRAFT + name, revision)
    if wrong := errors(draft, room.limits()):
        raise Problem(422, "invalid", "; ".join(wrong))
    _, before = await room.documents.state(name)
    try:
        state, after, _ = await room.documents.publish(name, draft, ask.given.share, ask.key.id, ask.expected)
    except Refused as error:
        raise Problem(409, "policy-conflict", str(error)) from None
    return await _shown(ask, state, after, before)


async def stepped(ask: Ask[CanaryWanted]) -> Reply:
    room, name, wanted = ask.services.policy.documents, ask.path["policy"], ask.given
    _, before = await room.state(name)
    try:
        if wanted.paused is not None:
            state, after = await room.pause(name, wanted.paused, ask.key.id, ask.expected, "by an operator")
        else:
            state, after = await room.step(name, wanted.share, ask.key.id, ask.expected)
    except Refused as error:
        raise Problem(409, "policy-conflict", str(error)) from None
    return await _shown(ask, state, after, before)


async def taken_back(ask: Ask[RollbackWanted]) -> Reply:
    room, name = ask.services.policy.documents, ask.path["policy"]
    _, before = await room.state(name)
    try:
        state, after = await room.rollback(name, ask.given.to, ask.key.id, ask.expected)
    except Refused as error:
        raise Problem(409, "policy-conflict", str(error)) from None
    return await _shown(ask, state, after, before)


async def retired(ask: Ask[Nothing]) -> Reply:
    return await documents.drop(ask, STATE + ask.path["policy"])


def _policy(given: DraftWanted) -> Policy:
    return Policy(match=given.match, constants=given.constants, rank=given.rank, note=given.note)


ONE = "/policies/{policy}"
ROUTES = (
    Route(
        "GET", "/policies", "policies.list", VIEWER, "policies",
        "Policies in the order in which they are tried", Nothing, PolicyList, listed,
    ),
    Route(
        "GET", ONE, "policies.get", VIEWER, "policies", "A policy: what holds, its canary, what was done",
        Nothing, PolicyShown, shown, has_etag=True,
    ),
    Route(
        "DELETE", ONE, "policies.retire", POLICY_ADMIN, "policies",
        "It is for nobody any more; its versions stay, and its draft", Nothing, Gone, retired,
        revised=True, has_etag=True,
    ),
    Route(
        "GET", ONE + "/versions/{number}", "policies.version", VIEWER, "policies",
        "A version, as it was published", Nothing, Version, version_shown, patterns={"number": NUMBER},
    ),
    Route(
        "GET", ONE + "/draft", "policies.draft.get", VIEWER, "policies", "What an operator works on",
        Nothing, Policy, draft_shown, has_etag=True,
    ),
    Route(
        "PUT", ONE + "/draft", "policies.draft.replace", POLICY_ADMIN, "policies",
        "Write the draft; bounds of each constant are checked, the whole when it is published", DraftWanted,
        Policy, draft_replaced, revised=True, has_etag=True,
    ),
    Route(
        "DELETE", ONE + "/draft", "policies.draft.drop", POLICY_ADMIN, "policies", "Forget the draft",
        Nothing, Gone, draft_dropped, revised=True, has_etag=True,
    ),
    Route(
        "GET", ONE + "/validate", "policies.validate", VIEWER, "policies",
        "What is wrong with the draft, what it would cost, and what it changes", Nothing, Checked, checked,
        has_etag=True,
    ),
    Route(
        "POST", ONE + "/publish", "policies.publish", POLICY_ADMIN, "policies",
        "Publish the draft as a new version, for all or for a canary; If-Match is of the policy",
        PublishWanted, PolicyShown, published, revised=True, has_etag=True,
    ),
    Route(
        "POST", ONE + "/canary", "policies.canary", POLICY_ADMIN, "policies",
        "Give the canary another share of the devices, pause it or resume it", CanaryWanted, PolicyShown,
        stepped, revised=True, has_etag=True,
    ),
    Route(
        "POST", ONE + "/rollback", "policies.rollback", POLICY_ADMIN, "policies",
        "End the canary, or publish an earlier version again as a new one", RollbackWanted, PolicyShown,
        taken_back, revised=True, has_etag=True,
    ),
)  # fmt: skip
