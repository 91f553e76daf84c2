"""Faults of a running cluster while people send, and what each cost. `make faults` prints the table."""

from __future__ import annotations

import asyncio
import contextlib
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Literal, TypeAlias, get_args

import msgspec
import qianwan

from program.access import NoAccess
from program.cluster.crowd import Crowd, Tally
from program.cluster.local import LocalCluster
from program.cluster.partition import Way, parted
from program.cluster.people import until
from program.cluster.plan import Kind

Act: TypeAlias = Literal["killed", "stopped", "restarted", "away", "cut off"]
ACTS: tuple[Act, ...] = get_args(Act)
GUEST_S = 10.0
GUEST_EVERY_S = 5.0
HTTP_S = 10.0
CONVERGED_S = 10.0
STALL_S = 10.0
"""Of delivery, where one of several NATS servers is killed."""
LEASE_S = 15.0
"""After which a process that is cut off from etcd knows that its lease has ended: etcd.ttl_s, and some."""
LEASE = "qianwan_etcd_lease_left_seconds"


class Fault(msgspec.Struct, frozen=True):
    """`victims` are killed and started again at once, stopped for a while, restarted in order, away for a
    while, or cut off for a while from the processes of a kind (or from everybody)."""

    act: Act
    victims: tuple[str, ...]
    lasts_s: float = 0.0
    of: Kind | None = None
    way: Way = "both"

    def __str__(self) -> str:
        apart = f" from {self.of or 'all'} ({self.way})" if self.act == "cut off" else ""
        return self.act + apart

    @property
    def keeps(self) -> bool:
        """No client may notice: no connection ends."""
        return (self.of or self.victims[0].partition("-")[0]) == "etcd"


class Outcome(msgspec.Struct, frozen=True):
    """A line of the table. `normal_s`: from the fault until every process is well and everybody hears a probe
    in the group and in the room; `back_s`: the same, from when the victims run and answer again. `cut`:
    connections that ended before another had taken their place; `logins`: further ones, `most_logins`: of one
    client. `slowest_s`: from a send until the other one heard it. `guests` came meanwhile, `served`
    of them heard something within seconds.
    `errors`: sends that were refused, or whose outcome nobody knows. `complaints`: what else did not hold.
    """

    fault: str
    victim: str
    acked: int
    lost: int
    doubled: int
    swapped: int
    errors: int
    cut: int
    logins: int
    most_logins: int
    slowest_s: float
    normal_s: float
    back_s: float
    guests: int
    served: int
    whole: bool
    complaints: list[str]

    @property
    def clean(self) -> bool:
        return self.whole and not (self.lost or self.doubled or self.swapped or self.complaints)


async def inject(cluster: LocalCluster, crowd: Crowd, fault: Fault) -> Outcome:
    """Do it, wait until all is normal, count. Raises ClusterError where a process does not come back."""
    before = await crowd.count(time.monotonic())
    meanwhile = Meanwhile()
    since = time.monotonic()
    async with _struck(cluster, fault):
        if fault.lasts_s:
            meanwhile = await _meanwhile(cluster, crowd, fault, since + fault.lasts_s)
    ended = time.monotonic()
    await asyncio.to_thread(cluster.await_well, list(cluster.processes))
    whole = await crowd.moves() and await crowd.whole()
    if fault.keeps:
        meanwhile.complaints |= await _odd_changes(cluster, HTTPStatus.OK)
    normal = time.monotonic()
    after = await crowd.count(since)
    return _outcome(fault, before, after, (normal - since, normal - ended), whole, meanwhile)


def _outcome(
    fault: Fault, before: Tally, after: Tally, took: tuple[float, float], whole: bool, meanwhile: Meanwhile
) -> Outcome:
    complaints = sorted(meanwhile.complaints)
    cuts = [late - early for early, late in zip(before.cuts, after.cuts, strict=True)]
    logins = [late - early for early, late in zip(before.logins, after.logins, strict=True)]
    normal_s, back_s = took
    if fault.keeps and any(cuts):
        complaints.append(f"{sum(cuts)} connections ended")
    if fault.act == "away" and fault.keeps and back_s > CONVERGED_S:
        complaints.append(f"normal only {back_s:.1f} s after its return")
    if fault.act == "killed" and fault.victims[0].startswith("nats-") and after.slowest_s > STALL_S:
        complaints.append(f"a message took {after.slowest_s:.1f} s")
    if fault.act == "restarted" and after.errors > before.errors:
        complaints.append(f"{after.errors - before.errors} sends were refused")
    return Outcome(
        fault=str(fault),
        victim=", ".join(fault.victims),
        acked=after.acked - before.acked,
        lost=after.lost - before.lost,
        doubled=after.doubled - before.doubled,
        swapped=after.swapped - before.swapped,
        errors=after.errors - before.errors,
        cut=sum(cuts),
        logins=sum(logins),
        most_logins=max(logins),
        slowest_s=round(after.slowest_s, 2),
        normal_s=round(normal_s, 2),
        back_s=round(back_s, 2),
        guests=meanwhile.guests,
        served=meanwhile.served,
        whole=whole,
        complaints=complaints,
    )


