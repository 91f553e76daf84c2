"""From "connect me" to a shaken-hands Link: LBS, key set, suite, and a staggered race of up to three
gateways.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from qianwan.connection import lbs
from qianwan.connection.link import Link, LinkOwner
from qianwan.connection.places import NoPlace, Places
from qianwan.connection.policy import Policy
from qianwan.connection.vitals import Vitals
from qianwan.constants import Reject
from qianwan.errors import (
    CertificateError,
    ConnectFailed,
    ConnectionClosed,
    HandshakeRejected,
    KeySetError,
    ProtocolError,
    QianwanError,
    SettingError,
)
from qianwan.protocol import ciphers, keyset, varint
from qianwan.protocol.dictionaries import Dictionaries
from qianwan.protocol.keyset import KeySet, ServerKey
from qianwan.protocol.tickets import Offer
from qianwan.protocol.wire import Wire
from qianwan.transport import USUAL_SOCKETS, Address, SocketOptions

SUITES = {"chachapoly": ciphers.CHACHAPOLY, "aesgcm": ciphers.AESGCM, "aegis128l": ciphers.AEGIS128L}
UNKNOWN_KEY_ID = 0
"""No server key has this id: naming it makes the gateway answer with its signed key set."""
NO_TICKET = frozenset({Reject.TICKET_REFUSED, Reject.UNSUPPORTED, Reject.RESUME_LITE})
"""Answers to a ticket after which another handshake is tried without it."""
UNPROVEN_ROOT = "give root_key, or ask the LBS over https: a root key from plain http proves nothing"


class DialSettings(NamedTuple):
    """Everything about reaching a gateway. Times in seconds."""

    lbs_urls: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    root_key: str | None = None
    suite: str = "auto"
    transport: str = "auto"
    tls: ssl.SSLContext | None = None
    unsigned_lbs: bool = False
    sockets: SocketOptions = USUAL_SOCKETS
    stagger_s: float = 2.5
    parallel: int = 3
    attempt_s: float = 10.0


class Dialer:
    """Finds a gateway and shakes hands with it. Remembers addresses and the newest verified key set."""

    def __init__(
        self,
        settings: DialSettings,
        *,
        device: str,
        rng: random.Random,
        clock: Callable[[], float],
        vitals: Vitals | None = None,
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._vitals = vitals
        if settings.suite != "auto" and SUITES.get(settings.suite) not in ciphers.available():
            raise SettingError(f"this machine has no cipher suite {settings.suite!r}")
        self._root = keyset.parse_root(settings.root_key) if settings.root_key else None
        if self._root is None and settings.addresses:
            raise KeySetError("a root key is needed when addresses are given")
        if self._root is None and not any(map(lbs.trusted_for_root, settings.lbs_urls)):
            raise KeySetError(UNPROVEN_ROOT)
        self._places = Places(
            settings.lbs_urls,
            settings.addresses,
            device=device,
            transport="" if settings.transport == "auto" else settings.transport,
            unsigned=settings.unsigned_lbs,
            tls=settings.tls,
            rng=rng,
            clock=clock,
        )
        self._keys: KeySet | None = None
        self.key_set_text = ""
        self._dictionaries = Dictionaries()
        self._refused_suites: set[int] = set()
        self.user = ""
        """who logs in, where no token says it"""
        self.unanswered = 0
        """connections of the last `connect` that ended without an answer to a ticket"""
        self.known = False
        """Logged in before: a gateway that admits only so many may admit this client sooner."""

    def obey(self, policy: Policy) -> None:
        """Race as the servers' operators wish."""
        self._settings = self._settings._replace(
            stagger_s=policy.stagger_s, parallel=policy.parallel, attempt_s=policy.connect_timeout_s
        )

    def remember_keys(self, text: str) -> None:
        """Take the key set of an earlier run; one that no longer verifies is forgotten."""
        try:
            self._adopt(keyset.decode_base64url(text), self._root)
        except KeySetError:
            return
        self.key_set_text = text

    @property
    def placement_text(self) -> str:
        """The last answer of an LBS, for a later run to `remember_placement`."""
        return self._places.signed

    def remember_placement(self, text: str) -> None:
        """Only with a pinned root: another one is not known before the LBS answers."""
        if self._root is not None and text:
            self._places.remember(text, self._root)

    async def connect(
        self,
        owner: LinkOwner,
        token: str,
        *,
        elsewhere: bool = False,
        avoid: Address | None = None,
        told: Sequence[str] = (),
        offer: Offer | None = None,
        home: Address | None = None,
    ) -> Link:
        """A Link after its handshake, at one of the addresses that a gateway `told`, else of the LBS, where
        `home` goes first. Raises ConnectFailed, KeySetError or HandshakeRejected (OVERLOADED wins). Its
        `offer` is None where the ticket was not taken.
        """
        addresses = list(_usable(told)) or list(await self._from_home(home, token, elsewhere))
        if avoid in addresses and len(addresses) > 1:
            addresses.remove(avoid)
            addresses.append(avoid)
        self.unanswered = 0
        return await self._race(addresses, owner, offer)

    async def _from_home(self, home: Address | None, token: str, elsewhere: bool) -> Sequence[Address]:
        if home is None:
            return await self.addresses_for(token, elsewhere)
        try:
            found = await self.addresses_for(token, elsewhere)
        except ConnectFailed:
            return [home]
        return [home, *(address for address in found if address != home)]

    async def addresses_for(self, token: str, elsewhere: bool) -> Sequence[Address]:
        try:
            return await self._places.find(lbs.subject_of(token) or self.user, elsewhere, self._trust)
        except NoPlace as error:
            raise _verdict([("", cause) for cause in error.causes]) from error

    def _trust(self, url: str, placement: lbs.Placement, keep: bool) -> bytes:
        root = self._root
        if root is None:
            if not lbs.trusted_for_root(url):
                raise KeySetError(UNPROVEN_ROOT)
            root = keyset.parse_root(placement.root)
        if keep:
            if placement.key_set:
                self._adopt(keyset.decode_base64url(placement.key_set), root)
                self.key_set_text = placement.key_set
            self._root = root
        return root

    def _adopt(self, data: bytes, root: bytes | None) -> None:
        """Verify a key set; an older one never replaces a newer one."""
        if root is None:
            raise KeySetError("no root key to check the key set with")
        keys = keyset.verify(data, root)
        if self._keys is None or keys.issued_at >= self._keys.issued_at:
            self._keys = keys

    def server_key(self) -> ServerKey:
        """The youngest valid key; one of no server when none is known or all are over."""
        with contextlib.suppress(KeySetError):
            if self._keys is not None:
                return self._keys.choose(time.time())
        return ServerKey(UNKNOWN_KEY_ID, ciphers.PUBLIC_OF(os.urandom(32)), 0, 0)

    def _suite(self) -> int:
        wanted = self._settings.suite
        if wanted != "auto":
            return SUITES[wanted]
        placement = self._places.placement
        offered = placement.suites if placement is not None else ()
        usable = [suite for suite in ciphers.available() if suite not in self._refused_suites]
        for suite in offered or usable:
            if suite in usable:
                return suite
        raise ConnectFailed("this machine and the server share no cipher suite")

    async def _race(self, addresses: Sequence[Address], owner: LinkOwner, offer: Offer | None) -> Link:
        """The first finished handshake wins; the next attempt starts `stagger_s` later, or when one has
        failed.
        """
        settings = self._settings
        waiting = list(addresses)
        running: dict[asyncio.Task[Link], Address] = {}
        failures: list[tuple[Address | str, Exception]] = []
        try:
            while waiting or running:
                if waiting and len(running) < settings.parallel:
                    address = waiting.pop(0)
                    running[asyncio.ensure_future(self._attempt(address, owner, offer))] = address
                more = waiting and len(running) < settings.parallel
                done, _ = await asyncio.wait(
                    running, timeout=settings.stagger_s if more else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    address = running.pop(task)
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, Exception):
                        raise error
                    failures.append((address, error))
        finally:
            for task in running:
                task.cancel()
            for result in await asyncio.gather(*running, return_exceptions=True):
                if isinstance(result, Link):
                    result.abort()
        raise _verdict(failures)

    async def _attempt(self, address: Address, owner: LinkOwner, offer: Offer | None) -> Link:
        """One address, within `attempt_s`; learns the key set, another suite, or what becomes of a ticket,
        from a REJECT and tries again.
        """
        async with asyncio.timeout(self._settings.attempt_s):
            for _ in range(4 + len(SUITES)):
                key, suite = self.server_key(), self._suite()
                wire = Wire(
                    suite,
                    key.key_id,
                    key.public,
                    known=self.known,
                    offer=offer,
                    dictionaries=self._dictionaries,
                )
                link = Link(wire, owner, self._rng, offer, self._vitals)
                try:
                    settings = self._settings
                    await link.open(address, settings.tls, known=self.known, options=settings.sockets)
                except ssl.SSLCertVerificationError as error:
                    raise CertificateError(f"{address}: {error}") from error
                except ConnectionClosed:
                    self.unanswered += offer is not None
                    raise
                except HandshakeRejected as rejected:
                    if rejected.code == Reject.UNKNOWN_KEY:
                        self._learn(rejected.data, key)
                    elif offer is not None and rejected.code == Reject.RESUME_LITE and not offer.lite:
                        offer = offer._replace(lite=True)
                    elif offer is not None and rejected.code in NO_TICKET:
                        offer = None
                    elif rejected.code == Reject.UNSUPPORTED and self._settings.suite == "auto":
                        self._refused_suites.add(suite)
                        if self._refused_suites.issuperset(ciphers.available()):
                            self._refused_suites.clear()  # the next attempt tries them all again
                            raise
                    else:
                        raise
                else:
                    return link
        raise ConnectFailed("the gateway rejects every key and suite")

    def _learn(self, data: bytes, refused: ServerKey) -> None:
        try:
            self._adopt(data, self._root)
        except keyset.NoKeySet as error:
            raise ProtocolError(f"a rejection without a key set: {error}") from error
        if self._keys is not None and self._keys.choose(time.time()) == refused:
            raise KeySetError("the gateway does not know the key its own key set names")
        self.key_set_text = keyset.encode_base64url(data)


