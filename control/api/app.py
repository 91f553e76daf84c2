"""The HTTP application, built from its services; nothing exists at import."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from fastapi import FastAPI

from control.api import errors, openapi, reference_page
from control.api.answers import Json
from control.api.body_limit import BodyLimit
from control.api.idempotency import Idempotency
from control.api.open_to_pages import OpenToPages
from control.api.operations import make_routes
from control.api.request_id import RequestId
from control.api.routers import events, health, lbs, tokens
from control.api.services import Services
from control.api.table import OPERATIONS
from im_service.methods import METHODS


class Api(FastAPI):
    """FastAPI whose document also holds the shapes that routes refer to by name."""

    shapes: Callable[[], Json] = dict

    def openapi(self) -> Json:
        document = super().openapi()
        document.setdefault("components", {}).setdefault("schemas", {}).update(self.shapes())
        return document


def make_app(
    services: Services, title: str, summary: str, prefix: str, shapes: Callable[[], Json]
) -> FastAPI:
    """An app without routes but its document and its reference, below `prefix`."""
    limits = services.settings.limits
    app = Api(
        title=title,
        version=version("qianwan-server"),
        summary=summary,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url=None,
        redirect_slashes=False,  # they would lead to wherever the Host header says
    )
    app.shapes = shapes
    app.state.services = services
    app.state.idempotency = Idempotency(services.im, limits)
    errors.install(app)
    openapi.install(app, prefix)
    reference_page.install(app, prefix)
    app.add_middleware(BodyLimit, max_bytes=limits.body_bytes)
    app.add_middleware(RequestId)
    return app


def create_app(services: Services) -> FastAPI:
    """The app for app servers (`/v1`), probes (`/livez` ...) and Prometheus (`/metrics`)."""
    methods = [METHODS[operation.method] for operation in OPERATIONS]
    summary = "Long connections and messages for app servers"
    app = make_app(services, "Qianwan", summary, "/v1", lambda: openapi.components(methods))
    app.include_router(health.router)
    if "control" in services.settings.server.roles:
        app.include_router(tokens.router)
        app.include_router(events.router)
        if not services.settings.control.lbs.http:
            _answer_lbs(app, services)
        app.router.routes.extend(make_routes(OPERATIONS, METHODS))
    return app


def create_lbs_app(services: Services) -> FastAPI:
    """The app of a listener for clients: LBS, and /livez for whoever watches it."""
    app = FastAPI(
        title="Qianwan LBS", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.services = services
    errors.install(app)
    app.add_middleware(BodyLimit, max_bytes=0)
    app.add_api_route("/livez", health.livez)
    _answer_lbs(app, services)
    return app


def _answer_lbs(app: FastAPI, services: Services) -> None:
    app.include_router(lbs.router)
    app.add_middleware(OpenToPages, path=lbs.PATH, origins=services.settings.control.lbs.origins)
