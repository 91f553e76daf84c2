"""A place of the settings, made ready to be asked."""

from __future__ import annotations

from control.outgoing.breaker import Rules
from control.outgoing.client import OutgoingClient
from control.outgoing.outlet import Bounds, Outlet
from control.outgoing.signing import Signer
from control.settings.place_section import PlaceSection, signing_secrets
from im_service.ports import Clock

WINDOW = 10
"""Latest questions that a breaker looks at."""


def make_outlet(client: OutgoingClient, clock: Clock, place: PlaceSection) -> Outlet:
    bounds = Bounds(place.budget_ms / 1000, place.answer_bytes, place.at_once, place.waiting)
    failures = place.break_failures
    rules = Rules(failures, max(WINDOW, failures), place.break_ms, place.break_most_ms)
    return Outlet(
        client, clock, place.url, Signer(signing_secrets(place.secret, place.secret_before)), bounds, rules
    )
