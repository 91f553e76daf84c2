"""The parts of a process that belong to no role."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from control.api.admin.app import create_admin_app
from control.api.app import create_app, create_lbs_app
from control.api.long_polls import LongPolls
from control.api.services import Services
from control.audit.entry import DONE, Words
from control.audit.trail import Audit
from control.bus.base import MIN_PAYLOAD, Bus
from control.bus.hearing import Hearing
from control.coordination.base import Coordination, NodeInfo
from control.gateway.drain import DrainStatus
from control.health import Health
from control.im.resting import Resting
from control.keys.api_keys import split_key
from control.keys.data_folder import FIRST_KEY_FILE
from control.keys.files import locked, write_bytes
from control.keys.keyring import Keyring
from control.keys.keystore import KeyStore
from control.logs import get_logger
from control.part import Check, Part, Source
from control.process.heap import Trimmer
from control.process.http_protocol import Bounds
from control.process.http_server import HttpServer
from control.settings.values import parse_address

log = get_logger("process")


class KeysPart(Part):
    """Looks after the key files; `changed` is told when they did."""

    def __init__(self, keystore: KeyStore, changed: Callable[[], None]) -> None:
        self._keystore = keystore
        self._changed = changed

    def checks(self) -> Mapping[str, Check]:
        return {"keys": self._keystore.check}

    def sources(self) -> Mapping[str, Source]:
        return {"keys": self._keystore.seconds_left}

    async def tick(self) -> None:
        if self._keystore.look_after():
            log.info("the keys changed", key_ids=[key[0] for key in self._keystore.gateway_keys()])
            self._changed()


class BusPart(Part):
    """The bus. It is shown when it joins several processes, so that somebody cares how it is: `hearing`."""

    def __init__(self, bus: Bus, hearing: Hearing | None) -> None:
        self._bus = bus
        self._hearing = hearing

    async def start(self) -> None:
        await self._bus.start()
        if self._hearing is not None:
            await self._hearing.start()

    async def tick(self) -> None:
        if self._hearing is not None:
            self._hearing.tick()

    async def stop(self, grace_s: float) -> None:
        await self._bus.close()

    def checks(self) -> Mapping[str, Check]:
        return {"bus": self.problem} if self._hearing is not None else {}

    def problem(self) -> str | None:
        """Why nobody else is heard now, or could be soon."""
        if not self._bus.connected:
            return "not connected"
        if self._hearing is not None and (silent := self._hearing.problem()):
            return silent
        carried = self._bus.max_payload
        return f"carries {carried} bytes a message, not {MIN_PAYLOAD}" if carried < MIN_PAYLOAD else None

    def sources(self) -> Mapping[str, Source]:
        if self._hearing is None:
            return {}
        return {"bus": lambda: {"connected": self.problem() is None, "dropped": self._bus.dropped}}


class ImSeen(Part):
    """A process of the role `control` alone answers through the im processes: one must live."""

    def __init__(self, coordination: Coordination) -> None:
        self._coordination = coordination

    def checks(self) -> Mapping[str, Check]:
        return {"im": lambda: None if self._coordination.nodes("im") else "no live im process"}


class OwnNode(Part):
    """Tells the cluster of this process, and how full it is. Started when everything is there to be used:
    `port` is asked then for what clients are told, unless `info` says it.
    """

    def __init__(
        self,
        coordination: Coordination,
        info: NodeInfo,
        port: Callable[[], int],
        connections: Callable[[], int],
        store: Callable[[], bytes],
        login: Callable[[], int],
        health: Health,
        drain: Callable[[], DrainStatus],
        refuses: Callable[[], Iterable[str]] = tuple,
        resting: Resting | None = None,
        cut_off: Callable[[], bool] = lambda: False,
    ) -> None:
        self._cut_off = cut_off
        self._coordination = coordination
        self._info = info
        self._port = port
        self._connections = connections
        self._store = store
        self._login = login
        self._health = health
        self._drain = drain
        self._refuses = refuses
        self._resting = resting
        self._started = False

    async def start(self) -> None:
        self._started = True
        self._info = msgspec.structs.replace(self._info, port=self._info.port or self._port())
        await self.tick()

    async def drain(self) -> None:
        await self.tick()

    async def tick(self) -> None:
        """The next beacon carries it."""
        if self._resting is not None:
            self._resting.look()
        self.tell()

    def tell(self) -> None:
        """A drain that begins or ends is told at once."""
        if not self._started:
            return
        drain = self._drain()
        self._info = msgspec.structs.replace(
            self._info,
            connections=self._connections(),
            draining=self._health.draining or drain.draining,
            drain=(drain.told, drain.left, drain.remaining, drain.rate) if drain.draining else None,
            cut_off=self._cut_off(),
            waits=drain.waits,
            store=self._store(),
            refuses=tuple(self._refuses()),
            unwell=self._resting is not None and self._resting.unwell,
            rests=self._resting is not None and self._resting.rests,
            login=max(self._login(), self._coordination.latest_login),
        )
        self._coordination.announce(self._info)


class HttpPart(Part):
    """HTTP API, probes and metrics; `services` is asked when every part before it has started."""

    name = "http"
    title = "HTTP"
    make_app = staticmethod(create_app)
    proxied = True

    def __init__(self, address: str, services: Callable[[], Services], bounds: Bounds) -> None:
        self._address = address
        self._services = services
        self._bounds = bounds
        self._server: HttpServer | None = None

    def long_polls(self) -> LongPolls:
        return self._services().long_polls

    async def start(self) -> None:
        self._server = HttpServer(
            self.make_app(self._services()),
            *parse_address(self._address),
            self._bounds,
            proxied=self.proxied,
            name=self.title,
        )
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        if self._server is not None:
            self.long_polls().end()
            await self._server.stop(at_once=not grace_s)

    def sources(self) -> Mapping[str, Source]:
        return {
            self.name: lambda: self._bounds.stats() | self.long_polls().stats(),
            "api_keys": lambda: self._services().lockout.stats(time.monotonic()),
        }

    def addresses(self) -> Mapping[str, str]:
        return {self.name: self._server.address} if self._server is not None else {}


class AdminPart(HttpPart):
    """The admin API. It hears who a key comes from, and no proxy may say another."""

    name = "admin"
    title = "admin"
    make_app = staticmethod(create_admin_app)
    proxied = False

    def long_polls(self) -> LongPolls:
        return self._services().operator_polls


class LbsPart(HttpPart):
    """A listener for clients that answers LBS and nothing else."""

    name = "lbs_http"
    title = "LBS"
    make_app = staticmethod(create_lbs_app)
    proxied = False

    def sources(self) -> Mapping[str, Source]:
        return {self.name: self._bounds.stats}


class HeapTrim(Part):
    """Gives memory back after a storm of connections (control/process/heap.py)."""

    def __init__(self, connections: Callable[[], int]) -> None:
        self._connections = connections
        self._trimmer = Trimmer()

    async def tick(self) -> None:
        self._trimmer.look(self._connections(), time.monotonic())


class FirstApiKey(Part):
    """Makes a key when there is none. Started last: it is told once, so a start that fails must not use it
    up. A person at a terminal reads it; what else standard output is, others keep and read: a file holds it.
    """

    def __init__(self, keystore: KeyStore, keyring: Keyring, data_dir: Path, audit: Audit) -> None:
        self._keystore = keystore
        self._keyring = keyring
        self._audit = audit
        self._file = data_dir / FIRST_KEY_FILE

    async def start(self) -> None:
        terminal = sys.stdout.isatty()
        text = self._keyring.folder.create_first("first", self._show if terminal else self._keep)
        await self._keyring.share_first()
        if not text:
            return
        words = Words(what="api-key.create", via="start", outcome=DONE, ids={"key": split_key(text)[0]})
        await self._audit.operators.try_to_write(words)
        if self._keystore.found and self._keystore.shared is None:  # else they came from the cluster
            log.warning(
                "no API keys beside keys that were there already: the first one is made; where app servers"
                " have keys, put keys/api-keys.json back"
            )
        if not terminal:
            _say(f"API key: in {self._file} (keep it elsewhere, remove the file: its hash is enough here)\n")

    def _show(self, text: str) -> None:
        _say(f"API key (shown once, only its hash is kept): {text}\n")

    def _keep(self, text: str) -> None:
        with locked(
            self._file.parent
        ):  # of processes that share it, one removes what another leaves half done
            write_bytes(self._file, f"{text}\n".encode(), replace=True)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a pipe that nobody reads any more is no reason to stop
        sys.stdout.write(text)
        sys.stdout.flush()
