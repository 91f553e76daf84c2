"""The client behind a real NAT (conntrack in a network of our own) with seconds for minutes."""

from __future__ import annotations

from qianwan import Policy
from qianwan.constants import DeathCause

from tests.support.namespaces import Namespaces, refused
from tests.support.scripted_gateway import ScriptedGateway
from tests.support.sdk_client import client, until
from tests.support.untested import untested_here

POLICY = Policy(
    adaptive=True,
    floor_s=0.5,
    ceiling_s=1.8,
    step_s=0.4,
    margin_s=0.1,
    successes=1,
    failures=1,
    verify_beats=1,
    pong_min_s=0.3,
    pong_max_s=0.3,
)


def forgets_after(networks: Namespaces, seconds: int) -> None:
    networks.run("nat", f"sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established={seconds}")


def build(networks: Namespaces) -> None:
    """A phone, a NAT that forgets silently, a server."""
    networks.cable("nat", "phone", "10.77.1")
    networks.cable("nat", "server", "10.77.2")
    networks.ip("phone", "route add default via 10.77.1.1")
    networks.run("nat", "sysctl -qw net.ipv4.ip_forward=1")
    networks.run("nat", "sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0")
    networks.run("nat", "iptables -t nat -A POSTROUTING -s 10.77.1.0/24 -j MASQUERADE")
    networks.run("nat", "iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP")
    networks.run("nat", "iptables -A FORWARD -d 10.77.1.0/24 -m conntrack --ctstate NEW -j DROP")


def deaths(gateway: ScriptedGateway) -> int:
    return sum(said["last"]["cause"] == DeathCause.PONG_TIMEOUT for said in gateway.reports if "last" in said)


async def test_the_search_finds_what_a_nat_bears_and_follows_it_down() -> None:
    if untested_here(refused()):
        return
    gateway = ScriptedGateway()
    gateway.host = "10.77.2.2"
    gateway.ping_interval_s = 2
    with Namespaces("phone", "nat", "server") as networks:
        build(networks)
        forgets_after(networks, 2)
        with networks.inside("server"):
            await gateway.__aenter__()
        with networks.inside("phone"):
            me = client(gateway, policy=POLICY)
            await me.open()
            me.network_changed("4g", carrier="460-00")
            await until(lambda: me.quality.settled)
            assert me.quality.interval_s > 1.5
            forgets_after(networks, 1)
            await until(lambda: me.quality.settled and me.quality.interval_s < 1, 15.0)
            assert me.quality.interval_s >= POLICY.floor_s
            await until(lambda: me.quality.online)
            died, beats = deaths(gateway), len(gateway.pings)
            assert 1 <= died <= 3
            # It does not sit on an interval that dies. One beat may be late on a machine that is busy.
            await until(lambda: len(gateway.pings) >= beats + 3)
            assert deaths(gateway) <= died + 1
            await me.close()
        await gateway.__aexit__()
