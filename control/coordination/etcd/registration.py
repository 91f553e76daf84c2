"""Who this process is: the lowest free node id of the cluster, held by a lease.

    nodes/<id>   who has it: name, a random mark of the process, its epoch. Under the lease; gone when it ends
    ids/<id>     who had it last. Stays, so that an id rests for as long as others are free

The epoch is the revision at which `nodes/<id>` was made: unique and ordered, whatever clocks say. A process
whose lease was lost takes the id back with the epoch that everybody knows, unless another one had it since:
`ids/<id>` tells.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from control.coordination.etcd.client import EtcdClient
from control.coordination.etcd.errors import EtcdError, EtcdUnavailable, NotOwner, OutcomeUnknown
from control.coordination.etcd.lease import Lease
from control.coordination.etcd.messages import Check, Delete, Found, KeyValue, Op, Put, Read
from control.errors import StartError
from control.logs import get_logger
from control.node_ids import MAX_NODE_ID, Peer
from control.part import Check as HealthCheck
from control.part import Numbers, Part

log = get_logger("etcd")

TRIES = 20
"""For an id: others that start together take those that were seen free."""
PAUSE_S = 0.1
"""At most, behind a try whose outcome nobody knows: a member that is unwell refuses within a millisecond."""
BACK_S = 1.0


class Holder(msgspec.Struct, frozen=True):
    """What stands in both keys. `epoch` 0: the revision at which nodes/<id> was made."""

    name: str
    mark: str
    epoch: int = 0
    roles: tuple[str, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Holder).decode


class Registration(Part):
    """`own` is there after `start`, and stays. Callbacks are called on the event loop: `lost` when the lease
    has ended by the clock of this process, then either `kept` (the id is held again, with the same epoch) or
    `taken` (another process has it, or had it: this one can only leave).
    """

    def __init__(
        self, client: EtcdClient, name: str, last_id: int = MAX_NODE_ID, roles: tuple[str, ...] = ()
    ) -> None:
        self._client = client
        self._name = name
        self._last_id = last_id
        self._roles = roles
        self._mark = ""
        self._prefix = client.section.prefix.encode()
        self._lease = Lease(client, client.section.ttl_s, self._on_lost, self._take_back, self._hangs)
        self._created = 0  # create revision of nodes/<id> now
        self._used = 0  # revision of ids/<id> now
        self._taken_by = ""
        self._problem: str | None = "no node id yet"
        self._lost: list[Callable[[], None]] = []
        self._kept: list[Callable[[], None]] = []
        self._taken: list[Callable[[str], None]] = []
        self.own: Peer = (0, 0)

    async def start(self) -> None:
        """Raises EtcdError, StartError when every id is taken."""
        self._mark = secrets.token_hex(8)  # drawn behind every fork, or brothers would be one
        lease = await self._lease.start()
        try:
            own = await self._take(lease)
            self._still(lease)
        except BaseException:
            await self._lease.stop()
            raise
        self.own, self._problem = own, None
        log.info("node id taken", node_id=self.own[0], epoch=self.own[1])

    async def stop(self, grace_s: float = 0.0) -> None:
        """Give the id back at once."""
        if self.held:
            back: list[Op] = [Delete(self._node_key()), Put(self._id_key(), self._value(self.own[1]))]
            try:
                async with asyncio.timeout(BACK_S):
                    await self._client.txn([self.fence()], back)  # written again: it rests from now on
            except (EtcdError, TimeoutError) as error:
                log.warning("the node id goes back when its lease ends", reason=str(error))
        await self._lease.stop()

    def checks(self) -> Mapping[str, HealthCheck]:
        return {"node_id": lambda: self._problem}

    def numbers(self) -> Numbers:
        """Of the section `etcd` of the metrics."""
        return {"min_lease_left_s": self._lease.left_s if self._problem is None else 0.0}

    @property
    def held(self) -> bool:
        """Whether this process is the owner of its id now, by its own clock."""
        return self._problem is None and self._lease.held

    def fence(self) -> Check:
        """The check for the transaction of an owner: it fails once the node's key is another one. Raises
        NotOwner when that is known already."""
        if not self.held:
            raise NotOwner(f"node id {self.own[0]} is not held now")
        return Check(self._node_key(), "create", self._created)

    def on_lost(self, callback: Callable[[], None]) -> None:
        self._lost.append(callback)

    def on_kept(self, callback: Callable[[], None]) -> None:
        self._kept.append(callback)

    def on_taken(self, callback: Callable[[str], None]) -> None:
        """`callback(name)` of who has, or had, the id."""
        self._taken.append(callback)

    # -- the first time

    async def _take(self, lease: int) -> Peer:
        for _ in range(TRIES):
            node_id, used = self._choice(
                await self._client.list(self._prefix + b"nodes/", keys_only=True),
                await self._client.list(self._prefix + b"ids/", keys_only=True),
            )
            if epoch := await self._make(node_id, used, lease, 0):
                return node_id, epoch
        raise EtcdError("etcd: other processes take every node id first")

    def _choice(self, nodes: Found, ids: Found) -> tuple[int, int]:
        """A free id and the revision of its ids/<id>: the lowest that nobody ever had, else the one that was
        written the longest ago. Raises StartError."""
        taken = {_number(kv) for kv in nodes.keys}
        used = {_number(kv): kv.revision for kv in ids.keys}
        free = [node_id for node_id in range(1, self._last_id + 1) if node_id not in taken]
        if not free:
            raise StartError(f"all {self._last_id} node ids of this cluster are taken")
        chosen = min(free, key=lambda node_id: (used.get(node_id, 0), node_id))
        return chosen, used.get(chosen, 0)

    async def _make(self, node_id: int, used: int, lease: int, epoch: int) -> int:
        """The epoch when nodes/<id> is ours now; 0 when somebody was faster. Raises EtcdError."""
        node, last = self._node_key(node_id), self._id_key(node_id)
        checks = [Check(node, "create", 0), Check(last, "mod", used)]
        then = [Put(node, self._value(epoch), lease), Put(last, self._value(epoch))]
        for _ in range(TRIES):
            try:
                outcome = await self._client.txn(checks, then, [Read(node)])
            except OutcomeUnknown:
                await asyncio.sleep(PAUSE_S * (0.5 + random.random() / 2))
                if (holder := await self._client.get(node)) is None:
                    continue  # the same again: of the two, one can be carried out
            else:
                holder = outcome.found[0].keys[0] if outcome.found and outcome.found[0].keys else None
                if outcome.held:
                    self._created = self._used = outcome.revision
                    return epoch or self._created
            if holder is None or _holder(holder.value).mark != self._mark:
                return 0
            self._created = self._used = holder.created  # by a try that was not answered
            if holder.lease != lease and not await self._held_on(lease, node_id):  # a lease before
                return 0
            return epoch or self._created
        raise EtcdUnavailable("etcd does not tell whether it gave out a node id")

    # -- again

    def _on_lost(self) -> None:
        self._problem = "the lease on the node id is lost"
        _tell(self._lost)

    async def _take_back(self, lease: int) -> None:
        node_id, epoch = self.own
        if not await self._held_on(lease) and not await self._make(
            node_id, await self._rested(), lease, epoch
        ):
            await self._give_up()
            return
        self._still(lease)
        self._problem = None
        log.info("node id held again", node_id=node_id, epoch=epoch)
        _tell(self._kept)

    def _still(self, lease: int) -> None:
        """What was just written hangs on a lease that still holds. Raises EtcdUnavailable."""
        if self._lease.id != lease or not self._lease.held:
            raise EtcdUnavailable("etcd was slower than the lease is long")

    async def _held_on(self, lease: int, node_id: int = 0) -> bool:
        """Whether the key outlived a lease that was taken for lost, and goes over to this one. Written only
        over what was just read: a put under an earlier lease that comes late changes nothing. From then on
        the epoch stands in the value: the revision of the key is another one."""
        node = self._node_key(node_id)
        for _ in range(TRIES):
            found = await self._client.get(node)
            if found is None or found.created != self._created or _holder(found.value).mark != self._mark:
                return False
            if found.lease == lease:
                return True
            checks = [Check(node, "create", found.created), Check(node, "mod", found.revision)]
            value = self._value(_holder(found.value).epoch or found.created)
            try:
                if (await self._client.txn(checks, [Put(node, value, lease)])).held:
                    return True
            except OutcomeUnknown:
                await asyncio.sleep(PAUSE_S * (0.5 + random.random() / 2))
        raise EtcdUnavailable("etcd does not tell under which lease a node id is")

    async def _hangs(self, lease: int) -> bool:
        """Whether the key is the one that was made, under that lease: a snapshot that was put back may know
        the lease and not the key."""
        found = await self._client.get(self._node_key())
        return found is not None and found.created == self._created and found.lease == lease

    async def _rested(self) -> int:
        """The revision of ids/<id> where nobody had the id since. Below that which this process wrote: of a
        snapshot that was put back; 0: etcd has lost everything."""
        found = await self._client.get(self._id_key())
        return 0 if found is None else min(found.revision, self._used)

    async def _give_up(self) -> None:
        found = await self._client.get(self._id_key())
        self._taken_by = holder = _holder(found.value).name if found is not None else "somebody"
        self._problem = f"node id {self.own[0]} was taken by {holder}"
        log.error("node id taken by another process", node_id=self.own[0], by=holder)
        for callback in self._taken:
            _tell([partial(callback, holder)])

    # -- keys

    def _node_key(self, node_id: int = 0) -> bytes:
        return b"%snodes/%d" % (self._prefix, node_id or self.own[0])

    def _id_key(self, node_id: int = 0) -> bytes:
        return b"%sids/%d" % (self._prefix, node_id or self.own[0])

    def _value(self, epoch: int) -> bytes:
        return _encode(Holder(self._name, self._mark, epoch, self._roles))


def _holder(value: bytes) -> Holder:
    try:
        return _decode(value)
    except msgspec.MsgspecError:
        return Holder("somebody", "")  # who writes something else there


def _number(kv: KeyValue) -> int:
    """The id at the end of a key; 0, which nobody has, where there is none."""
    last = kv.key.rpartition(b"/")[2]
    return int(last) if last.isdigit() else 0


def _tell(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception:
            log.exception("a change of the node id could not be taken in")
