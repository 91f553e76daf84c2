"""[callbacks]: what the application's server is asked before it happens."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from control.outgoing.signing import Signer
from control.settings.sections import LIVE, Problems, Section, unit
from control.settings.values import Secret

Rule = Annotated[Literal["off", "open", "closed"], Meta(extra=LIVE)]


def signing_secrets(secret: Secret, before: Secret) -> list[str]:
    """Those that are given, the present one first."""
    return [each.reveal() for each in (secret, before) if each]


def secret_problem(secret: Secret, before: Secret) -> str | None:
    try:
        Signer(signing_secrets(secret, before))
    except ValueError as error:
        return f"{error} (qianwan callbacks secret makes one)"
    return None


class CallbacksSection(Section, frozen=True):
    url: str = ""
    """Where the application's server is asked: one address, https, of a public network or one of
    outgoing.networks. The same for every im and gateway process. Empty: nothing is asked, and nothing costs
    anything."""
    secret: Secret = Secret("")
    """By which questions are signed (Standard Webhooks): `whsec_...` is shared with the application's server,
    of `whsk_...` (Ed25519) that needs the public key only. `qianwan callbacks secret` makes one."""
    secret_before: Secret = Secret("")
    """The secret before that one: questions are signed by both until the application's server knows the new
    one."""
    single: Rule = "open"
    """Single messages and their edits. `off`: not asked. `open`: asked, and where there is no answer the
    message goes through. `closed`: where there is no answer it is refused with 503."""
    group: Rule = "open"
    """Group messages and their edits; as `single`."""
    room: Rule = "open"
    """Chatroom messages; as `single`."""
    friend_request: Rule = "open"
    """Friend requests; as `single`."""
    group_create: Rule = "open"
    """Groups made by users; as `single`."""
    group_join: Rule = "open"
    """Users who join, apply or invite; as `single`."""
    room_enter: Rule = "open"
    """Users who enter a chatroom; as `single`."""
    login: Rule = "off"
    """Logins, by token or ticket, behind the check of the token. `open` and `closed` as `single`: refused
    with close code 4001, or 2004 where there was no answer. A session that is taken up again is no login."""
    budget_ms: Annotated[int, Meta(ge=50, le=5_000)] = 2_000
    """For one question, from the look-up of the name to the end of the answer: people wait so long. Beyond:
    there was no answer."""
    answer_bytes: Annotated[int, Meta(ge=1_024, le=1 << 20)] = 64 * 1024
    """Of an answer: the largest message, as JSON. Beyond: there was no answer."""
    at_once: Annotated[int, Meta(ge=1, le=1_000, extra=unit("questions of a kind"))] = 64
    """Under way from one process: 64 are 3,200 a second where an answer takes 20 ms. Beyond: they wait."""
    waiting: Annotated[int, Meta(ge=0, le=100_000, extra=unit("questions of a kind"))] = 1_000
    """That wait for their turn, within their budget. Beyond: there was no answer."""
    break_failures: Annotated[int, Meta(ge=1, le=64, extra=unit("of the last ten questions"))] = 5
    """Without an answer: nobody waits for a server that is away. Above ten: of so many in a row. Beyond:
    questions of this kind are not asked for a while (break_ms), and its rule holds."""
    break_ms: Annotated[int, Meta(ge=10, le=600_000)] = 1_000
    """Until one question tries again; doubles while it fails, up to break_most_ms. Beyond: all are asked."""
    break_most_ms: Annotated[int, Meta(ge=10, le=600_000)] = 30_000
    """Longest time between two tries. Beyond: never longer."""

    def problems(self) -> Problems:
        if self.url and (problem := secret_problem(self.secret, self.secret_before)):
            yield ("secret", "url"), problem
        if self.break_ms > self.break_most_ms:
            yield ("break_ms", "break_most_ms"), "must not be above break_most_ms"
