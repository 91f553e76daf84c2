"""What belongs to a cluster in a folder: its processes, their ports, its secrets.

    cluster.json     this plan (0600: it has the passwords of the engines)
    qianwan.toml     settings of all `qianwan serve` processes
    data/            their keys and the audit log
    etcd-1/ ...      data of each engine
    log/ run/        a log and a pid file for each process

The plan is made once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, TypeAlias

import msgspec

from benchmarks.ports import row_of_ports

PLAN_FILE = "cluster.json"
ENGINES = 3
"""Members of etcd and NATS servers: one may be away."""
OF_EACH_ROLE = 2
PORTS_OF_ONE = 3
PORTS = PORTS_OF_ONE * (2 * ENGINES + 1 + 3 * OF_EACH_ROLE)
"""Of all processes."""
FIRST_GROUP = 1_000_000
"""Above what systems give out by themselves."""

Kind: TypeAlias = Literal["etcd", "nats", "postgres", "control", "im", "gateway"]
ENGINE_KINDS: tuple[Kind, ...] = ("etcd", "nats", "postgres")
ROLES: tuple[Kind, ...] = ("control", "im", "gateway")


class ClusterError(Exception):
    """It cannot be done; the text says why, in one line, and what to do."""


class Planned(msgspec.Struct, frozen=True):
    """One process. `address` is what others connect to, `http` where it tells how it is ("" for PostgreSQL),
    `peer` what its own kind connects to (etcd, NATS) or the admin API (control)."""

    name: str
    kind: Kind
    address: str
    http: str = ""
    peer: str = ""

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    @property
    def group(self) -> int:
        """Only this process is in it, where root starts it: a firewall knows it by that."""
        return FIRST_GROUP + int(self.port)


class ClusterPlan(msgspec.Struct, frozen=True):
    processes: tuple[Planned, ...]
    postgres_password: str
    nats_token: str

    def of(self, *kinds: Kind) -> list[Planned]:
        return [each for each in self.processes if each.kind in kinds]

    @property
    def lbs(self) -> list[str]:
        """Where clients ask for a gateway."""
        return [f"http://{each.http}" for each in self.of("control")]

    @property
    def etcd_urls(self) -> list[str]:
        return [f"http://{each.address}" for each in self.of("etcd")]

    @property
    def nats_urls(self) -> str:
        return ",".join(f"nats://{each.address}" for each in self.of("nats"))

    @property
    def store_url(self) -> str:
        hosts = ",".join(each.address for each in self.of("postgres"))
        return f"postgresql://qianwan:{self.postgres_password}@{hosts}/qianwan"


def make_plan(first_port: int = 0) -> ClusterPlan:
    """Ports in a row from the first one, or some that nobody uses now, and new secrets."""
    who: list[tuple[Kind, int]] = [(kind, n + 1) for kind in ("etcd", "nats") for n in range(ENGINES)]
    who += [("postgres", 1), *((kind, n + 1) for kind in ROLES for n in range(OF_EACH_ROLE))]
    first = first_port or row_of_ports(PORTS)
    processes = [_planned(*each, first + PORTS_OF_ONE * at) for at, each in enumerate(who)]
    return ClusterPlan(tuple(processes), secrets.token_hex(16), secrets.token_hex(16))


def _planned(kind: Kind, number: int, first: int) -> Planned:
    address, http, peer = (f"127.0.0.1:{first + n}" for n in range(3))
    match kind:
        case "postgres":
            return Planned(kind, kind, address)
        case "im":
            return Planned(f"{kind}-{number}", kind, http, http)
        case "control":
            return Planned(f"{kind}-{number}", kind, http, http, peer)
        case "gateway":
            return Planned(f"{kind}-{number}", kind, address, http)
    return Planned(f"{kind}-{number}", kind, address, http, peer)


def load_plan(folder: Path) -> ClusterPlan:
    """Raises ClusterError when the folder is none of a cluster."""
    path = folder / PLAN_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClusterPlan)
    except FileNotFoundError:
        raise ClusterError(f"there is no cluster in {folder}: qianwan cluster up makes one") from None
    except (OSError, msgspec.DecodeError) as error:
        raise ClusterError(f"{path}: {error}") from None


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, for the owner alone."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[IO[str]]:
    """One command changes the cluster at a time; another one waits."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
