"""How each process of a cluster is: whether it is well, and what it is among its kind."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import asyncpg
import msgspec

from program.cluster.engines import is_primary
from program.cluster.plan import ENGINES, ClusterPlan, Planned
from program.cluster.processes import Watched

PATIENCE_S = 5.0
ORDERED = "drained by order"
"""A gateway that does what an operator ordered is as it should be."""

Looked: TypeAlias = "tuple[str, str]"
"""(why it is not well, or "", what it is)"""


class Health(msgspec.Struct, frozen=True):
    """A line of `cluster status`. `problem` is empty when it is well; `part` is what it is among its kind."""

    name: str
    address: str
    pid: int
    well: bool
    part: str = ""
    problem: str = ""


def look(plan: ClusterPlan, processes: dict[str, Watched]) -> list[Health]:
    """All of them, asked at the same time."""
    with ThreadPoolExecutor(len(plan.processes)) as pool:
        return list(pool.map(lambda each: look_at(plan, each, processes[each.name]), plan.processes))


def look_at(plan: ClusterPlan, one: Planned, process: Watched) -> Health:
    pid = process.pid
    if not pid:
        return Health(one.name, one.address, 0, False, "", "does not run")
    if process.stopped:
        return Health(one.name, one.address, pid, False, "", "stands still (SIGSTOP)")
    try:
        problem, part = _ask(plan, one)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        problem, part = f"does not answer: {str(error) or type(error).__name__}", ""
    return Health(one.name, one.address, pid, not problem, part, problem)


def started(one: Planned) -> bool:
    """A process of ours has come up, ready or not."""
    try:
        return _get(one, "/startupz")[0] == 200
    except OSError:
        return False


def _ask(plan: ClusterPlan, one: Planned) -> Looked:
    match one.kind:
        case "etcd":
            return _etcd(one)
        case "nats":
            return _nats(one)
        case "postgres":
            return "", "primary" if asyncio.run(is_primary(plan, one)) else "standby"
    status, answer = _get(one, "/readyz")
    if status == 200:
        return "", ""
    checks = json.loads(answer).get("checks", {})
    failing = {name: found for name, found in checks.items() if found != "ok"}
    if set(failing) == {"drain"} and failing["drain"].startswith(ORDERED):
        return "", failing["drain"]
    return "; ".join(f"{name}: {found}" for name, found in failing.items()) or "not ready", ""


def _etcd(one: Planned) -> Looked:
    if '"true"' not in _get(one, "/health")[1]:
        return "it knows no leader", ""
    leads = "\netcd_server_is_leader 1\n" in _get(one, "/metrics")[1]
    return "", "leader" if leads else "follower"


def _nats(one: Planned) -> Looked:
    if _get(one, "/healthz")[0] != 200:
        return "not healthy", ""
    found = json.loads(_get(one, "/routez")[1])
    others = len({each["remote_name"] for each in found.get("routes", []) if each.get("remote_name")})
    joined = f"joined with {others} of {ENGINES - 1}"
    return ("" if others else "joined with no other"), joined


def _get(one: Planned, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{one.http}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
