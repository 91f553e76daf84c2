"""The HTTP application, built from its services; nothing exists at import."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from control.api import errors, openapi, reference_page
from control.api.body_limit import BodyLimit
from control.api.deps import RateGate
from control.api.idempotency import Idempotency
from control.api.operations import make_router
from control.api.routers import health, lbs, tokens
from control.api.services import Services
from control.api.table import OPERATIONS
from im_service.methods import METHODS


class Api(FastAPI):
    """FastAPI whose document also holds the shapes that routes refer to by name."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(openapi.components([METHODS[operation.method] for operation in OPERATIONS]))
        return document


def create_app(services: Services) -> FastAPI:
    """The app for app servers (`/v1`), probes (`/livez` ...) and Prometheus (`/metrics`)."""
    limits = services.settings.limits
    app = Api(
        title="Qianwan",
        version=version("qianwan-server"),
        summary="Long connections and messages for app servers",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url=None,
        redirect_slashes=False,  # they would lead to wherever the Host header says
    )
    app.state.services = services
    app.state.rate_gate = RateGate(limits.api_requests_per_s, limits.api_burst)
    app.state.idempotency = Idempotency(services.im, limits)
    errors.install(app)
    openapi.install(app)
    reference_page.install(app)
    app.add_middleware(BodyLimit, max_bytes=limits.body_bytes)
    app.include_router(health.router)
    if "control" in services.settings.server.roles:
        app.include_router(tokens.router)
        app.include_router(lbs.router)
        app.include_router(make_router(OPERATIONS, METHODS))
    return app
