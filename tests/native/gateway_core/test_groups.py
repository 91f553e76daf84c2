"""First flights that come together are answered together, each by its own keys; none suffers from another."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import closing

import pytest

from crypto.handshake import HandshakeState
from frame.constants import FrameType
from tests.support.gateway_client import Gone, WireClient, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]
LOW_ORDER = (0, 1, 325606250916557431795983626356110631294008115727848805560023387167927233504)


class Knocker:
    """Sends its first flight; the answer is read later."""

    def __init__(self, gateway: GatewayHarness, client: WireClient) -> None:
        self.client = client
        ticket = client.ticket
        pattern = client.prologue[3]
        self.noise = HandshakeState(
            ("NK", "NKpsk0", "NNpsk0")[pattern - 1],
            client.suite,
            True,
            client.prologue,
            rs=None if pattern == 3 else client.server_pub,
            psk=None if ticket is None else ticket.psk,
        )

    def knock(self, spoil: Callable[[bytes], bytes]) -> None:
        message = spoil(self.noise.write_message(b""))
        self.client.write(self.client.prologue + struct.pack(">H", len(message)) + message)

    def answered(self) -> bool:
        try:
            self.noise.read_message(self.client.stream(struct.unpack(">H", self.client.stream(2))[0]))
        except Gone:
            return False
        self.client.channel = self.noise.split()
        return True


def whole(message: bytes) -> bytes:
    return message


def broken(message: bytes) -> bytes:
    return message[:-1] + bytes([message[-1] ^ 1])


@pytest.mark.parametrize("ephemerals", [0, 1024])
def test_whoever_comes_among_those_who_fail_is_answered(start_gateway: Start, ephemerals: int) -> None:
    gateway = start_gateway(loops=1, tickets=True, ephemerals=ephemerals)
    ticket = gateway.login("ann").take_ticket()
    bad = [broken, *(lambda m, n=n: n.to_bytes(32, "little") + m[32:] for n in LOW_ORDER)]
    knockers, fates = [], []
    for n in range(48):
        options = ({}, {"ticket": ticket}, {"ticket": ticket, "lite": True})[n % 3]
        knockers.append(Knocker(gateway, gateway.connect(suite=1 + n // 3 % 3, **options)))
        fates.append(bad[n // 5 % len(bad)] if n % 5 == 4 else whole)
    for knocker, fate in zip(knockers, fates, strict=True):
        knocker.knock(fate)
    for n, (knocker, fate) in enumerate(zip(knockers, fates, strict=True)):
        with closing(knocker.client):
            assert knocker.answered() == (fate is whole), n
            if fate is whole and n % 3:
                knocker.client.auth_with_ticket()
                knocker.client.expect(FrameType.AUTH_OK)
    wait_for(lambda: gateway.stats()["handshakes_failed"] == sum(fate is not whole for fate in fates))
    assert gateway.stats()["handshakes"] == 1 + sum(fate is whole for fate in fates)
