"""MaxMind files: what they know of an address, in the operator's words.

A file is copied into memory of this process before it is opened: whoever writes over it in place can neither
end the process (SIGBUS) nor have half a file read. One that cannot be read leaves the one before in use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from control.lbs.tables import NAME, IpAddress, Tables

if TYPE_CHECKING:
    import maxminddb

MAX_BYTES = 1 << 30
PROBES = 256
"""Look-ups that a new file must answer before it is used."""


class Place(NamedTuple):
    """What is known of an address; "" is not known. `source` says which line or file knew it."""

    zone: str = ""
    isp: str = ""
    network: str = ""
    source: str = ""


class GeoFile:
    """One MaxMind file, open. Raises ValueError when it is none, or damaged; OSError when it is not there."""

    def __init__(self, path: Path) -> None:
        import maxminddb  # here: a process without such files does without it

        self.name = path.name
        self._copy = _in_memory(path)
        try:
            self._reader: maxminddb.Reader = maxminddb.open_database(f"/proc/self/fd/{self._copy}")
            self.built_at = int(self._reader.metadata().build_epoch)
            for address in _probes(int(self._reader.metadata().ip_version)):
                self._reader.get(address)
        except (maxminddb.InvalidDatabaseError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged, or no MaxMind file ({type(error).__name__})") from None
        finally:
            os.close(self._copy)
        self._failures = (maxminddb.InvalidDatabaseError, ValueError)

    def find(self, address: IpAddress, tables: Tables) -> Place | None:
        """What the file knows, named as `places` and `carriers` say."""
        try:
            record = self._reader.get(address)
        except self._failures:  # of a part that no probe has met, or of an IPv6 address in an IPv4 file
            return None
        return _named(record, tables, self.name) if isinstance(record, dict) else None


def _named(record: Mapping[str, Any], tables: Tables, source: str) -> Place | None:
    """City, country, ASN, ISP and connection type databases, and an own one with zone, isp and network."""
    country = _text(record.get("country"), "iso_code") or _text(record.get("registered_country"), "iso_code")
    zone = _text(record, "zone")
    if not zone and country:
        parts = record.get("subdivisions")
        first = _text(parts[0], "iso_code") if isinstance(parts, list) and parts else ""
        zone = tables.places.get(f"{country}-{first}") or tables.places.get(country, "")
    number = record.get("autonomous_system_number")  # where there is one, `isp` is a text for people
    isp = tables.carriers.get(f"AS{number}", "") if number else _text(record, "isp")
    network = _text(record, "network") or _text(record, "connection_type").lower()
    found = Place(zone, isp, network, source)
    return found if zone or isp or network else None


def _text(record: object, member: str) -> str:
    value = record.get(member) if isinstance(record, dict) else None
    return value if isinstance(value, str) and NAME.fullmatch(value) else ""


def _in_memory(path: Path) -> int:
    """A descriptor of a copy that nobody else has."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(f"{path} has {size} bytes: at most {MAX_BYTES}")
        copy = os.memfd_create(path.name, os.MFD_CLOEXEC)
        try:
            while chunk := file.read(1 << 20):
                os.write(copy, chunk)
        except BaseException:
            os.close(copy)
            raise
        return copy


def _probes(version: int) -> Iterator[str]:
    """Addresses all over the tree."""
    yield from (f"{number}.{number}.7.1" for number in range(PROBES))
    if version == 6:
        yield from (f"{0x2000 + number * 16:x}:{number:x}::1" for number in range(PROBES))