def _verdict(failures: Sequence[tuple[Address | str, Exception]]) -> QianwanError:
    """What all attempts together mean: OVERLOADED if one said so; the first refusal, bad key set or bad
    certificate if there was nothing else.
    """
    errors = [error for _, error in failures]
    for error in errors:
        if isinstance(error, HandshakeRejected) and error.code == Reject.OVERLOADED:
            return error
    final = (HandshakeRejected, KeySetError, CertificateError)
    refusals = [error for error in errors if isinstance(error, final)]
    if refusals and len(refusals) == len(errors):
        return refusals[0]
    causes = [f"{place}: {_said(error)}" if place else _said(error) for place, error in failures]
    return ConnectFailed("; ".join(causes) or "no address to connect to")


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


class Wait(NamedTuple):
    """What a server asks for: so long at least, and a random part of `jitter_s` more."""

    least_s: float = 0.0
    jitter_s: float = 0.0


def wait_of(refusal: QianwanError) -> Wait | None:
    """The wait an OVERLOADED rejection asks for (1 ms at least, whatever its data), None of any other."""
    if not isinstance(refusal, HandshakeRejected) or refusal.code != Reject.OVERLOADED:
        return None
    asked, at = [0, 0], 0
    with contextlib.suppress(ProtocolError):
        for i in range(2):
            if at < len(refusal.data):
                asked[i], at = varint.get(refusal.data, at)
    return Wait(max(1, asked[0]) / 1000, asked[1] / 1000)


def _usable(told: Sequence[str]) -> Iterator[Address]:
    """Those addresses that this client can read; the others are for a later one."""
    for text in told:
        with contextlib.suppress(ValueError):
            yield Address.parse(text)
