"""Calls to the members of an etcd cluster: a deadline for each, another member for each try, a new token when
one has expired, and no write repeated before it is known not to have been made.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from control.coordination.etcd.channels import Member, Members, broken
from control.coordination.etcd.errors import (
    FULL,
    Denied,
    EtcdError,
    EtcdUnavailable,
    NoSpace,
    OutcomeUnknown,
    StaleToken,
    error_of,
)
from control.coordination.etcd.messages import messages
from control.logs import get_logger
from control.settings.sections import EtcdSection

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from grpc.aio import StreamStreamCall

log = get_logger("etcd")

WITHIN_S = 5.0
"""For a call with all its tries: a change of leader takes up to 2.4 s."""
TRY_S = 2.0
"""For one try: then another member is asked."""
PAUSE_S = 0.2
"""At most, when every member has been asked."""
STRANGER = "a member of another cluster than the other endpoints"
_LEADER = ("hasleader", "true")  # a member that knows of no leader refuses at once
_NO_AUTH = "-"  # in place of a token, where etcd asks nobody who they are
_WRITES = ("KV/Put", "KV/Txn")
WATCH = "Watch/Watch"
_CURE = {
    "permission denied": "give etcd.user the right to read and write below etcd.prefix",
    "authentication failed": "correct etcd.user and etcd.password",
}
_TOLD_S = 60.0
"""Between two lines of one refusal."""
Metadata = tuple[tuple[str, str], ...]


@dataclass
class Counts:
    """What happened since the start."""

    requests: int = 0
    retries: int = 0
    logins: int = 0
    reconnects: int = 0
    divergences: int = 0


class Calls:
    """Who is asked now, with which token, and how it went."""

    def __init__(self, section: EtcdSection) -> None:
        self.counts = Counts()
        self.members = Members(section)
        self._section = section
        self._token = ""
        self._login = asyncio.Lock()
        self._why: str | None = None
        self._since = 0.0
        self._full: str | None = None
        self._denied: dict[str, float] = {}  # call -> when it was told of in the log
        self.cluster = 0
        """whose members are asked; 0: none has answered yet"""

    async def close(self) -> None:
        await self.members.close()

    def problem(self) -> str | None:
        """Why etcd does not serve now; None when it did at the last call, or none was made."""
        if self._why is not None:
            return f"{self._why} (for {time.monotonic() - self._since:.0f} s)"
        return self._full

    async def call(
        self, method: str, request: Message, *, repeat: bool, within_s: float = WITHIN_S
    ) -> Message:
        """Ask members in turn until one answers. `repeat`: also when it may have been carried out."""
        loop = asyncio.get_running_loop()
        until, renewed, tries = loop.time() + within_s, False, 0
        self.counts.requests += 1
        while True:
            member, token = self.members.current, self._token
            try:
                answer = await self.once(member, method, request, min(TRY_S, until - loop.time()))
                self.well(method)
                return answer
            except StaleToken as error:
                if renewed or not self._section.user:
                    raise self.failed(Denied(str(error)), method) from None
                renewed = True
                self.forget(token)
            except EtcdUnavailable as error:
                await self.members.leave(member)
                if isinstance(error, OutcomeUnknown) and not repeat:
                    raise self.failed(error, method) from None
                tries += 1
                pause = PAUSE_S * random.random() if tries % len(self.members.all) == 0 else 0.0
                if loop.time() + pause + 0.01 >= until:
                    raise self.failed(EtcdUnavailable(str(error)), method) from None
                await asyncio.sleep(pause)
            except (NoSpace, Denied) as error:
                raise self.failed(error, method) from None
            self.counts.retries += 1

    async def open_stream(self, member: Member, method: str) -> StreamStreamCall:
        """A stream to that member. Raises EtcdError."""
        metadata = await self._metadata()
        await self._meet(member, metadata, TRY_S)
        return await member.stream(method, metadata)

    def forget(self, token: str = "") -> None:
        """A token is refused; with none given, that of now."""
        if token in ("", self._token):
            self._token = ""

    async def once(self, member: Member, method: str, request: Message, within_s: float) -> Message:
        try:
            async with asyncio.timeout(within_s):
                metadata = await self._metadata()
        except TimeoutError:
            raise EtcdUnavailable(f"{member.name}: no token in time") from None
        await self._meet(member, metadata, within_s)
        if method == "Lease/LeaseKeepAlive":
            answer = await self._ask_stream(member, method, request, metadata, within_s)
        else:
            answer = await member.ask(method, request, metadata, within_s)
        try:
            self.heard(member, answer)
        except EtcdUnavailable as error:
            raise OutcomeUnknown(str(error)) from None  # it may be the one that all believe a moment later
        return answer

    async def _meet(self, member: Member, metadata: Metadata, within_s: float) -> None:
        """Know of which cluster a member is before it is asked for anything, behind each new connection: what
        answers there may have been begun anew. Raises EtcdUnavailable."""
        if self.cluster == 0:
            return
        await member.connected(within_s)
        if member.cluster == self.cluster:
            return
        try:
            answer = await member.ask("Maintenance/Status", messages().StatusRequest(), metadata, within_s)
        except (Denied, StaleToken):
            return  # the call that follows says so too
        except OutcomeUnknown as error:
            raise EtcdUnavailable(str(error)) from None  # nothing was written
        self.heard(member, answer)

    def heard(self, member: Member, answer: Message) -> None:
        """One list of endpoints names one cluster, or processes would take two worlds for one. Another one is
        believed where most of the endpoints are of it: a snapshot was put back. One member alone that is of
        another was begun anew by mistake, whoever else answers. Raises EtcdUnavailable for a stranger."""
        there = member.cluster = int(answer.header.cluster_id)
        if self.cluster in (0, there):
            self.cluster, member.stranger = there, 0
            return
        if 2 * sum(each.cluster == there for each in self.members.all) > len(self.members.all):
            log.error("etcd is another cluster now: what is there is listed anew", member=member.endpoint)
            self.cluster, member.stranger = there, 0
            return
        if member.stranger != there:
            member.stranger = there
            log.error("a member of etcd is of another cluster and is passed over", member=member.endpoint)
        raise EtcdUnavailable(f"{member.name}: {STRANGER}")

    async def _ask_stream(
        self,
        member: Member,
        method: str,
        request: Message,
        metadata: Metadata,
        within_s: float,
    ) -> Message:
        """One question and one answer of a call that is a stream."""
        import grpc.aio

        call = await member.stream(method, metadata, within_s)
        try:
            await call.write(request)
            answer = await call.read()
            if answer is grpc.aio.EOF:
                raise error_of((await call.code()).name, await call.details() or "", member.name)
            return answer
        except grpc.aio.AioRpcError as error:
            raise error_of(error.code().name, error.details() or "", member.name) from None
        except (asyncio.CancelledError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise broken(error, member.name) from None
        finally:
            call.cancel()

    async def _metadata(self) -> Metadata:
        if not self._section.user:
            return (_LEADER,)
        async with self._login:
            if not self._token:
                member = self.members.current  # no longer who failed while this one waited
                try:
                    self._token = await self._authenticated(member)
                except EtcdUnavailable:
                    await self.members.leave(member)
                    raise
        return (_LEADER,) if self._token == _NO_AUTH else (_LEADER, ("token", self._token))

    async def _authenticated(self, member: Member) -> str:
        self.counts.logins += 1
        request = messages().AuthenticateRequest(
            name=self._section.user, password=self._section.password.reveal()
        )
        try:
            return str((await member.ask("Auth/Authenticate", request, (_LEADER,), TRY_S)).token)
        except OutcomeUnknown as error:
            raise EtcdUnavailable(str(error)) from None  # whoever wanted a token has written nothing
        except EtcdError as error:
            if "authentication is not enabled" in str(error):
                return _NO_AUTH
            raise

    def told(self, alarms: str) -> None:
        """What a member says of itself: the space alarm stands until an operator disarms it."""
        self._full = f"{alarms} ({FULL})" if "NOSPACE" in alarms else None

    @property
    def up(self) -> bool:
        return self._why is None

    @property
    def full(self) -> bool:
        """It takes no writes; leases and reads go on."""
        return self._full is not None

    @property
    def denied(self) -> bool:
        """A call that this process needs is refused for want of a right, until the same one is answered."""
        return bool(self._denied)

    def well(self, method: str) -> None:
        """A member has answered."""
        self._why = None
        self._denied.pop(method, None)
        if method in _WRITES:
            self._full = None

    def failed(self, error: EtcdError, method: str) -> EtcdError:
        """Nobody answers, or what was asked is refused for reasons of its own."""
        if isinstance(error, NoSpace):
            self._full = f"{error} ({FULL})"
            return error
        now = time.monotonic()
        if isinstance(error, Denied) and now - self._denied.get(method, -_TOLD_S) >= _TOLD_S:
            self._denied[method] = now
            cure = next((each for mark, each in _CURE.items() if mark in str(error)), "look at its users")
            log.error(
                "etcd refuses a call that this process needs", call=method, reason=str(error), cure=cure
            )
        if self._why is None:
            self._since = now
        self._why = str(error)
        return error
