"""Keeps one logged-in Link alive: connect, log in, wait for its end, decide, connect again; moves over on
GOAWAY.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from qianwan.connection.dial import Dialer, Wait, wait_of
from qianwan.connection.kept_ticket import KeptTicket
from qianwan.connection.link import Link, LinkOwner
from qianwan.connection.policy import Policy
from qianwan.connection.reconnect import Decision, Reconnector
from qianwan.connection.resumption import Login, Resumption
from qianwan.constants import CloseCode, ResumeReason
from qianwan.errors import (
    CertificateError,
    ConnectionClosed,
    HandshakeRejected,
    KeySetError,
    ProtocolError,
    QianwanError,
    SettingError,
)
from qianwan.protocol.auth import Credentials, Welcome
from qianwan.protocol.tickets import NotResumed, Offer, Resumed

LOGIN_S = 10.0
PERMANENT = (HandshakeRejected, KeySetError, CertificateError, SettingError)
"""What no further attempt changes, raised if it comes before the first login. Later it may be somebody on the
path, or a token source that has a bad day, who must not end the client."""
log = logging.getLogger("qianwan")


class State(enum.Enum):
    """What `on_state` hears."""

    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    CLOSED = "closed"


class StateChange(NamedTuple):
    """A new state, the error that led to it, and for WAITING the seconds until the next attempt."""

    state: State
    reason: Exception | None = None
    retry_in_s: float = 0.0


class SupervisorOwner(LinkOwner, Protocol):
    """The client, as its supervisor sees it."""

    async def credentials(self) -> Credentials:
        """A token to log in with; asked for before every attempt."""

    def on_online(self, link: Link, welcome: Welcome) -> None:
        """A connection is logged in and replaces the one before it."""

    def on_resumed(self, link: Link, resumed: Resumed) -> None:
        """The session goes on over this connection, and what it missed comes."""

    def on_offline(self) -> None: ...

    def on_change(self, change: StateChange) -> None: ...


class Supervisor:
    """Runs until `run` raises: a close code that says never, or what is PERMANENT. Everything else, whoever
    raised it, is waited for and tried again.
    """

    def __init__(
        self,
        owner: SupervisorOwner,
        dialer: Dialer,
        reconnector: Reconnector,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        kept: KeptTicket | None = None,
    ) -> None:
        self._owner = owner
        self._dialer = dialer
        self._reconnector = reconnector
        self._clock = clock
        self._sleep = sleep
        self._elsewhere = False
        self._replacing = False
        self._ever_online = False
        self._told_addresses: tuple[str, ...] = ()  # of the GOAWAY, not tried yet
        self._hurried = asyncio.Event()
        self._told = False  # that this outage cannot be ended yet
        self._born = 0.0
        self.resumption = Resumption(kept)
        self.link: Link | None = None

    async def run(self) -> None:
        self.resumption.restore(asyncio.get_running_loop().time())
        if self.resumption.login is not None:
            self._dialer.user = self.resumption.login.welcome.user
        while True:
            self._owner.on_change(StateChange(State.CONNECTING))
            link = await self._connect_once()
            while link is not None:
                link = await self._watch(link)

    async def _connect_once(self, avoid: Link | None = None) -> Link | None:
        """One attempt to log in. None after a failure that was waited for; raises what ends the client."""
        try:
            return await self._login(avoid)
        except ConnectionClosed as end:
            await self._pause(self._reconnector.after(end, 0.0), end)
        except PERMANENT as refusal:
            wait = wait_of(refusal)
            if wait is None and not self._ever_online:
                raise
            self._tell(refusal)
            await self._pause(self._reconnector.failed(*(wait or Wait())), refusal)
        except (OSError, TimeoutError, QianwanError) as error:
            self._tell(error)
            await self._pause(self._reconnector.failed(), error)
        except Exception as error:  # of the application's token source, or a fault of this package
            log.exception("an attempt to log in failed")
            await self._pause(self._reconnector.failed(), error)
        return None

    def _tell(self, error: Exception) -> None:
        """Once until the next login: whoever waits shall see what for."""
        if not self._told:
            log.warning("cannot connect, trying again and again: %s", str(error) or type(error).__name__)
        self._told = True

    async def _login(self, avoid: Link | None) -> Link:
        resumption = self.resumption
        offer = resumption.offer(asyncio.get_running_loop().time(), avoid)
        if offer is None or resumption.login is None:
            credentials = await self._owner.credentials()
        else:
            credentials = resumption.login.credentials
        told, self._told_addresses = self._told_addresses, ()  # one attempt: then the LBS is asked
        try:
            link = await self._dialer.connect(
                self._owner,
                credentials.token,
                elsewhere=self._elsewhere,
                avoid=avoid.address if avoid is not None else None,
                told=told,
                offer=offer,
                home=resumption.address if offer is not None and avoid is None else None,
            )
        except QianwanError:
            if offer is None or self._dialer.unanswered:
                resumption.silent()
            raise
        try:
            async with asyncio.timeout(LOGIN_S):
                if link.offer is None:
                    if offer is not None:
                        resumption.forget()
                        credentials = await self._owner.credentials()
                    welcome = await link.login(credentials, tickets=resumption.wanted)
                    self._begin(link, Login(credentials, welcome))
                else:
                    await self._take_up(link, link.offer, credentials)
        except BaseException:
            link.abort()
            raise
        self._elsewhere = self._told = False
        self._reconnector.logged_in()
        self._hurried.clear()
        self._born = self._clock()
        self._ever_online = self._dialer.known = True
        self.link = link
        self._owner.on_change(StateChange(State.ONLINE))
        return link

    async def _take_up(self, link: Link, offer: Offer, credentials: Credentials) -> None:
        """By ticket: the session itself, else a login; with a token where the ticket's rights are over."""
        last = self.resumption.login
        told: Resumed | NotResumed | None = None
        try:
            if offer.seen is not None and last is not None:
                told = await link.resume(last.welcome)
            if isinstance(told, Resumed):
                self.resumption.went_on()
                self._owner.on_resumed(link, told)
                return
            if told is not None:
                log.info("%s", told)
            if told is not None and told.reason == ResumeReason.REVOKED:
                self.resumption.forget()
                credentials = await self._owner.credentials()
                welcome = await link.login(credentials, tickets=self.resumption.wanted)
            else:
                welcome = await link.login_by_ticket(offer, credentials.device_id, credentials.platform)
        except ConnectionClosed as end:
            if end.code in (CloseCode.AUTH_FAILED, CloseCode.TOKEN_EXPIRED):
                self.resumption.forget()
                raise ConnectionClosed(0, "the ticket is not taken any more") from end
            if isinstance(end.__cause__, ProtocolError):
                self.resumption.forget()
            else:
                self.resumption.silent()
            raise
        self._begin(link, Login(credentials, welcome))

    def _begin(self, link: Link, login: Login) -> None:
        self.resumption.began(login)
        self._owner.on_online(link, login.welcome)

    async def _watch(self, link: Link) -> Link | None:
        """Until this connection ends, or another has taken its place."""
        self._replacing = False
        either: list[asyncio.Future[Any]] = [link.closed, link.leaving]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if link.leaving.done():  # it holds for a connection that ended before the move as well
            self._elsewhere, self._told_addresses = True, link.leaving.result().addresses
        if link.leaving.done() and link.alive:
            successor = await self._move(link)
            if successor is not None:
                return successor
        end = link.closed.result() if link.closed.done() else await asyncio.shield(link.closed)
        log.info("%s", end)
        if self._replacing and end.code == CloseCode.SUPERSEDED:
            end = ConnectionClosed(0, "replaced by a login of our own whose answer was lost")
        self.link = None
        self.resumption.lost(link, end)
        self._owner.on_offline()
        await self._pause(self._reconnector.after(end, self._clock() - self._born), end)
        return None

    async def _move(self, link: Link) -> Link | None:
        """GOAWAY: log in elsewhere while the old connection still works, then leave it."""
        notice = link.leaving.result()
        delay = self._reconnector.moving(notice.retry_after_ms, notice.jitter_ms)
        patience = asyncio.ensure_future(self._sleep(delay))
        try:
            either: list[asyncio.Future[Any]] = [patience, link.closed]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()
        while link.alive:
            self._replacing = True
            successor = await self._connect_once(avoid=link)
            if successor is not None:
                link.close()
                return successor
        return None

    async def _pause(self, decision: Decision, reason: Exception) -> None:
        if decision.stop:
            raise reason
        self._elsewhere = self._elsewhere or decision.elsewhere
        link = self.link
        if link is None or not link.alive:
            self._owner.on_change(StateChange(State.WAITING, reason, decision.delay_s))
        patience = asyncio.ensure_future(self._sleep(decision.delay_s))
        hurried = asyncio.ensure_future(self._hurried.wait())
        try:
            await asyncio.wait((patience, hurried), return_when=asyncio.FIRST_COMPLETED)
            if patience.done():
                patience.result()
        finally:
            patience.cancel()
            hurried.cancel()
            self._hurried.clear()

    def obey(self, policy: Policy) -> None:
        self.resumption.want(policy.resume)

    def hurry(self) -> None:
        """There is a reason to believe that the next attempt succeeds: what is waited for is not waited for
        any longer."""
        self._reconnector.forget()
        self._hurried.set()

    def close(self) -> None:
        if self.link is not None:
            with contextlib.suppress(OSError):
                self.link.close(CloseCode.NORMAL)
