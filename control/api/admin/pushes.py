"""POST /v1/admin/push/test: a push to the devices of a user, to see what vendors say."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from control.api.admin.route import Ask, Given, Reply, Route
from control.api.deps import im_api
from control.keys.api_keys import OPERATOR
from im_service.push.tokens import TestArgs, Trial


class PushTest(Given, kw_only=True):
    user: str


class PushTested(Struct, kw_only=True):
    """`outcome`: "sent", or what the vendor said against it."""

    devices: list[PushTried]


class PushTried(Struct, kw_only=True):
    device: str
    vendor: str
    app: str
    outcome: str


async def tried(ask: Ask[PushTest]) -> Reply:
    found = await im_api(ask.services).call("push.test", TestArgs(user=ask.given.user))
    trial = msgspec.convert(found, Trial, from_attributes=True)
    return Reply(
        PushTested(
            devices=[
                PushTried(device=each.device, vendor=each.vendor, app=each.app, outcome=each.outcome)
                for each in trial.devices
            ]
        )
    )


DOC = (
    "Push a test to every device of a user, online or not, whatever their rules say. Nothing is tried twice,"
    " and no token is forgotten by it"
)
ROUTES = (
    Route("POST", "/push/test", "push.test", OPERATOR, "push", DOC, PushTest, PushTested, tried),
)  # fmt: skip
