"""A place of the application that is asked over HTTP: what all of them have in common."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from control.outgoing.signing import check_secret
from control.settings.sections import Problems, Section, unit
from control.settings.values import Secret


def signing_secrets(secret: Secret, before: Secret) -> list[str]:
    """Those that are given, the present one first."""
    return [each.reveal() for each in (secret, before) if each]


def secret_problems(secret: Secret, before: Secret) -> Problems:
    """What is wrong with either secret of a place that is asked."""
    makes = "`qianwan callbacks secret` makes one"
    if not secret:
        yield ("secret", "url"), f"is missing: by it what goes to the url is signed; {makes}"
    for key, given in (("secret", secret), ("secret_before", before)):
        try:
            if given:
                check_secret(given.reveal())
        except ValueError as error:
            yield (key,), f"{error} ({makes})"


class PlaceSection(Section, frozen=True):
    url: str = ""
    """Where questions go: one address, https, public or in one of outgoing.networks. The same for every
    process. Empty: nothing is asked, and nothing costs anything."""
    secret: Secret = Secret("")
    """By which questions are signed (Standard Webhooks): `whsec_...` is shared with who answers, of
    `whsk_...` (Ed25519) that needs the public key only. `qianwan callbacks secret` makes one."""
    secret_before: Secret = Secret("")
    """The secret before that one: questions are signed by both until who answers knows the new one."""
    budget_ms: Annotated[int, Meta(ge=50, le=60_000)] = 2_000
    """For one question, from the look-up of the name to the end of the answer. Beyond: there was no
    answer."""
    answer_bytes: Annotated[int, Meta(ge=1_024, le=1 << 20)] = 64 * 1024
    """Of an answer: the largest message, as JSON. Beyond: there was no answer."""
    at_once: Annotated[int, Meta(ge=1, le=1_000, extra=unit("questions of a kind"))] = 64
    """Under way from one process: enough for answers that take 60 ms at what its CPU allows, some 1,000 a
    second. Beyond: they wait."""
    waiting: Annotated[int, Meta(ge=0, le=100_000, extra=unit("questions of a kind"))] = 1_000
    """That wait for their turn, within their budget. Beyond: there was no answer."""
    break_failures: Annotated[int, Meta(ge=1, le=64, extra=unit("of the last ten questions"))] = 5
    """Without an answer: nobody waits for a server that is away. Above ten: of so many in a row. Beyond:
    questions of this kind are not asked for a while (break_ms), as if there had been no answer."""
    break_ms: Annotated[int, Meta(ge=10, le=600_000)] = 1_000
    """Until one question tries again; doubles while it fails, up to break_most_ms. Beyond: all are asked."""
    break_most_ms: Annotated[int, Meta(ge=10, le=600_000)] = 30_000
    """Longest time between two tries. Beyond: never longer."""

    def problems(self) -> Problems:
        if self.url:
            yield from secret_problems(self.secret, self.secret_before)
        if self.break_ms > self.break_most_ms:
            yield ("break_ms", "break_most_ms"), "must not be above break_most_ms"
