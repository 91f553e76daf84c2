"""What accepted sockets are told for bad links, and a connection whose first path dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from gateway_core import GatewayConfig
from tests.support.gateway_client import wait_for
from tests.support.gateway_harness import GatewayHarness
from tests.support.namespaces import Namespaces, refused
from tests.support.untested import untested_here

THIN_LINEAR_TIMEOUTS = 16
MPTCP = 262

Start = Callable[..., GatewayHarness]


@pytest.fixture
def sender() -> str:
    return "auto"


def option_of_accepted(port: int, peer: int, option: int) -> int:
    """Of the socket of this process that is connected from `port` to the peer's port."""
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as one:
                ends = (one.getsockname()[1], one.getpeername()[1])
                if one.family == socket.AF_INET and ends == (port, peer):
                    return one.getsockopt(socket.IPPROTO_TCP, option)
        except OSError:
            continue
    raise AssertionError("not accepted")


@pytest.mark.parametrize(("user_timeout_s", "thin_stream"), [(7, True), (0, False)])
def test_accepted_sockets_have_the_options_of_the_settings(
    start_gateway: Start, user_timeout_s: int, thin_stream: bool
) -> None:
    gateway = start_gateway(user_timeout_s=user_timeout_s, thin_stream=thin_stream)
    alice = gateway.login("alice")
    here = alice.sock.getsockname()[1]
    port = gateway.gateway.port
    assert option_of_accepted(port, here, socket.TCP_USER_TIMEOUT) == 1000 * user_timeout_s
    assert option_of_accepted(port, here, THIN_LINEAR_TIMEOUTS) == int(thin_stream)
    assert option_of_accepted(port, here, socket.TCP_NODELAY) == 1


def test_the_settings_that_come_by_themselves_suit_phones() -> None:
    usual = GatewayConfig()
    assert (usual.user_timeout_s, usual.thin_stream, usual.mptcp) == (60, True, False)


def test_a_plain_client_talks_to_a_multipath_listener(start_gateway: Start) -> None:
    with open("/proc/sys/net/mptcp/enabled") as enabled:
        off = enabled.read().strip() != "1"
    if untested_here("the kernel's multipath TCP is switched off" if off else ""):
        return
    gateway = start_gateway(mptcp=True)
    alice = gateway.login("alice")
    alice.ping()


def subflows(networks: Namespaces) -> int:
    return len(networks.run("a", "ss -Htn state established").splitlines())


def test_a_connection_answers_after_its_first_path_is_cut() -> None:
    if untested_here(refused()):
        return
    with Namespaces("a", "b") as networks:
        networks.cable("b", "a", "10.78.1")
        networks.cable("b", "a", "10.78.2")
        networks.ip("a", "mptcp limits set subflow 2 add_addr_accepted 2")
        networks.ip("b", "mptcp limits set subflow 2 add_addr_accepted 2")
        networks.ip("a", "mptcp endpoint add 10.78.2.2 dev tob2 subflow")
        networks.run("a", "ip route add 10.78.1.0/24 via 10.78.2.1 src 10.78.2.2 metric 900")
        with networks.inside("b"):
            gateway = GatewayHarness(mptcp=True, host="10.78.1.1", user_timeout_s=0).start()
        try:
            with networks.inside("a"):
                alice = gateway.login("alice", host="10.78.1.1", protocol=MPTCP)
                wait_for(lambda: subflows(networks) == 2, what="a second path")
                networks.ip("a", "link set tob1 down")
                alice.ping()
        finally:
            gateway.stop()
