"""`LocalCluster`: up, down, one process killed, stopped or started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from program.cluster import engines
from program.cluster.health import Health, look, look_at, started
from program.cluster.plan import (
    ENGINE_KINDS,
    PLAN_FILE,
    ROLES,
    ClusterError,
    ClusterPlan,
    Kind,
    Planned,
    alone_in,
    load_plan,
    make_plan,
    write_private,
)
from program.cluster.processes import FREEZE_S, Watched, end, freeze_postgres, kill, postgres_left, wait_until

START_S = 120.0
STOP_S = 40.0
DRAIN_S = 5
NEEDS_BYTES = 500 << 20
"""Of a new cluster: etcd alone takes two files of 64 MB for each member before anything is written."""
SETTINGS = "qianwan.toml"
END_OF: dict[Kind, signal.Signals] = {"postgres": signal.SIGINT}
"""Of PostgreSQL's three ways to end the one that waits for no client; SIGTERM to all others."""
STOPPED: tuple[Kind, ...] = ("gateway", "control", "im", "nats", "postgres", "etcd")

Say = Callable[[str], None]


class LocalCluster:
    """The cluster of a folder that has one. Raises ClusterError."""

    def __init__(self, folder: Path, say: Say = lambda _: None) -> None:
        self.folder = folder.resolve()
        self.plan: ClusterPlan = load_plan(self.folder)
        self.processes = {each.name: Watched(self.folder, each.name) for each in self.plan.processes}
        self._say = say

    # what it is

    def planned(self, name: str) -> Planned:
        return next(each for each in self.plan.processes if each.name == name)

    def status(self) -> list[Health]:
        return look(self.plan, self.processes)

    def health(self, name: str) -> Health:
        return look_at(self.plan, self.planned(name), self.processes[name])

    def api_key(self) -> str:
        """Of the cluster's HTTP API, all scopes. Raises ClusterError."""
        from control.keys.data_folder import FIRST_KEY_FILE

        try:
            return (self.folder / "data" / FIRST_KEY_FILE).read_text("ascii").strip()
        except OSError as error:
            raise ClusterError(f"the first API key is not there: {error}") from None

    # up

    def up(self) -> None:
        """Start what does not run, and wait until all is well."""
        first, *others = self.plan.of(*ROLES)
        below = [each.name for each in self.plan.of(*ENGINE_KINDS)]
        with alone_in(self.folder) as lock:
            self._start(below, lock)
            self.await_well(below)
            asyncio.run(engines.make_database(self.plan))
            # It makes the keys that all of them use, and is ready when there is an im process.
            self._start([first.name], lock)
            self._await(first.name, lambda: started(first), START_S)
            self._start([each.name for each in others], lock)
            self.await_well(each.name for each in self.plan.of(*ROLES))

    def start(self, names: Iterable[str]) -> None:
        """Start these again, and wait until they are well."""
        wanted = list(names)
        with alone_in(self.folder) as lock:
            self._start(wanted, lock)
            self.await_well(wanted)

    def _start(self, names: list[str], lock: IO[str]) -> None:
        fresh = [name for name in names if not self.processes[name].pid]
        if fresh:
            self._say(f"starting {', '.join(fresh)}")
        for name in fresh:
            one = self.planned(name)
            self.processes[name].start(self._words(one), lock, one.group)

    def await_well(self, names: Iterable[str], timeout_s: float = START_S) -> None:
        """Return when they are. Raises ClusterError."""
        until = time.monotonic() + timeout_s
        for name in names:
            self._await(name, partial(self._well, name), until - time.monotonic())

    def _well(self, name: str) -> bool:
        return self.health(name).well

    def _await(self, name: str, condition: Callable[[], bool], timeout_s: float) -> None:
        process = self.processes[name]
        if not wait_until(lambda: condition() or not process.pid, timeout_s):
            problem = self.health(name).problem
            raise ClusterError(f"{name} is not well after {START_S:.0f} s: {problem} ({process.log})")
        if not process.pid:
            raise ClusterError(f"{name} ended: {process.last_words() or 'without a word'} ({process.log})")

    def _words(self, one: Planned) -> list[str]:
        match one.kind:
            case "etcd":
                return engines.etcd_words(self.folder, self.plan, one)
            case "nats":
                return engines.nats_words(self.folder, self.plan, one)
            case "postgres":
                engines.make_postgres_data(self.folder, self.plan, one)
                if not wait_until(lambda: not postgres_left(self.folder / one.name), STOP_S):
                    raise ClusterError(f"{one.name}: processes of an earlier start do not end")
                return engines.postgres_words(self.folder, one)
        words = [
            "env", f"QIANWAN_SERVER__NODE_NAME={one.name}",
            sys.executable, "-m", "program", "serve", "--config", str(self.folder / SETTINGS),
            "--role", one.kind, "--http", one.http, "--admin", one.peer,
        ]  # fmt: skip
        return [*words, "--listen", one.address] if one.kind == "gateway" else words

    # down

    def down(self) -> list[str]:
        """Stop everything in order. -> names of those that had to be killed."""
        with alone_in(self.folder):
            late: list[str] = []
            for kind in STOPPED:
                found = [self.processes[each.name] for each in self.plan.of(kind)]
                late += end(found, END_OF.get(kind, signal.SIGTERM), STOP_S)
            data = [self.folder / one.name for one in self.plan.of("postgres")]
            wait_until(lambda: not any(map(postgres_left, data)), STOP_S)
            return late

    # faults

    def kill(self, *names: str) -> None:
        """kill -9"""
        kill([self.processes[name] for name in names])

    def restart(self, name: str) -> None:
        """It ends as at `down`, and comes again. Raises ClusterError, also where it had to be killed."""
        one = self.planned(name)
        with alone_in(self.folder):
            late = end([self.processes[name]], END_OF.get(one.kind, signal.SIGTERM), STOP_S)
        self.start([name])
        if late:
            raise ClusterError(f"{name} had to be killed")

    def freeze(self, name: str) -> None:
        """It stands still when this returns: connections stay, nothing answers. Raises ClusterError."""
        one = self.processes[name]
        one.send(signal.SIGSTOP)
        still = wait_until(lambda: one.stopped, FREEZE_S)
        if self.planned(name).kind == "postgres":  # which has a process for each connection
            still = freeze_postgres(self.folder / name)
        if not still:
            raise ClusterError(f"{name} does not stand still")

    def go_on(self, name: str) -> None:
        self.processes[name].send(signal.SIGCONT)
        if self.planned(name).kind == "postgres":
            for pid in postgres_left(self.folder / name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def bring_up(folder: Path, say: Say, first_port: int = 0) -> LocalCluster:
    """The cluster of this folder, made when there is none: its ports begin there. Raises ClusterError."""
    if lacking := engines.missing():
        raise ClusterError(f"missing: {lacking}")
    engines.as_postgres()
    folder = folder.resolve()
    if not (folder / PLAN_FILE).exists():
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "lock").exists():
            raise ClusterError(f"{folder} is neither empty nor a cluster")
        for each in (folder, folder / "log", folder / "run"):
            try:
                each.mkdir(mode=0o755, exist_ok=True, parents=True)
            except OSError as error:
                raise ClusterError(f"no folder can be made at {each}: {error.strerror}") from None
        with alone_in(folder):
            if not (folder / PLAN_FILE).exists():
                if (free := shutil.disk_usage(folder).free) < NEEDS_BYTES:
                    raise ClusterError(
                        f"the disk of {folder} has {free >> 20} MiB left:"
                        f" a new cluster takes {NEEDS_BYTES >> 20}"
                    )
                plan = make_plan(first_port)
                write_private(folder / SETTINGS, settings_text(folder, plan))
                shown = msgspec.json.format(msgspec.json.encode(plan), indent=2)
                write_private(folder / PLAN_FILE, shown.decode() + "\n")
    cluster = LocalCluster(folder, say)
    if first_port and str(first_port) != (made := cluster.plan.processes[0].port):
        raise ClusterError(
            f"the ports of {folder} begin at {made}: `qianwan cluster down`, and another folder for others"
        )
    _follow(folder, say)
    cluster.up()
    return cluster


