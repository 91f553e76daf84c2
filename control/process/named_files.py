"""Files that settings name: each is read before anything is created, so that `config check` and `serve`
refuse the same, with all reasons. A role reads its own files only: others may not be on its machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from control.errors import StartError
from control.settings import Settings


def problems(settings: Settings) -> Iterator[str]:
    """Everything that is wrong with them, each with its setting and the file."""
    for role, look in LOOKS:
        if not role or role in settings.server.roles:
            yield from look(settings)


def _etcd(settings: Settings) -> Iterator[str]:
    if not settings.etcd.endpoints:
        return
    from control.coordination.etcd.certificates import read
    from control.coordination.etcd.errors import EtcdError

    try:
        read(settings.etcd)
    except EtcdError as error:
        yield str(error)


def etcd_note(settings: Settings) -> str:
    """What is to be known of certificates that can be read: a server waits with them, somebody who checks is
    told."""
    if not settings.etcd.endpoints or list(_etcd(settings)):
        return ""
    from control.coordination.etcd.certificates import read

    return read(settings.etcd).note


def _lbs(settings: Settings) -> Iterator[str]:
    lbs = settings.control.lbs
    if not (lbs.tables or lbs.mmdb):
        return
    from control.lbs.geo import GeoFile
    from control.lbs.sources import read_tables

    readers: list[tuple[str, Callable[[Path], object]]] = [(lbs.tables, read_tables)] if lbs.tables else []
    for name, read in [*readers, *((name, GeoFile) for name in lbs.mmdb)]:
        try:
            read(Path(name))
        except (OSError, ValueError) as error:
            yield f"control.lbs: {error}"


def _outgoing(settings: Settings) -> Iterator[str]:
    if not settings.outgoing.ca:
        return
    from control.outgoing.client import make_client

    try:
        make_client(settings.outgoing)
    except StartError as error:
        yield str(error)


def _push(settings: Settings) -> Iterator[str]:
    if not (settings.push.apns.key or settings.push.fcm.accounts):
        return
    from control.push.build import check_files
    from im_service.ports import SystemClock

    yield from check_files(settings, SystemClock())


LOOKS: tuple[tuple[str, Callable[[Settings], Iterator[str]]], ...] = (
    ("", _etcd), ("control", _lbs), ("im", _outgoing), ("im", _push),
)  # fmt: skip
FILES: Mapping[str, str] = {
    "etcd.ca": "", "etcd.cert": "", "etcd.key": "", "control.lbs.tables": "control", "control.lbs.mmdb":
    "control", "outgoing.ca": "im", "push.apns.key": "im", "push.fcm.accounts": "im",
}  # fmt: skip
"""Setting -> the role that reads its file, "": all."""
