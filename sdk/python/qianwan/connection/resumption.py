"""What a client has in hand when its connection is lost: the newest ticket, and how far its session got."""

from __future__ import annotations

from typing import NamedTuple

from qianwan.connection.kept_ticket import KeptTicket
from qianwan.connection.link import Link
from qianwan.constants import CloseCode
from qianwan.errors import ConnectionClosed
from qianwan.protocol.auth import Credentials, Welcome
from qianwan.protocol.tickets import Offer, Ticket
from qianwan.transport import Address

SILENT = 5
"""Flights with a ticket in a row that nobody answered: then one comes without, in case it is the ticket."""
GOES_ON = frozenset({0, CloseCode.IDLE_TIMEOUT})
"""Ends after which the server keeps a session: without a word, or because nothing was heard for long."""


class Login(NamedTuple):
    """The last one."""

    credentials: Credentials
    welcome: Welcome


class Resumption:
    """`login` None: nothing can be taken up yet. `kept` is what an earlier run of the program has left, and
    outlives this one."""

    def __init__(self, kept: KeptTicket | None = None) -> None:
        self._kept = kept
        self.login: Login | None = None
        self.address: Address | None = None
        """of the node that has the session; None when it is to be had nowhere"""
        self._ticket: Ticket | None = None
        self._seen: int | None = None
        self._unanswered = 0
        self.wanted = True
        """as the policy says; else no ticket is kept, and each login is by token"""
        self.resumed = 0

    def restore(self, now: float) -> None:
        """Begin with the ticket of an earlier run. Its session is left alone: what that run had received and
        not dealt with is known to nobody, so a login is wanted, and the `sync` behind it."""
        ticket = self._kept.load(now) if self._kept is not None and self.wanted else None
        if self._kept is None or ticket is None:
            return
        whose = self._kept.whose
        self.login = Login(
            Credentials("", whose.device, whose.platform), Welcome(b"", whose.user, 0, 0, 0, "")
        )
        self._ticket = ticket

    def given(self, ticket: Ticket, now: float) -> None:
        """The session that goes on has this one now."""
        if self._kept is not None and self.login is not None and self.wanted:
            self._kept.keep(self.login.welcome.user, ticket, now)

    def began(self, login: Login) -> None:
        """A session, which another login has not had."""
        self.login = login
        self._ticket = self._seen = self.address = None
        self._unanswered = 0

    def went_on(self) -> None:
        """The session has another connection."""
        self.resumed += 1
        self._unanswered = 0

    def lost(self, link: Link, end: ConnectionClosed) -> None:
        """A connection that was logged in has ended so."""
        if not self.wanted:
            self.forget()
            return
        self._ticket = link.ticket or self._ticket
        goes_on = end.code in GOES_ON
        self._seen, self.address = (link.received, link.address) if goes_on else (None, None)

    def want(self, wanted: bool) -> None:
        self.wanted = wanted
        if not wanted:
            self.forget()

    def silent(self) -> None:
        """Nobody answered."""
        self._unanswered += 1

    def forget(self) -> None:
        """It is not taken any more."""
        if self._kept is not None:
            self._kept.forget()
        self._ticket = self._seen = self.address = None
        self._unanswered = 0

    def offer(self, now: float, alive: Link | None = None) -> Offer | None:
        """What to come with. While another connection is `alive`, its session is left alone."""
        ticket = self._ticket if alive is None else alive.ticket or self._ticket
        if not self.wanted or ticket is None or self.login is None or ticket.over(now):
            return None
        if self._unanswered % (SILENT + 1) == SILENT:
            return None
        return Offer(ticket, None if alive is not None else self._seen)
