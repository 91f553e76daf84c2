"""A session is counted by what it was told last, and a device is always in the same arm."""

from __future__ import annotations

from tests.native.gateway_core.faces.leaf import PolicyTable

SILENT = 3


def test_a_session_counts_for_one_entry_at_a_time() -> None:
    table = PolicyTable()
    table.set_entry(0, 0)
    table.set_entry(1, 7)
    row, told = table.enter(b"phone")
    assert (row, told, table.counts(0)[0], table.sessions(0)) == (0, 0, 1, 1)
    told = table.tell(told, 1)
    table.died(told, SILENT)
    assert (table.counts(0)[:2], table.counts(1)[:2]) == ([0, 1], [1, 1])
    table.leave(row, told)
    assert (table.counts(1)[0], table.counts(1)[SILENT], table.sessions(0)) == (0, 1, 0)


def test_an_entry_that_is_used_again_begins_its_counts_anew_but_not_those_of_now() -> None:
    table = PolicyTable()
    table.set_entry(1, 7)
    told = table.tell(table.enter(b"phone")[1], 1)
    table.died(told, SILENT)
    table.set_entry(1, 7)
    assert table.counts(1)[:4] == [1, 1, 0, 1]
    table.set_entry(1, 8)
    assert table.counts(1)[:4] == [1, 0, 0, 0]


def test_a_wider_share_keeps_the_devices_that_it_had() -> None:
    table = PolicyTable()
    devices = [f"device-{number}".encode() for number in range(20_000)]
    canaries: set[bytes] = set()
    for share in (100, 1000, 5000, 10_000):
        table.set_row(1, 1, 2, share, 0xABCDEF)
        found = {device for device in devices if table.entry(1, device) == 2}
        assert canaries <= found
        assert abs(len(found) - len(devices) * share / 10_000) < 250
        canaries = found
    table.set_row(1, 1, 2, 1000, 0xABCDE0)
    other = {device for device in devices if table.entry(1, device) == 2}
    table.set_row(1, 1, 2, 1000, 0xABCDEF)
    same = {device for device in other if table.entry(1, device) == 2}
    assert len(same) < 300  # another seed is another tenth
