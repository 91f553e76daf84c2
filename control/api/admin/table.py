"""Every route of /v1/admin."""

from __future__ import annotations

from control.api.admin import audit_log, routes, who

ROUTES = (*who.ROUTES, *audit_log.ROUTES, *routes.ROUTES)