def _follow(folder: Path, say: Say) -> None:
    """The settings of a folder that was moved name the data where they are now: an empty folder at the old
    place would be another installation, with other keys."""
    path, data = folder / SETTINGS, folder / "data"
    text = path.read_text("utf-8")
    before = tomllib.loads(text).get("server", {}).get("data_dir", "")
    if Path(before) != data and data.is_dir():
        write_private(path, text.replace(json.dumps(before), json.dumps(str(data)), 1))
        say(f"the folder was moved: {SETTINGS} names {data} now, not {before}")


def purge(folder: Path) -> None:
    """Remove what is kept of a cluster that is down."""
    load_plan(folder.resolve())
    shutil.rmtree(folder.resolve())


def settings_text(folder: Path, plan: ClusterPlan) -> str:
    """What all `qianwan serve` processes share; addresses and roles stand on their command lines."""
    tables: dict[str, dict[str, object]] = {
        "server": {"data_dir": str(folder / "data"), "drain_timeout_s": DRAIN_S, "drain_spread_s": 1},
        "bus": {"kind": "nats", "nats_url": plan.nats_urls, "nats_token": plan.nats_token},
        "etcd": {"endpoints": plan.etcd_urls},
        "store": {"kind": "postgres", "url": plan.store_url},
        "control": {"admin": plan.of("control")[0].peer},  # where commands with this file ask
    }
    lines: list[str] = []
    for table, values in tables.items():
        # JSON's notation of texts, numbers and lists is TOML's.
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
