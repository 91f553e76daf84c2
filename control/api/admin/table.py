"""Every route of /v1/admin."""

from __future__ import annotations

from control.api.admin import (
    api_keys,
    audit_log,
    callbacks,
    conns,
    dictionary,
    endpoint_deliveries,
    endpoints,
    events,
    lbs,
    lbs_tables,
    live_settings,
    nodes,
    policies,
    policy_figures,
    pushes,
    routes,
    storms,
    traces,
    who,
    word_lists,
)

ROUTES = (
    *who.ROUTES,
    *nodes.ROUTES,
    *conns.ROUTES,
    *traces.ROUTES,
    *storms.ROUTES,
    *routes.ROUTES,
    *lbs.ROUTES,
    *lbs_tables.ROUTES,
    *dictionary.ROUTES,
    *word_lists.ROUTES,
    *endpoints.ROUTES,
    *endpoint_deliveries.ROUTES,
    *callbacks.ROUTES,
    *events.ROUTES,
    *pushes.ROUTES,
    *live_settings.ROUTES,
    *policies.ROUTES,
    *policy_figures.ROUTES,
    *api_keys.ROUTES,
    *audit_log.ROUTES,
)
