"""Logins at this gateway: the token is checked, the core hears the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from control.auth.login import REVOKED_TEXT, LoginRefused, check_login
from control.auth.revocations import Revocations
from control.auth.tokens import TokenVerifier
from control.gateway.allowances import Allowances, LoginPace
from control.gateway.asked_logins import AskedLogins, Checked
from control.gateway.core import Core, CoreEvent
from control.gateway.session_ids import SessionIds
from control.logs import get_logger
from frame.constants import CloseCode

log = get_logger("gateway")
NO_END = 0xFFFF_FFFF
"""Seconds that a ticket can say."""
_encode = msgspec.msgpack.Encoder().encode


class Welcome(NamedTuple):
    """What an AUTH_OK tells every client of this gateway. On WebSocket the less of the two intervals."""

    node_name: str
    ws_ping_interval_s: int
    incarnation: Callable[[], bytes]  # of the store


class DefaultPolicy(Protocol):
    """What clients go by before they have reported anything."""

    def default(self) -> tuple[int, int]:
        """Its revision, 0: that of the settings; and the interval by which the core waits for them."""
        ...

    def set_ping(self, ping_interval_s: int) -> None: ...


class Begun(NamedTuple):
    """A session that is live now."""

    conn: int
    user: str
    device: str
    platform: int
    session_id: int


class Logins:
    """`logins_per_s`: of one user (LoginPace). `clock` is the one that tokens expire by."""

    def __init__(
        self,
        core: Core,
        verifier: TokenVerifier,
        session_ids: SessionIds,
        welcome: Welcome,
        allowances: Allowances,
        logins_per_s: float,
        revocations: Revocations,
        policies: DefaultPolicy,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
        asked: AskedLogins | None = None,
    ) -> None:
        self._asked = asked
        self.on_begun: Callable[[Begun], None] = lambda begun: None
        """Hears of sessions that begin later than `check` returns."""
        self._core = core
        self._verifier = verifier
        self._session_ids = session_ids
        self._welcome = welcome
        self._allowances = allowances
        self._pace = LoginPace(logins_per_s)
        self._revocations = revocations
        self._policies = policies
        self._clock = clock
        self._elapsed = elapsed
        self.accepted = 0
        self.by_ticket = 0
        self.refusals: dict[str, int] = {}

    def set_pace(self, logins_per_s: float) -> None:
        """Of one user, from now on."""
        self._pace = LoginPace(logins_per_s)

    def set_ping(self, ping_interval_s: int, ws_ping_interval_s: int) -> None:
        """Of those who log in from now on, also in the core, which waits for their pings; the others keep
        what they were told.
        """
        self._policies.set_ping(ping_interval_s)
        self._welcome = self._welcome._replace(ws_ping_interval_s=ws_ping_interval_s)

    @property
    def latest(self) -> int:
        """The latest login here, as session ids count them."""
        return self._session_ids.latest

    @property
    def above(self) -> int:
        """Higher than the id of every session that is here, and not than that of the next one."""
        return self._session_ids.above

    def check(self, event: CoreEvent) -> Begun | None:
        """Answer an EV_AUTH."""
        _, conn, _suite, handshake_hash, kind, token, binding, device, platform, peer, websocket, once = event
        now = self._clock()
        try:
            claims = check_login(
                self._verifier, now, handshake_hash, kind, token, binding, device, self._revoked
            )
            self._keep_pace(claims.user)
        except LoginRefused as refusal:
            self._refuse(conn, refusal, peer)
            return None
        until = 0 if once else claims.expires_at  # without an end there are no tickets, and nobody waits
        rev = claims.revocation
        return self._let_in(
            Checked(conn, claims.user, device, platform, websocket, until, rev, peer, "token")
        )

    def check_ticket(self, event: CoreEvent) -> Begun | None:
        """Answer an EV_TICKET: what a login by token had established, which the core has proven, and what may
        have changed since."""
        _, conn, _suite, user, device, platform, rev, until, _issued, _session, peer, websocket = event
        try:
            if rev < self._revoked(user, device):
                raise LoginRefused(CloseCode.TOKEN_EXPIRED, REVOKED_TEXT, REVOKED_TEXT)
            self._keep_pace(user)
        except LoginRefused as refusal:
            self._refuse(conn, refusal, peer)
            return None
        self.by_ticket += 1
        return self._let_in(Checked(conn, user, device, platform, websocket, until, rev, peer, "ticket"))

    def may_return(self, conn: int, user: str, peer: str) -> bool:
        """A session is taken up by its client: that counts like a login. One too many is refused, and the
        session, if it is here, is over."""
        try:
            self._keep_pace(user)
        except LoginRefused as refusal:
            self._refuse(conn, refusal, peer)
            return False
        return True

    def is_revoked(self, event: CoreEvent) -> bool:
        """Of an EV_ELSEWHERE; also while that is not known: a login will be told."""
        user, device, rev = event[3], event[4], event[6]
        return not self._revocations.known or rev < self._revocations.ended(user, device)

    def next_session(self, event: CoreEvent) -> Begun:
        """Of an EV_ELSEWHERE, as it is called here."""
        _, conn, _suite, user, device, platform = event[:6]
        return Begun(conn, user, device, platform, self._session_ids.next())

    def take_over(self, begun: Begun, event: CoreEvent, bodies: list[bytes], flags: int) -> None:
        """Go on here with what another gateway has given away."""
        conn, user, device, platform, session_id = begun
        rev, until = event[6:8]
        frames = self._allowances.take(user, self._elapsed())
        seen = event[15]
        self._core.resume_with(
            conn,
            user,
            device,
            platform,
            session_id,
            seen,
            bodies,
            flags,
            frames=frames,
            until=until,
            rev=rev,
        )
        self.accepted += 1

    def _keep_pace(self, user: str) -> None:
        if self._pace.too_many(user, self._elapsed()):
            raise LoginRefused(CloseCode.RATE_LIMITED, "too many logins", "too many logins of one user")

    def _refuse(self, conn: int, refusal: LoginRefused, peer: str) -> None:
        self.refusals[refusal.reason] = self.refusals.get(refusal.reason, 0) + 1
        tell = log.warning if refusal.code == CloseCode.AUTH_UNAVAILABLE else log.info
        tell("login refused", code=refusal.code, reason=refusal.reason, peer=peer)
        self._core.refuse(conn, refusal.code, refusal.text)

    def _let_in(self, checked: Checked) -> Begun | None:
        """None: the application is asked first, and `on_begun` hears of it."""
        if self._asked is None or not self._asked.wanted:
            return self._accept(checked)
        self._asked.ask(checked, self._answered)
        return None

    def _answered(self, checked: Checked, refusal: LoginRefused | None) -> None:
        try:
            if refusal is not None:
                raise refusal
            if checked.rev < self._revoked(checked.user, checked.device):  # meanwhile
                raise LoginRefused(CloseCode.TOKEN_EXPIRED, REVOKED_TEXT, REVOKED_TEXT)
        except LoginRefused as found:
            self._refuse(checked.conn, found, checked.peer)
            return
        self.on_begun(self._accept(checked))

    def _accept(self, checked: Checked) -> Begun:
        conn, user, device, platform, websocket, until, rev, _, _ = checked
        session_id, (policy_rev, ping_s) = self._session_ids.next(), self._policies.default()
        welcome = [
            session_id.to_bytes(8, "big"),
            user,
            int(self._clock() * 1000),
            policy_rev,
            min(self._welcome.ws_ping_interval_s if websocket else ping_s, ping_s),
            self._welcome.node_name,
        ]
        if incarnation := self._welcome.incarnation():
            welcome.append(incarnation)
        frames = self._allowances.take(user, self._elapsed())
        self._core.login(
            conn,
            user,
            device,
            platform,
            session_id,
            _encode(welcome),
            frames,
            until=min(until, NO_END),
            rev=rev,
        )
        self.accepted += 1
        return Begun(conn, user, device, platform, session_id)

    def _revoked(self, user: str, device: str) -> int:
        if not self._revocations.known:
            raise LoginRefused(
                CloseCode.AUTH_UNAVAILABLE, "tokens cannot be checked now", "revocations are not known"
            )
        return self._revocations.ended(user, device)
