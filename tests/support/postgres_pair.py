"""A PostgreSQL primary and its synchronous standby, real servers with a folder and a port each."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import asyncpg

from benchmarks.ports import row_of_ports
from program.cluster.processes import freeze_postgres, postgres_left
from tests.support.other_programs import environment
from tests.support.postgres_server import binaries

START_S = 60.0


class PostgresPair:
    """Use as an async context manager. The primary is `one`; what it acknowledged is on the disk of `two`."""

    def __init__(self) -> None:
        self._bin = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="qw-pg-pair-"))
        first = row_of_ports(2)
        self.ports = {"one": first, "two": first + 1}
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            owner = pwd.getpwnam(self._user)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)

    @property
    def dsn(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports.values())
        return f"postgresql://qw@{hosts}/postgres"

    def dsn_of(self, name: str) -> str:
        return f"postgresql://qw@127.0.0.1:{self.ports[name]}/postgres"

    async def __aenter__(self) -> PostgresPair:
        data = str(self._folder / "one")
        self._run("initdb", "-D", data, "-U", "qw", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8")
        await self.start("one")
        self._run(
            "pg_basebackup", "-h", "127.0.0.1", "-p", str(self.ports["one"]), "-U", "qw",
            "-D", str(self._folder / "two"), "-R", "-X", "stream", "-c", "fast",
        )  # fmt: skip
        await self.start("two")
        conn = await asyncpg.connect(self.dsn_of("one"))
        try:
            await conn.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await conn.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + START_S
            while await conn.fetchval("SELECT sync_state FROM pg_stat_replication") != "sync":
                assert time.monotonic() < deadline, self.log("two")
        finally:
            await conn.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self.ports:
            self.kill(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [
                    self._bin / "postgres", "-D", str(self._folder / name), "-p", str(self.ports[name]),
                    "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                ],
                user=self._user, env=environment(), cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip

    async def start(self, name: str) -> None:
        """Returns when it answers."""
        process = await asyncio.to_thread(self._spawn, name)
        deadline = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < deadline:
            try:
                conn = await asyncpg.connect(self.dsn_of(name), timeout=5)
            except (OSError, asyncpg.PostgresError):
                continue
            await conn.close()
            return
        raise AssertionError(f"PostgreSQL did not start:\n{self.log(name)}")

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text("utf-8", "replace")

    def kill(self, name: str) -> None:
        """kill -9 of all its processes."""
        while pids := postgres_left(self._folder / name):
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def freeze(self, name: str) -> None:
        assert freeze_postgres(self._folder / name)

    async def promote(self, name: str) -> None:
        """By hand, as an operator does."""
        conn = await asyncpg.connect(self.dsn_of(name))
        try:
            assert await conn.fetchval("SELECT pg_promote()")
        finally:
            await conn.close()

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._bin / program, *words],
            user=self._user, env=environment(), cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
