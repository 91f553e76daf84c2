"""The application behind `control.admin`: the routes for operators, and no others."""

from __future__ import annotations

from fastapi import FastAPI

from control.api.admin.router import PREFIX, make_routes
from control.api.admin.shapes import components
from control.api.admin.table import ROUTES
from control.api.app import make_app
from control.api.services import Services


def create_admin_app(services: Services) -> FastAPI:
    summary = "Nodes, connections, settings, keys and the audit log of a cluster, for operators"
    app = make_app(services, "Qianwan admin", summary, PREFIX, lambda: components(ROUTES))
    app.router.routes.extend(make_routes(ROUTES))
    return app
