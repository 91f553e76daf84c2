"""Limits of descriptors, networks, keys and memory: reached on purpose, and left again."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

from frame.constants import CloseCode
from tests.support.gateway_client import Gone, WireClient, wait_for
from tests.support.gateway_harness import GatewayHarness
from tests.support.tree import ROOT

Start = Callable[..., GatewayHarness]

OUT_OF_DESCRIPTORS = """
    import json, os, resource, socket, sys
    from tests.support.gateway_client import Gone, wait_for
    from tests.support.gateway_harness import GatewayHarness

    gateway = GatewayHarness(sender=sys.argv[1]).start()
    gateway.login("early")
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    peers = []
    while gateway.stats()["accept_pauses"] == 0:  # each peer of this process takes two descriptors
        try:
            peers.append(socket.create_connection(("127.0.0.1", gateway.gateway.port)))
        except OSError:
            peers.pop().close()
    alive = gateway.clients[0].ping() is not None
    for peer in peers:
        peer.close()
    wait_for(lambda: gateway.stats()["live"]["connections"] == 1, what="descriptors given back")
    gateway.login("late").ping()
    pauses = gateway.stats()["accept_pauses"]
    gateway.stop()
    print(json.dumps({"alive": alive, "pauses": pauses}))
"""


def test_without_descriptors_accepting_rests_and_sessions_live_on(sender: str) -> None:
    script = textwrap.dedent(OUT_OF_DESCRIPTORS)
    done = subprocess.run(
        [sys.executable, "-c", script, sender],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["alive"]
    assert said["pauses"] >= 1


def test_connections_of_one_ipv6_network(start_gateway: Start) -> None:
    gateway = start_gateway(host="::1", net64_connections=3)
    inside = [gateway.connect(host="::1").handshake() for _ in range(3)]
    outside = gateway.connect(host="::1")
    with pytest.raises(Gone):
        outside.handshake()
    assert gateway.stats()["refused_net64"] == 1
    inside[0].close()
    wait_for(lambda: gateway.stats()["live"]["connections"] == 2)
    gateway.connect(host="::1").handshake()


def test_a_listed_balancer_cannot_hide_a_network(start_gateway: Start) -> None:
    """/64 limits count what the PROXY header names: other hosts of the network share its budget."""
    gateway = start_gateway(proxy_from=("127.0.0.1",), net64_connections=2)

    def peer(ip: str) -> WireClient:
        addresses = socket.inet_pton(socket.AF_INET6, ip) + bytes(16) + struct.pack(">HH", 9, 7801)
        head = b"\r\n\r\n\0\r\nQUIT\n\x21\x21" + struct.pack(">H", len(addresses)) + addresses
        return gateway.connect(before=head)

    for host in ("2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1"):
        peer(host).handshake()
    with pytest.raises(Gone):
        peer("2001:db8:1::3").handshake()


@pytest.mark.parametrize("suite", [1, 2, 3])
def test_a_sending_key_is_renewed_when_its_time_is_over(start_gateway: Start, suite: int) -> None:
    gateway = start_gateway(rekey_s=1)
    client = gateway.login("ann", suite=suite)
    wait_for(lambda: (client.ping(), gateway.stats()["rekeys_out"] >= 2)[1], what="two new keys")
    before = gateway.stats()["rekeys_out"]
    client.ping()
    client.ping()
    assert gateway.stats()["rekeys_out"] <= before + 2
    assert gateway.stats()["records_out"] > gateway.stats()["rekeys_out"]


def test_connections_end_when_they_reached_their_age(start_gateway: Start) -> None:
    gateway = start_gateway(max_age_s=1)
    client = gateway.login("ann")
    assert client.close_code() == CloseCode.MAX_AGE
    wait_for(lambda: gateway.closed_codes("ann") == [CloseCode.MAX_AGE])


def test_a_crowd_whose_time_is_over_leaves_in_several_turns(start_gateway: Start) -> None:
    """Expired connections are judged a part in a turn; the scan goes on until nobody is forgotten."""
    gateway = start_gateway(auth_timeout_s=1)
    crowd = [socket.create_connection(("127.0.0.1", gateway.gateway.port)) for _ in range(600)]
    try:
        wait_for(lambda: gateway.reasons().get("auth_timeout") == len(crowd), what="all expired")
        wait_for(lambda: gateway.stats()["live"]["connections"] == 0, what="all freed at the end of the turn")
    finally:
        for one in crowd:
            one.close()


def read_all(client: WireClient) -> None:
    while True:
        client.stream(1)


def test_a_session_whose_peer_stopped_writing_ends(gateway: GatewayHarness) -> None:
    """The peer's end of stream is the end: nothing half-open remains, whatever its state was."""
    clients = [gateway.connect(), gateway.connect(websocket=True), gateway.connect().handshake()]
    clients.append(gateway.login("ann"))
    for client in clients:
        client.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(Gone):
            read_all(client)
    wait_for(lambda: gateway.stats()["live"]["connections"] == 0)
    assert gateway.reasons()["peer_closed"] == 4
