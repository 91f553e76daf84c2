"""[outgoing]: where requests to servers of the application may go: callbacks, engines, webhooks."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from control.outgoing.addresses import AddressPolicy
from control.settings.sections import SECRET_CHARS, Problems, Section, unit
from control.settings.values import Secret


class OutgoingSection(Section, frozen=True):
    networks: tuple[str, ...] = ()
    """Networks that are called although they are not public, as `10.20.0.0/16`: where the application's
    servers stand. Everything else that is private, loopback, link-local or multicast is refused by what a
    name means when it is connected to, so that no URL reaches what only this machine may reach."""
    plain_http: bool = False
    """URLs may begin with http://: bodies of messages then travel in the open. For a network of one's own,
    and for trying things out."""
    ca: str = ""
    """File (PEM) with authorities of one's own, beside those of the system. Read at the start."""
    secret: Secret = Secret("")
    """Wraps the secrets and logins of endpoints (docs/EVENTS.md) in etcd: 32 characters or more, random
    (`openssl rand -base64 32`), the same on every control and im process and nowhere else. Empty: a key of
    the data folder wraps them, which is enough where these processes share it; where `auth.keys_secret` says
    that they do not, no endpoint that has a secret can be made."""
    secret_before: Secret = Secret("")
    """The one before, while it is being changed: it still opens, and wraps nothing."""

    disable_after_days: Annotated[float, Meta(ge=0.01, le=30, extra=unit("days"))] = 3.0
    """How long an endpoint of the event copy (docs/EVENTS.md) may go without one good answer: a weekend in
    which nobody looks. Beyond: it is disabled, and the log, `/readyz` and a metric say so; its place is
    kept."""

    def problems(self) -> Problems:
        try:
            AddressPolicy(self.networks)
        except ValueError as error:
            yield ("networks",), str(error)
        for name in ("secret", "secret_before"):
            if 0 < len(getattr(self, name).reveal()) < SECRET_CHARS:
                yield (name,), f"shorter than {SECRET_CHARS} characters: openssl rand -base64 32"
