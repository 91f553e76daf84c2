"""Every route of /v1/admin."""

from __future__ import annotations

from control.api.admin import who

ROUTES = (*who.ROUTES,)
