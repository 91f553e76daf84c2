"""Policies in the core: a connection goes by its row, hears of it once, and is counted by what it heard."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from frame.constants import FrameType
from gateway_core import EV_LOOKED, EV_REPORT, EV_SILENT
from gateway_core.engine.gateway import arm_of
from tests.support.gateway_client import WireClient, uv, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]
REPORT = msgspec.msgpack.encode({"net": "4g", "carrier": "46000"})


def told(client: WireClient) -> bytes:
    """The POLICY that comes with the next PONG, empty without one."""
    client.frame(FrameType.PING)
    frame = client.next()
    if frame.type == FrameType.PONG:
        return b""
    assert frame.type == FrameType.POLICY
    client.expect(FrameType.PONG)
    return bytes(frame.body)


def settled(gateway: GatewayHarness) -> None:
    """Both loops have done what they were given until now."""
    token = 1 + len(gateway.of_kind(EV_LOOKED))
    for loop in range(2):
        gateway.gateway.look(loop, token, 0, 1, 1)
    wait_for(lambda: sum(event[2] == token for event in gateway.of_kind(EV_LOOKED)) >= 2)


def test_a_report_comes_out_and_its_first_is_known(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    client.frame(FrameType.REPORT, REPORT)
    client.frame(FrameType.REPORT, REPORT)
    wait_for(lambda: len(gateway.of_kind(EV_REPORT)) == 2)
    first, second = gateway.of_kind(EV_REPORT)
    assert first[1:] == (gateway.conn("ann"), "ann", first[3], True, REPORT)
    assert second[4] is False
    assert gateway.stats()["reports"] == 2


def test_a_report_that_is_too_long_is_ignored(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    client.frame(FrameType.REPORT, b"x" * 513)
    assert client.ping() == uv(0)
    assert not gateway.of_kind(EV_REPORT)
    assert gateway.stats()["reports_refused"] == 1


def test_the_chosen_policy_is_told_at_once_and_once(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    gateway.gateway.set_policy(1, 7, 300, b"SEVEN")
    gateway.gateway.set_policy_rows(1, [(1, 1, 0, 0)])
    gateway.gateway.choose_policy(gateway.conn("ann"), 1)
    assert client.expect(FrameType.POLICY) == b"SEVEN"
    assert client.ping() == uv(7)
    assert gateway.gateway.policy_counts(1)[:3] == (1, 1, 1)
    assert gateway.gateway.policy_row_sessions(0, 2) == [0, 1]


def test_who_has_the_revision_already_is_told_nothing(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    gateway.gateway.set_policy(1, 7, 300, b"SEVEN")
    gateway.gateway.set_policy_rows(1, [(1, 1, 0, 0)])
    gateway.gateway.choose_policy(gateway.conn("ann"), 1, 7)
    wait_for(lambda: gateway.gateway.policy_counts(1)[0] == 1)
    assert client.ping() == uv(7)


def test_a_new_revision_reaches_every_connection_of_its_row_with_a_pong(gateway: GatewayHarness) -> None:
    names = ["ann", "bob", "cid"]
    clients = [gateway.login(name) for name in names]
    gateway.gateway.set_policy(1, 7, 300, b"SEVEN")
    gateway.gateway.set_policy(2, 8, 120, b"EIGHT")
    gateway.gateway.set_policy_rows(1, [(1, 1, 0, 0)])
    for name, client in zip(names[:2], clients[:2], strict=True):
        gateway.gateway.choose_policy(gateway.conn(name), 1)
        client.expect(FrameType.POLICY)
    gateway.gateway.set_policy_rows(1, [(2, 2, 0, 0)])
    settled(gateway)
    assert [told(client) for client in clients] == [b"EIGHT", b"EIGHT", b""]
    assert clients[0].ping() == uv(8)
    assert (gateway.gateway.policy_counts(1)[0], gateway.gateway.policy_counts(2)[0]) == (0, 2)


def test_a_canary_has_the_devices_that_its_hash_names(gateway: GatewayHarness) -> None:
    devices = [f"device-{number}" for number in range(40)]
    clients = {device: gateway.login("ann", device) for device in devices}
    seed, share = 0x1234567890ABCDEF, 3000
    gateway.gateway.set_policy(1, 7, 300, b"MAIN")
    gateway.gateway.set_policy(2, 8, 120, b"CANARY")
    gateway.gateway.set_policy_rows(0, [(1, 2, share, seed)])
    settled(gateway)
    found = {device for device, client in clients.items() if told(client) == b"CANARY"}
    assert found == {device for device in devices if arm_of(device, seed) < share}
    assert 0 < len(found) < len(devices)
    counts = gateway.gateway.policy_counts(2)
    assert counts[0] == counts[1] == counts[2] == counts[7] == len(found)
    gateway.gateway.set_policy_rows(0, [(1, 1, 0, 0)])  # taken back: nobody is dropped, all go by the same
    settled(gateway)
    assert {told(client) for device, client in clients.items() if device in found} == {b"MAIN"}
    assert gateway.stats()["live"]["sessions"] == len(devices)


def test_connections_that_vanish_count_for_what_they_were_told(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    gateway.gateway.set_policy(1, 7, 300, b"SEVEN")
    gateway.gateway.set_policy_rows(0, [(1, 1, 0, 0)])
    settled(gateway)
    assert told(client) == b"SEVEN"
    client.close()
    gateway.wait_sessions(0)
    assert gateway.gateway.policy_counts(1)[:6] == (0, 1, 1, 0, 0, 1)


@pytest.mark.parametrize("bad", [(255, 0, 0, 0), (0, 300, 0, 0)])
def test_rows_name_entries_that_exist(gateway: GatewayHarness, bad: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="entries"):
        gateway.gateway.set_policy_rows(1, [bad])
    with pytest.raises(ValueError, match="rows"):
        gateway.gateway.set_policy_rows(4096, [(0, 0, 0, 0)])


def test_a_silent_connection_is_told_with_its_row(start_gateway: Callable[..., GatewayHarness]) -> None:
    gateway = start_gateway(grace_s=0, ping_interval_s=1)
    gateway.login("ann")
    gateway.gateway.set_policy_rows(3, [(0, 0, 0, 0)])
    gateway.gateway.choose_policy(gateway.conn("ann"), 3)
    wait_for(lambda: bool(gateway.of_kind(EV_SILENT)), 10)
    assert gateway.of_kind(EV_SILENT)[0][1:] == (gateway.conn("ann"), 3, 2)


def test_who_waits_for_its_client_is_no_connection_of_its_policy(start_gateway: Start) -> None:
    gateway = start_gateway(loops=2, tickets=True)
    client = gateway.login("ann")
    ticket = client.take_ticket()
    gateway.gateway.set_policy(1, 7, 300, b"SEVEN")
    gateway.gateway.set_policy_rows(0, [(1, 1, 0, 0)])
    settled(gateway)
    assert told(client) == b"SEVEN"

    def now() -> tuple[int, int]:
        counts = gateway.gateway.policy_counts(1)
        return counts[0], counts[9]

    assert now() == (1, 0)
    client.close()
    wait_for(lambda: now() == (1, 1), what="parked")
    again = gateway.connect(ticket=ticket).resume(0)
    again.frame(FrameType.ACK, ack=0)
    again.taken_up(1, 0)
    ticket = again.take_ticket()
    assert now() == (1, 0)
    again.close()
    wait_for(lambda: now() == (1, 1), what="parked again")
    gateway.gateway.end_parked(1000)
    wait_for(lambda: now() == (0, 0), what="its end")


def test_bytes_are_measured_while_there_is_a_canary(gateway: GatewayHarness) -> None:
    clients = {f"device-{number}": gateway.login("ann", f"device-{number}") for number in range(20)}
    seed, share = 99, 5000
    gateway.gateway.set_policy(1, 7, 300, b"MAIN")
    gateway.gateway.set_policy(2, 8, 120, b"CANARY")
    gateway.gateway.set_policy_rows(0, [(1, 2, share, seed)])
    settled(gateway)
    arms = {device: told(client) == b"CANARY" for device, client in clients.items()}
    settled(gateway)  # bytes are counted after they were written: the client may have them first
    before = [gateway.gateway.policy_counts(entry)[8] for entry in (1, 2)]
    canaries = [client for device, client in clients.items() if arms[device]]
    for client in canaries:
        client.frame(FrameType.PING)
        client.expect(FrameType.PONG)
    settled(gateway)
    main, canary = (gateway.gateway.policy_counts(entry)[8] for entry in (1, 2))
    assert main == before[0]
    record = 2 + 16  # length and tag
    assert canary - before[1] == len(canaries) * (record + 2 + record + 3)
    gateway.gateway.set_policy_rows(0, [(1, 1, 0, 0)])
    settled(gateway)
    still = [gateway.gateway.policy_counts(entry)[8] for entry in (1, 2)]
    for client in clients.values():
        client.frame(FrameType.PING)
    for client in clients.values():
        while client.next().type != FrameType.PONG:
            pass
    assert [gateway.gateway.policy_counts(entry)[8] for entry in (1, 2)] == still
