"""What a start would meet, asked with the checks of `serve` itself: whatever it refuses is red here."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator

from control.gateway.role import refuse_taken_port
from control.im.role import make_store
from control.im.store_watch import refuse_lost
from control.keys.data_folder import FIRST_KEY_FILE, STORE_FILE, STORE_SEEN_FILE
from control.keys.files import owner_of
from control.keys.keystore import KeyStore, api_keys, would_make_keys
from control.lbs.sources import LbsSources
from control.process.data_folder import Holder, holder
from control.process.descriptors import raise_file_limit, shares
from control.process.first_root import refuse_new_root
from control.process.http_server import bound
from control.settings import Settings
from control.settings.values import parse_address
from control.workers.plan import worker_settings
from program.doctor.cluster import cluster
from program.doctor.finding import GREEN, RED, YELLOW, Finding, refusal

DAY_S = 86400
SOON_DAYS = 14


def start(settings: Settings) -> Iterator[Finding]:
    folder = settings.server.data_dir
    yield from _folder(settings)
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        return  # what is in it shows itself to its owner
    running = holder(folder)
    for check in (_keys, _first_key, _descriptors, _lbs_files):
        yield from check(settings)
    store = list(_store(settings))
    yield from store
    yield from cluster(settings, running, bool(store) and store[0].level == GREEN)
    yield from _ports(settings, running)


def _folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.server.data_dir

    def writable() -> str:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise OSError(f"{there} cannot be written to by this user: it belongs to {owner_of(there)}")
        return str(folder) if there == folder.absolute() else f"{folder} is not there yet"

    yield refusal(
        "data folder", writable, "ask as the user of the server; give a new one a folder of its own"
    )


def _keys(settings: Settings) -> Iterator[Finding]:
    folder = settings.server.data_dir / "keys"
    if set(settings.server.roles) == {"im"}:
        return

    def readable() -> str:
        if would_make_keys(settings):
            if settings.etcd.endpoints and settings.auth.keys_secret:
                return f"{folder}: the first start takes those of the cluster"
            asyncio.run(refuse_new_root(settings))
            return f"{folder}: the first start makes them"
        api_keys(settings)
        KeyStore(settings)
        return f"{folder}: root, server, token and API keys"

    found = refusal("keys", readable, "see Backup and restore in docs/OPERATIONS.md")
    yield found
    if folder.is_dir():
        opened = [path.name for path in sorted(folder.iterdir()) if stat.S_IMODE(path.stat().st_mode) & 0o077]
        yield Finding(
            RED if opened else GREEN,
            "key file permissions",
            ", ".join(opened) if opened else f"{folder}: only the owner can read",
            f"chmod 600 {folder}/*, and rotate what others may have read" if opened else "",
        )
    if found.level == RED or would_make_keys(settings):
        return
    for kind, seconds in KeyStore(settings).seconds_left().items():
        days = seconds // DAY_S
        yield Finding(
            GREEN if days > SOON_DAYS else YELLOW if seconds else RED,
            f"{kind} key",
            f"valid for {days} days" if seconds else "none is valid",
            "" if days > SOON_DAYS else f"qianwan keys rotate {kind}",
        )


def _first_key(settings: Settings) -> Iterator[Finding]:
    path = settings.server.data_dir / FIRST_KEY_FILE
    if path.exists():
        yield Finding(YELLOW, "first API key", f"still in {path}", "keep it elsewhere and remove the file")


def _descriptors(settings: Settings) -> Iterator[Finding]:
    def enough() -> str:
        raise_file_limit()
        found = shares(settings)
        return f"{found.clients} for clients, {found.http} for HTTP"

    yield refusal("descriptors", enough, "raise LimitNOFILE")


def _lbs_files(settings: Settings) -> Iterator[Finding]:
    lbs = settings.control.lbs
    if "control" not in settings.server.roles or not (lbs.tables or lbs.mmdb):
        return

    def readable() -> str:
        asyncio.run(LbsSources(lbs.tables, lbs.mmdb).start())
        return ", ".join([lbs.tables] * bool(lbs.tables) + [*lbs.mmdb])

    yield refusal("LBS files", readable, 'see "LBS" in docs/OPERATIONS.md')


def _store(settings: Settings) -> Iterator[Finding]:
    if "im" not in settings.server.roles:
        return

    def usable() -> str:
        store, folder = make_store(settings), settings.server.data_dir
        if settings.store.kind == "sqlite":
            asyncio.run(refuse_lost(store, folder / STORE_FILE, folder / STORE_SEEN_FILE))
        missing = asyncio.run(store.look())
        return f"{settings.store.kind}, " + (f"{missing} migrations to come" if missing else "up to date")

    where = settings.server.data_dir / STORE_FILE if settings.store.kind == "sqlite" else settings.store.url
    yield refusal("store", usable, f"see docs/STORAGE.md: {where}")


def _ports(settings: Settings, running: Holder | None) -> Iterator[Finding]:
    def http() -> None:
        bound(*parse_address(settings.control.http)).close()

    def admin() -> None:
        bound(*parse_address(settings.control.admin), "admin").close()

    def lbs() -> None:
        bound(*parse_address(settings.control.lbs.http), "LBS").close()

    yield _port("HTTP port", "http", settings.control.http, http, running)
    if settings.control.lbs.http and "control" in settings.server.roles:
        yield _port("LBS port", "lbs_http", settings.control.lbs.http, lbs, running)
    if settings.control.admin and "control" in settings.server.roles:
        yield _port("admin port", "admin", settings.control.admin, admin, running)
    if "gateway" not in settings.server.roles:
        return
    gateway = settings.gateway
    count = 1 if gateway.same_port else gateway.processes
    for index in range(count):
        listen = worker_settings(settings, index).gateway.listen if gateway.processes > 1 else gateway.listen

        def client(listen: str = listen) -> None:
            refuse_taken_port(*parse_address(listen))

        check = "client port" if count == 1 else f"client port {index + 1}"
        yield _port(check, "listen", listen, client, running)


def _port(check: str, name: str, address: str, take: Callable[[], None], running: Holder | None) -> Finding:
    if not parse_address(address)[1]:
        chosen = running.addresses.get(name) if running else None
        return Finding(
            GREEN, check, f"{chosen or address}: " + ("bound" if chosen else "chosen at the start")
        )
    try:
        take()
    except OSError as error:
        if running is None:
            return Finding(RED, check, str(error), "another program holds it")
        who = f"process {running.pid}" if running.pid else "a process"
        return Finding(GREEN, check, f"{address} is taken, and a server runs on this data folder ({who})")
    return Finding(GREEN, check, f"{address} is free")
