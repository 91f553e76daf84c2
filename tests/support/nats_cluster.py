"""Three real NATS servers that are one cluster, each killed, stopped and started by itself."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from pathlib import Path
from types import TracebackType

from program.cluster.engines import nats_words
from program.cluster.plan import ClusterPlan, make_plan
from program.cluster.processes import Watched, end, kill

START_S = 60.0


class NatsCluster:
    """Use as a context manager. Servers have the names nats-1 to nats-3."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for each in ("log", "run"):
            (folder / each).mkdir(parents=True)
        self.plan: ClusterPlan = make_plan()
        self.servers = {one.name: Watched(folder, one.name) for one in self.plan.of("nats")}

    @property
    def settings(self) -> dict[str, object]:
        """Of a process that is joined by it."""
        return {
            "bus.kind": "nats",
            "bus.nats_url": self.plan.nats_urls,
            "bus.nats_token": self.plan.nats_token,
        }

    def start(self, *names: str) -> None:
        """These, or all; returns when they are joined."""
        wanted = [one for one in self.plan.of("nats") if not names or one.name in names]
        for one in wanted:
            self.servers[one.name].start(nats_words(self._folder, self.plan, one))
        deadline = time.monotonic() + START_S
        for one in wanted:
            while len(self._told(one.http, "/routez", "routes")) < 2:
                assert time.monotonic() < deadline, self.servers[one.name].log.read_text()
                time.sleep(0.05)

    def clients(self, name: str) -> set[str]:
        """Names of the clients that a server has."""
        one = next(each for each in self.plan.of("nats") if each.name == name)
        return {str(each.get("name")) for each in self._told(one.http, "/connz", "connections")}

    def kill(self, name: str) -> None:
        kill([self.servers[name]])

    def freeze(self, name: str) -> None:
        os.kill(self.servers[name].pid, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        os.kill(self.servers[name].pid, signal.SIGCONT)

    @staticmethod
    def _told(address: str, path: str, key: str) -> list[dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                found: list[dict[str, object]] = json.load(answer).get(key) or []
                return found
        except OSError:
            return []

    def __enter__(self) -> NatsCluster:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self.servers.values(), signal.SIGTERM, 5.0)
