"""Role by route: what each API key may, over every route that there is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from control.api.admin.app import create_admin_app
from control.api.app import create_app
from control.api.deps import Needs, NeedsRole, NeedsScope
from control.api.services import Services
from control.api.table import OPERATIONS
from control.keys.api_keys import OPERATOR, POLICY_ADMIN, ROLES, SCOPES, SECURITY_ADMIN, VIEWER
from tests.support.admin_app import client_of, running_services

OPEN = {
    "/livez", "/readyz", "/startupz", "/metrics", "/v1/lbs", "/v1/openapi.json", "/v1/docs",
    "/v1/admin/openapi.json", "/v1/admin/docs",
}  # fmt: skip
"""Whoever reaches the port may ask these: they change nothing and show nothing of anybody."""

MATRIX = {
    ("GET", "/v1/admin/accounts/{user}/export"): SECURITY_ADMIN,
    ("GET", "/v1/admin/erasures"): VIEWER,
    ("GET", "/v1/admin/accounts/{user}/erasure"): VIEWER,
    ("POST", "/v1/admin/accounts/{user}/erase"): SECURITY_ADMIN,
    ("GET", "/v1/admin/accounts"): VIEWER,
    ("GET", "/v1/admin/accounts/{user}"): VIEWER,
    ("POST", "/v1/admin/accounts"): OPERATOR,
    ("POST", "/v1/admin/accounts/import"): OPERATOR,
    ("POST", "/v1/admin/accounts/{user}/disable"): OPERATOR,
    ("DELETE", "/v1/admin/accounts/{user}"): OPERATOR,
    ("POST", "/v1/admin/accounts/{user}/restore"): OPERATOR,
    ("GET", "/v1/admin/routes"): VIEWER,
    ("GET", "/v1/admin/lbs/explain"): VIEWER,
    ("GET", "/v1/admin/lbs/nodes"): VIEWER,
    ("GET", "/v1/admin/self"): VIEWER,
    ("GET", "/v1/admin/audit"): SECURITY_ADMIN,
    ("GET", "/v1/admin/nodes"): VIEWER,
    ("GET", "/v1/admin/conns"): VIEWER,
    ("GET", "/v1/admin/conns/{conn}"): VIEWER,
    ("GET", "/v1/admin/topics"): VIEWER,
    ("POST", "/v1/admin/conns/{conn}/kick"): OPERATOR,
    ("GET", "/v1/admin/traces"): VIEWER,
    ("GET", "/v1/admin/traces/{user}"): VIEWER,
    ("PUT", "/v1/admin/traces/{user}"): OPERATOR,
    ("DELETE", "/v1/admin/traces/{user}"): OPERATOR,
    ("GET", "/v1/admin/nodes/{node}"): VIEWER,
    ("GET", "/v1/admin/nodes/{node}/drain"): VIEWER,
    ("PUT", "/v1/admin/nodes/{node}/drain"): OPERATOR,
    ("DELETE", "/v1/admin/nodes/{node}/drain"): OPERATOR,
    ("GET", "/v1/admin/storm/cluster"): VIEWER,
    ("PUT", "/v1/admin/storm/cluster"): OPERATOR,
    ("DELETE", "/v1/admin/storm/cluster"): OPERATOR,
    ("GET", "/v1/admin/storm/nodes/{node}"): VIEWER,
    ("PUT", "/v1/admin/storm/nodes/{node}"): OPERATOR,
    ("DELETE", "/v1/admin/storm/nodes/{node}"): OPERATOR,
    ("GET", "/v1/admin/lbs/tables"): VIEWER,
    ("PUT", "/v1/admin/lbs/tables"): POLICY_ADMIN,
    ("DELETE", "/v1/admin/lbs/tables"): POLICY_ADMIN,
    ("GET", "/v1/admin/dictionary"): VIEWER,
    ("PUT", "/v1/admin/dictionary"): POLICY_ADMIN,
    ("DELETE", "/v1/admin/dictionary"): POLICY_ADMIN,
    ("GET", "/v1/admin/moderation/lists"): VIEWER,
    ("GET", "/v1/admin/moderation/lists/{list}"): VIEWER,
    ("PUT", "/v1/admin/moderation/lists/{list}"): POLICY_ADMIN,
    ("DELETE", "/v1/admin/moderation/lists/{list}"): POLICY_ADMIN,
    ("POST", "/v1/admin/moderation/test"): VIEWER,
    ("POST", "/v1/admin/callbacks/test"): POLICY_ADMIN,
    ("GET", "/v1/admin/events"): VIEWER,
    ("GET", "/v1/admin/events/groups"): VIEWER,
    ("GET", "/v1/admin/endpoints"): VIEWER,
    ("POST", "/v1/admin/endpoints"): SECURITY_ADMIN,
    ("GET", "/v1/admin/endpoints/{endpoint}"): VIEWER,
    ("PUT", "/v1/admin/endpoints/{endpoint}"): SECURITY_ADMIN,
    ("DELETE", "/v1/admin/endpoints/{endpoint}"): SECURITY_ADMIN,
    ("POST", "/v1/admin/endpoints/{endpoint}/pause"): OPERATOR,
    ("POST", "/v1/admin/endpoints/{endpoint}/resume"): OPERATOR,
    ("POST", "/v1/admin/endpoints/{endpoint}/rotate"): SECURITY_ADMIN,
    ("POST", "/v1/admin/endpoints/{endpoint}/test"): OPERATOR,
    ("GET", "/v1/admin/endpoints/{endpoint}/deliveries"): SECURITY_ADMIN,
    ("POST", "/v1/admin/endpoints/{endpoint}/replay"): OPERATOR,
    ("DELETE", "/v1/admin/endpoints/{endpoint}/replay"): OPERATOR,
    ("GET", "/v1/admin/endpoints/{endpoint}/dead-letters"): VIEWER,
    ("POST", "/v1/admin/endpoints/{endpoint}/dead-letters/resend"): OPERATOR,
    ("POST", "/v1/admin/push/test"): OPERATOR,
    ("GET", "/v1/admin/policies"): VIEWER,
    ("GET", "/v1/admin/policies/{policy}"): VIEWER,
    ("DELETE", "/v1/admin/policies/{policy}"): POLICY_ADMIN,
    ("GET", "/v1/admin/policies/{policy}/versions/{number}"): VIEWER,
    ("GET", "/v1/admin/policies/{policy}/draft"): VIEWER,
    ("PUT", "/v1/admin/policies/{policy}/draft"): POLICY_ADMIN,
    ("DELETE", "/v1/admin/policies/{policy}/draft"): POLICY_ADMIN,
    ("GET", "/v1/admin/policies/{policy}/validate"): VIEWER,
    ("POST", "/v1/admin/policies/{policy}/publish"): POLICY_ADMIN,
    ("POST", "/v1/admin/policies/{policy}/canary"): POLICY_ADMIN,
    ("POST", "/v1/admin/policies/{policy}/rollback"): POLICY_ADMIN,
    ("GET", "/v1/admin/heartbeat/stats"): VIEWER,
    ("GET", "/v1/admin/heartbeat/curve"): VIEWER,
    ("GET", "/v1/admin/heartbeat/suggestion"): VIEWER,
    ("GET", "/v1/admin/settings/live"): VIEWER,
    ("PUT", "/v1/admin/settings/live"): POLICY_ADMIN,
    ("DELETE", "/v1/admin/settings/live"): POLICY_ADMIN,
    ("GET", "/v1/admin/api-keys"): SECURITY_ADMIN,
    ("POST", "/v1/admin/api-keys"): SECURITY_ADMIN,
    ("GET", "/v1/admin/api-keys/{key}"): SECURITY_ADMIN,
    ("PUT", "/v1/admin/api-keys/{key}"): SECURITY_ADMIN,
    ("DELETE", "/v1/admin/api-keys/{key}"): SECURITY_ADMIN,
}
"""Who may what: a new route needs a line here, and its role a thought."""
MAY = {
    VIEWER: {VIEWER, OPERATOR, POLICY_ADMIN, SECURITY_ADMIN},
    OPERATOR: {OPERATOR},
    POLICY_ADMIN: {POLICY_ADMIN},
    SECURITY_ADMIN: {SECURITY_ADMIN},
}
"""Role a route needs -> roles whose keys get through."""


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with running_services(tmp_path) as made:
        yield made


def every_route(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from [route] if included is None else every_route(included.routes)


def needs(app: FastAPI) -> dict[tuple[str, str], Needs]:
    """(method, path) -> what it needs. A route that is neither guarded nor open to all fails here."""
    found: dict[tuple[str, str], Needs] = {}
    for route in every_route(app.routes):
        path = getattr(route, "path", "")
        if path in OPEN:
            continue
        assert isinstance(route, APIRoute), f"{path} is guarded by nothing"
        guards = [each.call for each in route.dependant.dependencies if isinstance(each.call, Needs)]
        assert len(guards) == 1, f"{path} is guarded by {len(guards)} keys"
        for method in route.methods:
            found[method, path] = guards[0]
    return found


def filled(path: str) -> str:
    return re.sub(r"{\w+}", "x", path)


def test_every_admin_route_has_the_role_that_the_matrix_gives_it(services: Services) -> None:
    guards = needs(create_admin_app(services))
    assert all(isinstance(guard, NeedsRole) for guard in guards.values())
    assert {at: guard.role for at, guard in guards.items() if isinstance(guard, NeedsRole)} == MATRIX


def test_every_route_for_app_servers_has_a_scope_and_none_of_them_is_the_admin_api(
    services: Services,
) -> None:
    guards = needs(create_app(services))
    assert all(isinstance(guard, NeedsScope) and guard.scope in SCOPES for guard in guards.values())
    tokens = {("POST", "/v1/tokens"), ("POST", "/v1/tokens/revoke")}
    others = {("GET", "/v1/events/schema")}
    assert set(guards) == {(each.http, "/v1" + each.path) for each in OPERATIONS} | tokens | others
    assert not any(path.startswith("/v1/admin") for _, path in guards)


async def test_each_role_gets_through_where_it_may_and_nowhere_else(services: Services) -> None:
    app = create_admin_app(services)
    keys = {role: services.api_keys.folder.create(role, (), 0, (role,))[1] for role in ROLES}
    for (method, path), role in MATRIX.items():
        for held, key in keys.items():
            async with client_of(app, key) as client:
                answer = await client.request(method, filled(path))
            refused = answer.status_code == 403 and answer.json()["type"].endswith(":role-missing")
            assert refused == (held not in MAY[role]), (method, path, held, answer.text)


async def test_scopes_open_no_admin_route_and_roles_no_other(services: Services) -> None:
    admin, app = create_admin_app(services), create_app(services)
    scoped = services.api_keys.folder.create("app", SCOPES)[1]
    roled = services.api_keys.folder.create("operator", (), 0, ROLES)[1]
    for (method, path), _ in needs(admin).items():
        async with client_of(admin, scoped) as client:
            assert (await client.request(method, filled(path))).status_code == 403, path
    for (method, path), _ in needs(app).items():
        async with client_of(app, roled) as client:
            assert (await client.request(method, filled(path))).status_code == 403, path


async def test_a_key_holds_until_its_end_and_without_one_nothing_is_told(services: Services) -> None:
    app = create_admin_app(services)
    spent = services.api_keys.folder.create("spent", (), 1, (VIEWER,))[1]
    services.api_keys.folder._keys = {
        key.id: type(key)(key.id, key.name, key.sha256, (), 0, 1, roles=key.roles)
        for key in services.api_keys.folder.list()
    }
    for key in (spent, "", "qwk_"):
        async with client_of(app, key) as client:
            assert (await client.get("/v1/admin/self")).status_code == 401


async def test_a_guesser_is_locked_out_and_nobody_else(services: Services) -> None:
    app = create_admin_app(services)
    _, right = services.api_keys.folder.create("ops", (), 0, (VIEWER,))
    wrong = right[:-43] + "A" * 43
    async with client_of(app, wrong, "10.9.9.9") as guesser:
        statuses = [(await guesser.get("/v1/admin/self")).status_code for _ in range(11)]
        assert statuses == [401] * 10 + [429]
        last = await guesser.get("/v1/admin/self")
    assert last.json()["type"].endswith(":locked-out")
    assert 1 <= int(last.headers["retry-after"]) <= 61
    async with client_of(app, right, "10.9.9.9") as found:
        assert (await found.get("/v1/admin/self")).status_code == 200, "guesses cost nobody their key"
    async with client_of(app, right, "10.9.9.8") as owner:
        assert (await owner.get("/v1/admin/self")).status_code == 200
    async with client_of(app, wrong, "10.9.9.9") as guesser:
        assert (await guesser.get("/v1/admin/self")).status_code == 429
    assert services.lockout.stats(0.0)["locks_total"] == 1


async def test_what_the_key_may_is_told_by_itself(services: Services) -> None:
    key, text = services.api_keys.folder.create("night shift", (), 3600, (OPERATOR,))
    async with client_of(create_admin_app(services), text) as client:
        told = (await client.get("/v1/admin/self")).json()
        assert (await client.get("/v1/admin/self?x=1")).status_code == 422
    assert told == {
        "key_id": key.id, "name": "night shift", "roles": ["operator"], "expires_at": key.expires_at,
        "node": "node-1",
    }  # fmt: skip
