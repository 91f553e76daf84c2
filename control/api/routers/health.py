"""Health and metrics. No API key: bind the HTTP port to an address only your own machines reach."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from control.api.deps import ServicesDep
from control.api.schemas.common import HealthAnswer, Responses

router = APIRouter(tags=["health"])

_FAILING: Responses = {503: {"model": HealthAnswer, "description": "not (yet) able"}}


@router.get("/livez")
async def livez() -> HealthAnswer:
    """The event loop turns. Asks no dependency."""
    return HealthAnswer(status="ok")


@router.get("/startupz", responses=_FAILING)
async def startupz(state: ServicesDep, response: Response) -> HealthAnswer:
    """Start-up is over."""
    if state.health.started:
        return HealthAnswer(status="ok")
    response.status_code = 503
    return HealthAnswer(status="starting")


@router.get("/readyz", responses=_FAILING)
async def readyz(state: ServicesDep, response: Response) -> HealthAnswer:
    """This process may take traffic: started, not draining, every check ok."""
    checks, remarks = state.health.report(), state.health.remarked()
    if all(answer == "ok" for answer in checks.values()):
        return HealthAnswer(status="ok", checks=checks, remarks=remarks)
    response.status_code = 503
    if state.health.draining:
        return HealthAnswer(status="draining", checks=checks, remarks=remarks)
    status: Literal["failing", "starting"] = "failing" if state.health.started else "starting"
    return HealthAnswer(status=status, checks=checks, remarks=remarks)


@router.get("/metrics", include_in_schema=False)
async def metrics(state: ServicesDep) -> Response:
    return Response(generate_latest(state.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
