"""A PostgreSQL primary and its synchronous standby under Patroni, which promotes by itself, and its etcd."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from types import TracebackType

import asyncpg

from benchmarks.ports import row_of_ports
from tests.support.etcd_cluster import EtcdCluster
from tests.support.other_programs import environment
from tests.support.postgres_pair import START_S, PostgresPair

TTL_S, LOOK_S, RETRY_S = 20, 1, 5
"""The least that Patroni takes: a primary that is gone has the lead so long."""


class PatroniPair(PostgresPair):
    """`one` is the primary at first."""

    def __init__(self) -> None:
        super().__init__()
        self._etcd = EtcdCluster(self._folder.with_name(self._folder.name + "-etcd"), size=1)
        first = row_of_ports(2)
        self._tells = {"one": first, "two": first + 1}
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> PatroniPair:
        self._etcd.__enter__()
        for name in self.ports:
            await self.start(name)
        conn = await asyncpg.connect(self.dsn_of("one"))
        try:
            deadline = time.monotonic() + START_S
            while await conn.fetchval("SELECT sync_state FROM pg_stat_replication") != "sync":
                assert time.monotonic() < deadline, self.log("two")
                await asyncio.sleep(0.1)
        finally:
            await conn.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        self._etcd.__exit__(kind, error, trace)

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        file = self._folder / f"{name}.yml"
        file.write_text(json.dumps(self._settings(name)))  # which is YAML
        with (self._folder / f"{name}.log").open("ab") as log:
            keeper = subprocess.Popen(
                ["patroni", str(file)],
                user=self._user, env=environment(), cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip
        self._keepers[name] = keeper
        return keeper

    def _settings(self, name: str) -> dict[str, object]:
        here = f"127.0.0.1:{self.ports[name]}"
        tells = f"127.0.0.1:{self._tells[name]}"
        return {
            "scope": "qw",
            "name": name,
            "restapi": {"listen": tells, "connect_address": tells},
            "etcd3": {"hosts": [each.partition("://")[2] or each for each in self._etcd.endpoints]},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL_S, "loop_wait": LOOK_S, "retry_timeout": RETRY_S,
                    "synchronous_mode": True, "postgresql": {"use_pg_rewind": True},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, {"auth": "trust"}],
            },
            "postgresql": {
                "listen": here,
                "connect_address": here,
                "data_dir": str(self._folder / name),
                "bin_dir": str(self._bin),
                "pgpass": str(self._folder / f"{name}.pgpass"),
                "authentication": {
                    "superuser": {"username": "qw", "password": "of this test"},
                    "replication": {"username": "copies", "password": "of this test"},
                },
                "parameters": {"unix_socket_directories": ""},
                "pg_hba": ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
            },
        }  # fmt: skip

    def kill(self, name: str) -> None:
        if (keeper := self._keepers.get(name)) is not None:
            keeper.kill()
            keeper.wait()
        super().kill(name)

    def freeze(self, name: str) -> None:
        os.kill(self._keepers[name].pid, signal.SIGSTOP)
        super().freeze(name)

    async def promote(self, name: str) -> None:
        """Patroni does it, when the lead of the other one is over."""
