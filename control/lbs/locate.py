"""Zone, carrier and network of a client: what it says itself, then the operator's tables, then MaxMind files.

Each source fills in what those before it left open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from control.lbs.geo import GeoFile, Place
from control.lbs.tables import IpAddress, Tables


class Location(NamedTuple):
    """Where a client is; "" is not known. `sources`: who knew what, for people."""

    zone: str = ""
    isp: str = ""
    network: str = ""
    sources: tuple[Place, ...] = ()


NOWHERE = Location()


class Atlas:
    """All sources together. Replaced as a whole when one of them changes."""

    def __init__(self, tables: Sequence[tuple[str, Tables]] = (), files: Sequence[GeoFile] = ()) -> None:
        self._tables = tables
        self._files = files
        self._names = Tables(
            places={key: value for _, table in reversed(tables) for key, value in table.places.items()},
            carriers={key: value for _, table in reversed(tables) for key, value in table.carriers.items()},
        )

    @property
    def asks_addresses(self) -> bool:
        """Answers differ by the client's address."""
        return any(tables.lines for _, tables in self._tables) or bool(self._files)

    def near(self, zone: str) -> Sequence[str]:
        """Zones to go to when this one has no room, the best first: of the first table that names any."""
        return next((tables.near[zone] for _, tables in self._tables if zone in tables.near), ())

    def all_near(self) -> dict[str, list[str]]:
        """Of every zone that has any."""
        return {zone: list(near) for _, table in reversed(self._tables) for zone, near in table.near.items()}

    def locate(self, address: IpAddress | None, said: Location = NOWHERE) -> Location:
        """Of a client with this address that says this of itself."""
        found = [Place(said.zone, said.isp, said.network, "the question")] if any(said[:3]) else []
        if address is not None:
            for name, tables in self._tables:
                if (hit := tables.find(address)) is not None:
                    number, line = hit
                    source = f"{name}, line {number}: {line.cidr}"
                    found.append(Place(line.zone, line.isp, line.network, source))
            found += [place for file in self._files if (place := file.find(address, self._names)) is not None]
        zone = next((place.zone for place in found if place.zone), "")
        isp = next((place.isp for place in found if place.isp), "")
        network = next((place.network for place in found if place.network), "")
        return Location(zone, isp, network, tuple(found))
