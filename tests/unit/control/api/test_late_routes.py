"""Routes that are made when they are asked for: each is there for whoever asks, and only then."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Match

from control.api.admin.app import create_admin_app
from control.api.app import create_app
from control.api.late_routes import LateRoute
from tests.support.admin_app import make_services


@pytest.fixture(params=[create_app, create_admin_app])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> FastAPI:
    made: FastAPI = request.param(make_services(tmp_path))
    return made


def late(app: FastAPI) -> list[LateRoute]:
    found = [route for route in app.router.routes if isinstance(route, LateRoute)]
    assert len(found) > 50
    return found


def made(app: FastAPI) -> list[LateRoute]:
    return [route for route in late(app) if "endpoint" in vars(route)]


def asked(route: LateRoute, http: str) -> dict[str, object]:
    return {"type": "http", "method": http, "path": re.sub(r"{\w+}", "x", route.path), "headers": []}


async def test_a_request_makes_the_routes_of_its_path_and_no_others(app: FastAPI) -> None:
    assert made(app) == []
    wanted = late(app)[-1]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://q") as client:
        (http,) = wanted.methods
        assert (await client.get("/v1/nothing-of-this-name")).status_code == 404
        assert made(app) == []
        assert (await client.request(http, str(asked(wanted, http)["path"]))).status_code == 401
    assert {route.path for route in made(app)} == {wanted.path}


def test_the_first_that_fits_is_what_a_route_made_at_once_would_be(app: FastAPI) -> None:
    for route in late(app):
        (http,) = route.methods
        (first, *_) = [each for each in late(app) if each.matches(asked(route, http))[0] is Match.FULL]
        plain = [each for each in late(app) if each.path_regex.match(str(asked(route, http)["path"]))]
        assert first == next(each for each in plain if http in each.methods)
        assert first.path == route.path, "a route that another one hides"


def test_the_document_has_every_route(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    for route in late(app):
        (http,) = route.methods
        assert paths[route.path][http.lower()]["operationId"] == route.operation_id


def test_what_no_route_has_is_missing(app: FastAPI) -> None:
    route = late(app)[0]
    assert not hasattr(route, "__wrapped__")
    assert "endpoint" not in vars(route)
    assert not hasattr(route, "nothing_of_this_name")
