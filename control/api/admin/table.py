"""Every route of /v1/admin."""

from __future__ import annotations

from control.api.admin import audit_log, lbs, routes, who

ROUTES = (*who.ROUTES, *audit_log.ROUTES, *routes.ROUTES, *lbs.ROUTES)
