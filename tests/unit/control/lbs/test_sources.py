"""Where zones come from: the question, the document, the file, MaxMind files; damage changes nothing."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from control.coordination.documents import Document
from control.errors import StartError
from control.lbs.locate import Location
from control.lbs.sources import DOCUMENT, LbsSources

CITY = {"country": {"iso_code": "CN"}, "subdivisions": [{"iso_code": "SH"}]}
NAMES = b'{"places": {"CN-SH": "east", "CN": "north"}, "carriers": {"AS4134": "ct"}}'


def write(path: Path, networks: dict[str, dict[str, object]]) -> None:
    """In place of what is there, as a download would."""
    writer = MMDBWriter(6, "Test-City", ipv4_compatible=True)
    for cidr, record in networks.items():
        writer.insert_network(IPSet([cidr]), record)
    writer.to_db_file(str(path.with_suffix(".new")))
    os.replace(path.with_suffix(".new"), path)


def found(sources: LbsSources, address: str, said: Location = Location()) -> tuple[str, str, str]:  # noqa: B008
    return sources.atlas().locate(ipaddress.ip_address(address), said)[:3]


def document(text: bytes, revision: int = 1) -> Document:
    return Document(DOCUMENT, text, revision)


async def test_each_source_fills_in_what_those_before_left_open(tmp_path: Path) -> None:
    table, city = tmp_path / "tables.json", tmp_path / "city.mmdb"
    table.write_bytes(
        b'{"networks": [{"cidr": "1.2.0.0/16", "isp": "cu"}, {"cidr": "1.3.0.0/16", "network": "5g"}]}'
    )
    write(
        city,
        {
            "1.0.0.0/8": {**CITY, "autonomous_system_number": 4134},
            "2400::/16": {"country": {"iso_code": "CN"}},
        },
    )
    sources = LbsSources(str(table), (str(city),))
    await sources.start()
    sources.told(DOCUMENT, document(NAMES))
    await sources.tick()
    assert found(sources, "1.2.3.4") == ("east", "cu", "")
    assert found(sources, "1.3.3.4") == ("east", "ct", "5g")
    assert found(sources, "2400::1") == ("north", "", "")
    assert found(sources, "9.9.9.9") == ("", "", "")
    assert found(sources, "1.3.3.4", Location("west")) == ("west", "ct", "5g"), "the client knows best"
    told = sources.atlas().locate(ipaddress.ip_address("1.2.3.4")).sources
    assert [one.source for one in told] == ["tables.json, line 1: 1.2.0.0/16", "city.mmdb"]


async def test_a_file_that_changes_is_read_again_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    table, city = tmp_path / "tables.json", tmp_path / "city.mmdb"
    table.write_bytes(NAMES)
    write(city, {"1.0.0.0/8": CITY})
    sources = LbsSources(str(table), (str(city),))
    await sources.start()
    assert found(sources, "1.2.3.4")[0] == "east"

    city.write_bytes(city.read_bytes()[:500])  # in place, under a reader
    table.write_bytes(b'{"places": {"CN-SH": "a place"}}')
    await sources.tick()
    assert found(sources, "1.2.3.4")[0] == "east", "what was there stays"
    assert sources.problem()
    assert sources.sources()["lbs"]()["sources_stale"] == 1

    city.unlink()
    await sources.tick()
    assert found(sources, "1.2.3.4")[0] == "east"

    write(city, {"1.0.0.0/8": {"country": {"iso_code": "CN"}}})
    table.write_bytes(b'{"places": {"CN": "south"}}')
    await sources.tick()
    assert found(sources, "1.2.3.4")[0] == "south"
    assert sources.problem() is None


async def test_a_document_goes_before_the_file_and_a_wrong_one_is_as_if_not_written(tmp_path: Path) -> None:
    table = tmp_path / "tables.json"
    table.write_bytes(b'{"networks": [{"cidr": "10.0.0.0/8", "zone": "file"}], "near": {"file": ["next"]}}')
    sources = LbsSources(str(table), ())
    await sources.start()
    sources.told(DOCUMENT, document(b'{"networks": [{"cidr": "10.0.0.0/9", "zone": "document"}]}'))
    await sources.tick()
    assert found(sources, "10.1.1.1")[0] == "document"
    assert found(sources, "10.200.1.1")[0] == "file"
    assert list(sources.atlas().near("file")) == ["next"]
    sources.told(DOCUMENT, document(b"nonsense", 2))
    await sources.tick()
    assert found(sources, "10.1.1.1")[0] == "document"
    assert "not JSON" in str(sources.problem())
    sources.told(DOCUMENT, None)
    await sources.tick()
    assert found(sources, "10.1.1.1")[0] == "file"
    assert sources.problem() is None


@pytest.mark.parametrize("content", [None, b"", b"no database", b"{]"])
async def test_a_server_does_not_start_with_a_file_that_it_cannot_read(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    for sources in (LbsSources(str(path), ()), LbsSources("", (str(path),))):
        with pytest.raises(StartError, match="given"):
            await sources.start()


async def test_an_own_database_may_name_zones_itself(tmp_path: Path) -> None:
    path = tmp_path / "own.mmdb"
    write(
        path,
        {"1.0.0.0/8": {"zone": "east", "isp": "ct", "network": "mobile"}, "2.0.0.0/8": {"isp": "A Carrier"}},
    )
    sources = LbsSources("", (str(path),))
    await sources.start()
    assert found(sources, "1.1.1.1") == ("east", "ct", "mobile")
    assert found(sources, "2.1.1.1") == ("", "", ""), "a text for people is no name"
