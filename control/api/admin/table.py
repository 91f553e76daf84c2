"""Every route of /v1/admin."""

from __future__ import annotations

from control.api.admin import routes, who

ROUTES = (*who.ROUTES, *routes.ROUTES)
