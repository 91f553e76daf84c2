"""[push]: vendors of push, and how they are asked. What is pushed to whom is [im.service.push]."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from control.settings.place_section import secret_problems
from control.settings.sections import Problems, Section, unit
from control.settings.values import Secret

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
OURS = ("apns", "apns-sandbox", "fcm")


class ApnsSection(Section, frozen=True):
    key: str = ""
    """File (.p8) with the key of an Apple team for APNs. Empty: nothing is pushed through `apns` and
    `apns-sandbox`. Read at the start; what is in it is never shown."""
    key_id: Annotated[str, Meta(max_length=32)] = ""
    """Of that key, as Apple names it."""
    team_id: Annotated[str, Meta(max_length=32)] = ""
    """Of the team."""
    topics: tuple[str, ...] = ()
    """Bundle ids of the team's apps; the first one is that of devices that tell no app."""
    url: str = "https://api.push.apple.com"
    """For devices of vendor `apns`."""
    sandbox_url: str = "https://api.sandbox.push.apple.com"
    """For devices of vendor `apns-sandbox`: apps that were built for development."""

    def problems(self) -> Problems:
        if self.key and not (self.key_id and self.team_id and self.topics):
            yield ("key", "key_id", "team_id", "topics"), "needs key_id, team_id and topics"


class FcmSection(Section, frozen=True):
    accounts: tuple[str, ...] = ()
    """Files (JSON) of service accounts of Firebase, one a project; the first project is that of devices that
    tell no app. Empty: nothing is pushed through `fcm`. Read at the start; what is in them is never shown."""
    url: str = "https://fcm.googleapis.com"
    """Of FCM."""


class RelaySection(Section, frozen=True):
    url: str = ""
    """Server of the application that pushes through other vendors; what it is sent is in docs/PUSH.md. Where
    it may stand: outgoing.networks. Empty: there is none."""
    vendors: tuple[str, ...] = ()
    """Vendors, as devices name them, that it pushes through: `huawei`, `xiaomi` ..."""
    secret: Secret = Secret("")
    """Signs what it is sent (Standard Webhooks): `whsec_...`, or `whsk_...` for Ed25519."""
    secret_before: Secret = Secret("")
    """The one before, while it is being changed: both sign."""

    def problems(self) -> Problems:
        if self.url:
            yield from secret_problems(self.secret, self.secret_before)
            if not self.vendors:
                yield ("vendors", "url"), "is missing: which vendors it pushes through"
        elif self.vendors:
            yield ("url", "vendors"), "is missing: where these vendors are pushed through"
        for name in self.vendors:
            if name in OURS or not NAME.fullmatch(name):
                yield ("vendors",), f"{name!r}: a name of another vendor, of A-Z a-z 0-9 _ . -"


class PushSection(Section, frozen=True):
    dry_run: bool = False
    """Write into the log what would be pushed, with its text, instead of asking vendors; every vendor and app
    is taken. For trying things out."""
    queue: Annotated[int, Meta(ge=16, le=10_000_000, extra=unit("pushes"))] = 20_000
    """That wait for one vendor, under way and between two tries too: a minute of what one process sends.
    Beyond: what comes is dropped, counted."""
    at_once: Annotated[int, Meta(ge=1, le=10_000, extra=unit("requests"))] = 200
    """Under way to one vendor: twice what a connection of APNs takes. Beyond: they wait."""
    tries: Annotated[int, Meta(ge=1, le=50, extra=unit("tries"))] = 6
    """Of one push, where the vendor fails or says later: with pauses from half a second to a minute. Beyond:
    given up, counted."""
    patience_s: Annotated[float, Meta(ge=1, le=86_400)] = 600.0
    """That a push may wait here: who looks at the phone later finds the message itself. Beyond: given up,
    counted."""
    budget_s: Annotated[float, Meta(ge=0.1, le=120)] = 10.0
    """For one request, its connection included. Beyond: the vendor failed."""
    keep_s: Annotated[int, Meta(ge=0, le=28 * 86_400)] = 86_400
    """That a vendor keeps a push for a device that is off: a day. A message that ends before takes its push
    along. Beyond: the vendor drops it."""
    apns: ApnsSection = ApnsSection()
    fcm: FcmSection = FcmSection()
    relay: RelaySection = RelaySection()
