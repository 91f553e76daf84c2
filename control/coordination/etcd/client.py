"""A client of etcd's v3 API: keys, transactions, leases, and how the members are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from control.coordination.etcd.calls import STRANGER, TRY_S, WITHIN_S, Calls
from control.coordination.etcd.channels import Member
from control.coordination.etcd.errors import Compacted, EtcdError, LeaseExists, LeaseNotFound, NoSpace
from control.coordination.etcd.messages import (
    Check,
    Delete,
    Found,
    Health,
    KeyValue,
    Op,
    Outcome,
    Put,
    Read,
    end_of,
    messages,
)
from control.part import Numbers
from control.settings.sections import EtcdSection

if TYPE_CHECKING:
    from google.protobuf.message import Message

NEVER = 1 << 62
PAGE = 256
"""Keys of a listing that are read at once."""
_FIELDS = {"create": "create_revision", "mod": "mod_revision", "version": "version"}
_TARGETS = {"version": 0, "create": 1, "mod": 2}


async def connect(section: EtcdSection) -> EtcdClient:
    """A client whose settings have been seen to work: certificates, password, and the right to the prefix.
    Raises EtcdError, of it EtcdUnavailable when no member answers."""
    client = EtcdClient(section)
    try:
        await client.check()
    except BaseException:
        await client.close()
        raise
    return client


class EtcdClient:
    """Raises EtcdError by kind from every call (errors.py). Made anywhere, before a fork too; used and closed
    in one event loop.
    """

    def __init__(self, section: EtcdSection) -> None:
        self.section = section
        self.calls = Calls(section)

    async def check(self) -> None:
        """See certificates, password and the right to the prefix at work."""
        prefix = self.section.prefix.encode()
        await self.range(prefix, end_of(prefix), limit=1, keys_only=True)
        with suppress(NoSpace):
            # Etcd looks at the right to every branch; this one is never taken.
            await self.txn([Check(prefix, "version", NEVER)], [Put(prefix, b"")])
        await self.health()
        members, ours = self.calls.members.all, self.calls.cluster
        if strangers := [each.endpoint for each in members if each.cluster not in (0, ours)]:
            raise EtcdError(f"etcd {', '.join(strangers)}: {STRANGER} in etcd.endpoints")

    async def look(self) -> None:
        """For the space alarm, which only a write would meet, and for strangers among the members that nobody
        asks. Raises EtcdError."""
        member = self.calls.members.current
        for other in self.calls.members.all:
            if other is not member:
                await self._health(other)
        status = await self.calls.once(member, "Maintenance/Status", messages().StatusRequest(), TRY_S)
        self.calls.told(", ".join(status.errors) and f"{member.name}: {', '.join(status.errors)}")

    async def close(self) -> None:
        await self.calls.close()

    def problem(self) -> str | None:
        """Why etcd does not serve now; None when it did at the last call, or none was made."""
        return self.calls.problem()

    def numbers(self) -> Numbers:
        """The section `etcd` of the metrics, but for the lease."""
        counts = self.calls.counts
        return {
            "up": self.calls.up,
            "max_full": int(self.calls.full),
            "max_denied": int(self.calls.denied),
            "requests_total": counts.requests,
            "retries_total": counts.retries,
            "logins_total": counts.logins,
            "reconnects_total": counts.reconnects,
            "divergences_total": counts.divergences,
        }

    # -- keys

    async def get(self, key: bytes) -> KeyValue | None:
        found = await self.range(key)
        return found.keys[0] if found.keys else None

    async def range(
        self, key: bytes, end: bytes = b"", *, limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Found:
        """Keys from `key` to before `end` (empty: the key alone). Linearizable; `revision` 0: now. Raises
        Compacted."""
        request = messages().RangeRequest(
            key=key, range_end=end, limit=limit, revision=revision, keys_only=keys_only
        )
        return _found(await self.calls.call("KV/Range", request, repeat=True))

    async def list(self, prefix: bytes, *, revision: int = 0, keys_only: bool = False) -> Found:
        """All keys that begin with `prefix`, in pages, as they were at one revision. Raises Compacted where
        that was given."""
        while True:
            try:
                return await self._pages(prefix, revision, keys_only)
            except Compacted:
                if revision:
                    raise

    async def _pages(self, prefix: bytes, revision: int, keys_only: bool) -> Found:
        end, page = (
            end_of(prefix),
            await self.range(
                prefix or b"\0", end_of(prefix), limit=PAGE, revision=revision, keys_only=keys_only
            ),
        )
        keys, revision = list(page.keys), revision or page.revision
        while page.more:
            begin = keys[-1].key + b"\0"
            page = await self.range(begin, end, limit=PAGE, revision=revision, keys_only=keys_only)
            keys += page.keys
        return Found(tuple(keys), revision)

    async def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """Write whatever is there; its revision. Raises OutcomeUnknown."""
        request = messages().PutRequest(key=key, value=value, lease=lease)
        return int((await self.calls.call("KV/Put", request, repeat=False)).header.revision)

    async def delete(self, key: bytes, end: bytes = b"") -> int:
        """Take them away, whatever is there; how many there were. Raises OutcomeUnknown."""
        request = messages().DeleteRangeRequest(key=key, range_end=end)
        return int((await self.calls.call("KV/DeleteRange", request, repeat=False)).deleted)

    async def txn(self, checks: Iterable[Check], then: Iterable[Op], otherwise: Iterable[Op] = ()) -> Outcome:
        """All of `then` if every check holds, else all of `otherwise`. Raises OutcomeUnknown: who made it
        conditional reads what is there and tries again."""
        m = messages()
        compare = [
            m.Compare(
                result=0, target=_TARGETS[check.target], key=check.key, **{_FIELDS[check.target]: check.value}
            )
            for check in checks
        ]
        request = m.TxnRequest(
            compare=compare, success=[_op(op) for op in then], failure=[_op(op) for op in otherwise]
        )
        answer = await self.calls.call("KV/Txn", request, repeat=False)
        found = [
            _found(each.response_range)
            for each in answer.responses
            if each.WhichOneof("response") == "response_range"
        ]
        return Outcome(bool(answer.succeeded), int(answer.header.revision), tuple(found))

    async def compact(self, revision: int) -> None:
        """Forget the history below a revision."""
        await self.calls.call(
            "KV/Compact", messages().CompactionRequest(revision=revision, physical=True), repeat=False
        )

    # -- leases

    async def grant(self, lease: int, ttl_s: int) -> float:
        """Make a lease of this id; the seconds it lives, which etcd may raise. Repeated until answered."""
        request = messages().LeaseGrantRequest(id=lease, ttl=ttl_s)
        try:
            return float((await self.calls.call("Lease/LeaseGrant", request, repeat=True)).ttl)
        except LeaseExists:
            return await self.keep_alive(lease)

    async def keep_alive(self, lease: int, within_s: float = WITHIN_S) -> float:
        """Renew a lease; the seconds it lives from now. Raises LeaseNotFound."""
        request = messages().LeaseKeepAliveRequest(id=lease)
        left = float(
            (await self.calls.call("Lease/LeaseKeepAlive", request, repeat=True, within_s=within_s)).ttl
        )
        if left <= 0:
            raise LeaseNotFound(f"lease {lease:x} has ended")
        return left

    async def revoke(self, lease: int, within_s: float = WITHIN_S) -> None:
        """End a lease and take its keys away."""
        try:
            await self.calls.call(
                "Lease/LeaseRevoke", messages().LeaseRevokeRequest(id=lease), repeat=True, within_s=within_s
            )
        except LeaseNotFound:
            return

    # -- members

    async def health(self) -> tuple[Health, ...]:
        """What each member tells of itself."""
        return tuple(await asyncio.gather(*(self._health(member) for member in self.calls.members.all)))

    async def _health(self, member: Member) -> Health:
        m = messages()
        try:
            status = await self.calls.once(member, "Maintenance/Status", m.StatusRequest(), TRY_S)
        except EtcdError as error:
            return Health(member.endpoint, problem=str(error))
        leads, told = status.leader == status.header.member_id, ", ".join(status.errors)
        return Health(
            member.endpoint,
            status.version,
            leads,
            status.header.revision,
            status.db_size,
            told or (None if status.leader else "no leader"),
        )


def key_value(kv: Message) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.lease)


def _found(answer: Message) -> Found:
    return Found(tuple(key_value(kv) for kv in answer.kvs), int(answer.header.revision), bool(answer.more))


def _op(op: Op) -> Message:
    m = messages()
    match op:
        case Read(key, end):
            return m.RequestOp(request_range=m.RangeRequest(key=key, range_end=end))
        case Put(key, value, lease):
            return m.RequestOp(request_put=m.PutRequest(key=key, value=value, lease=lease))
        case Delete(key, end):
            return m.RequestOp(request_delete_range=m.DeleteRangeRequest(key=key, range_end=end))
