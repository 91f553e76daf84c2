"""Logins at this gateway: the token is checked, the core hears the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from control.auth.login import LoginRefused, check_login
from control.auth.revocations import Revocations
from control.auth.tokens import TokenVerifier
from control.gateway.allowances import Allowances, LoginPace
from control.gateway.core import Core
from control.gateway.session_ids import SessionIds
from control.logs import get_logger
from frame.constants import CloseCode

log = get_logger("gateway")
ANY_FRAMES = 0xFFFF
_encode = msgspec.msgpack.Encoder().encode


class Logins:
    """`node_name`, `ping_interval_s` (`ws_ping_interval_s` on WebSocket, where that is less) and the store's
    `incarnation` are what an AUTH_OK tells the client; `heard`: the latest login elsewhere (SessionIds).
    `logins_per_s`: of one user (LoginPace). `revocations` None: there are none.
    """

    def __init__(
        self,
        core: Core,
        verifier: TokenVerifier,
        node_id: int,
        node_name: str,
        ping_interval_s: int = 240,
        ws_ping_interval_s: int = 45,
        incarnation: Callable[[], bytes] = bytes,
        heard: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
        allowances: Allowances | None = None,
        elapsed: Callable[[], float] = time.monotonic,
        logins_per_s: float = 0.0,
        revocations: Revocations | None = None,
    ) -> None:
        self._core = core
        self._verifier = verifier
        self._node_name = node_name
        self._ping_interval_s = ping_interval_s
        self._ws_ping_interval_s = min(ws_ping_interval_s, ping_interval_s)
        self._incarnation = incarnation
        self._clock = clock
        self._session_ids = SessionIds(node_id, clock, heard)
        self._allowances = allowances or Allowances(0, ANY_FRAMES)
        self._elapsed = elapsed
        self._pace = LoginPace(logins_per_s)
        self._revocations = revocations
        self.policy_rev = 0
        self.accepted = 0
        self.refusals: dict[str, int] = {}

    def set_pace(self, logins_per_s: float) -> None:
        """Of one user, from now on."""
        self._pace = LoginPace(logins_per_s)

    @property
    def latest(self) -> int:
        """The latest login here, as session ids count them."""
        return self._session_ids.latest

    @property
    def above(self) -> int:
        """Higher than the id of every session that is here, and not than that of the next one."""
        return self._session_ids.above

    def check(self, event: tuple[Any, ...]) -> tuple[int, str, str, int, int] | None:
        """Answer an EV_AUTH. -> (conn, user, device, platform, session id) of a session that is live now."""
        _, conn, _suite, handshake_hash, kind, token, binding, device, platform, peer, websocket = event
        now = self._clock()
        try:
            claims = check_login(
                self._verifier, now, handshake_hash, kind, token, binding, device, self._revoked
            )
            if self._pace.too_many(claims.user, self._elapsed()):
                raise LoginRefused(CloseCode.RATE_LIMITED, "too many logins", "too many logins of one user")
        except LoginRefused as refusal:
            self.refusals[refusal.reason] = self.refusals.get(refusal.reason, 0) + 1
            log.info("login refused", code=refusal.code, reason=refusal.reason, peer=peer)
            self._core.refuse(conn, refusal.code, refusal.text)
            return None
        session_id = self._session_ids.next()
        welcome = [
            session_id.to_bytes(8, "big"),
            claims.user,
            int(now * 1000),
            self.policy_rev,
            self._ws_ping_interval_s if websocket else self._ping_interval_s,
            self._node_name,
        ]
        if incarnation := self._incarnation():
            welcome.append(incarnation)
        frames = self._allowances.take(claims.user, self._elapsed())
        self._core.login(conn, claims.user, device, platform, session_id, _encode(welcome), frames)
        self.accepted += 1
        return conn, claims.user, device, platform, session_id

    def _revoked(self, user: str, device: str) -> int:
        if self._revocations is None:
            return 0
        if not self._revocations.known:
            raise LoginRefused(
                CloseCode.AUTH_UNAVAILABLE, "tokens cannot be checked now", "revocations are not known"
            )
        return self._revocations.not_before(user, device)