class Meanwhile(msgspec.Struct):
    """While it lasted: people who came, how many of them were served within seconds, what did not hold."""

    guests: int = 0
    served: int = 0
    complaints: set[str] = msgspec.field(default_factory=set)


@contextlib.asynccontextmanager
async def _struck(cluster: LocalCluster, fault: Fault) -> AsyncIterator[None]:
    """Done at the beginning, undone at the end of the block, whatever happens in it."""
    match fault.act:
        case "killed" | "away":
            await asyncio.to_thread(cluster.kill, *fault.victims)
            try:
                yield
            finally:
                await asyncio.to_thread(cluster.start, fault.victims)
        case "stopped":
            for victim in fault.victims:
                cluster.freeze(victim)
            try:
                yield
            finally:
                for victim in fault.victims:
                    cluster.go_on(victim)
        case "restarted":
            for victim in fault.victims:
                await asyncio.to_thread(cluster.restart, victim)
            yield
        case "cut off":
            (victim,) = fault.victims
            others = cluster.plan.of(fault.of) if fault.of else []
            pid = cluster.processes[victim].pid
            with parted(cluster.planned(victim), pid, others, fault.way, fault.lasts_s):
                yield


async def _meanwhile(cluster: LocalCluster, crowd: Crowd, fault: Fault, end: float) -> Meanwhile:
    """Look at what must hold while it lasts, until it is over."""
    found = Meanwhile()
    if not (fault.act == "cut off" or (fault.keeps and fault.act == "away")):
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        return found
    began = time.monotonic()
    while (now := time.monotonic()) < end:
        problem = await _guest(crowd)
        found.guests += 1
        found.served += not problem
        if fault.keeps and problem:
            found.complaints.add(problem)
        if fault.act == "away" and now - began > LEASE_S:
            found.complaints |= await _odd_changes(cluster, HTTPStatus.SERVICE_UNAVAILABLE)
        if fault.of == "etcd" and now - began > LEASE_S:
            left = await asyncio.to_thread(_lease_left, cluster, fault.victims[0])
            if left > 0:
                found.complaints.add(f"cut off for {now - began:.0f} s it holds a lease for {left:g} s")
        await asyncio.sleep(max(0.0, min(GUEST_EVERY_S, end - time.monotonic())))
    return found


async def _guest(crowd: Crowd) -> str:
    """Somebody logs in and is told something. -> why that failed."""
    try:
        async with asyncio.timeout(GUEST_S):
            guest = await crowd.guest()
            try:
                text = await crowd.greet(guest)
                heard = await until(lambda: text in guest.known, GUEST_S)
                return "" if heard else "a guest heard nothing"
            finally:
                await guest.go()
    except (qianwan.QianwanError, NoAccess, TimeoutError) as error:
        return f"a guest could not come: {str(error) or type(error).__name__}"


async def _odd_changes(cluster: LocalCluster, due: HTTPStatus) -> set[str]:
    answers = await asyncio.to_thread(_changes, cluster)
    return {f"{name} answered a change with {status}" for name, status in answers.items() if status != due}


def _changes(cluster: LocalCluster) -> dict[str, int]:
    """The status of a change through the admin API of each control process; 0: no answer."""
    found = {}
    for one in cluster.plan.of("control"):
        request = urllib.request.Request(
            f"http://{one.peer}/v1/admin/traces/nobody",
            b'{"for_s": 1}',
            {"X-API-Key": cluster.api_key(), "If-Match": "*", "Content-Type": "application/json"},
            method="PUT",
        )
        try:
            with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
                found[one.name] = answer.status
        except urllib.error.HTTPError as error:
            found[one.name] = error.code
        except OSError:
            found[one.name] = 0
    return found


def _lease_left(cluster: LocalCluster, name: str) -> float:
    with urllib.request.urlopen(f"http://{cluster.planned(name).http}/metrics", timeout=HTTP_S) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{LEASE} "):
                return float(line.split()[1])
    return 0.0
