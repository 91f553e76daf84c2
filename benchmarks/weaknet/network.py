"""Phones, a router and a server in networks of their own, with the wire between router and server.

    phones 10.97.0.2 --- 10.97.0.1 router 10.96.0.1 === wire === 10.96.0.2 server, all of 10.98.0.0/16
       10.95.0.2 -------------------- a good line ------------------- 10.95.0.1

Phone n talks to 10.98.(n div 256).(n mod 256), so the wire knows whose packets they are; whoever is no phone
takes the good line. The router forgets silent connections when a profile says so.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import msgspec

from benchmarks.machine import ROOT
from benchmarks.weaknet.namespaces import NetworkRefused, do, inside, name_of, refusal, sweep
from benchmarks.weaknet.profiles import Profile
from benchmarks.weaknet.shaping import Line
from benchmarks.weaknet.wire import LinkCounts, Order, Start
from control.process.parent import ending_with_me

ROLES = ("phones", "router", "server")
ADDRESSES = ("10.97.0.2", "10.97.0.3")
GOOD = "10.95.0.1"
STOP_S = 5.0
CONNTRACK = "net.netfilter.nf_conntrack_tcp"


class Network:
    """Made in `__enter__`, gone after `__exit__`. Raises NetworkRefused."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._names = {role: name_of(role) for role in ROLES}
        self._made: list[str] = []
        self._wire: subprocess.Popen[str] | None = None
        self._at = 0

    def __enter__(self) -> Self:
        if reason := refusal():
            raise NetworkRefused(reason)
        sweep()
        try:
            self._make()
            self._start_wire()
            self._route()
            if self.profile.nat_timeouts_s:
                self._translate()
        except BaseException:
            self._unmake()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unmake()

    # what runs use

    @staticmethod
    def address(phone: int) -> str:
        """The server, as this phone (from 1) sees it."""
        return f"10.98.{phone >> 8}.{phone & 255}"

    def inside(self, role: str) -> AbstractContextManager[None]:
        return inside(self._names[role])

    def lines(self, down: Line, up: Line) -> None:
        """The links are like this from now on."""
        self._order(Order("lines", None, down, up))

    def gate(self, *, down: bool, up: bool, phone: int | None = None) -> None:
        """Who passes at all: packets of all phones, or of this one."""
        self._order(Order("gate", phone, down, up))

    def cut(self, phone: int | None = None) -> None:
        """The connections of now are dead, and nobody is told."""
        self._order(Order("cut", phone))

    def counts(self) -> dict[int, LinkCounts]:
        """What was put on each phone's link so far."""
        return self._order(Order("counts"))

    def _order(self, order: Order) -> dict[int, LinkCounts]:
        wire = self._wire
        assert wire is not None
        assert wire.stdin is not None
        assert wire.stdout is not None
        wire.stdin.write(msgspec.json.encode(order).decode() + "\n")
        wire.stdin.flush()
        answer = wire.stdout.readline()
        if not answer:
            raise NetworkRefused("the wire broke: its process ended")
        return msgspec.json.decode(answer, type=dict[int, LinkCounts])

    def move(self) -> None:
        """Phones get another address; connections of the old one are dead without a word."""
        self._at = 1 - self._at
        self.cut()
        self._leave_by(ADDRESSES[self._at])

    def forget_after(self, seconds: float) -> None:
        """The router drops what is silent for so long."""
        self._set("router", f"{CONNTRACK}_timeout_established", round(seconds))

    def established(self, phone: int) -> int:
        """Connections of a phone that the server's system believes in."""
        words = f"ip netns exec {self._names['server']} ss -Htn state established src {self.address(phone)}"
        return len(do(words).splitlines())

    # making

    def _make(self) -> None:
        for name in self._names.values():
            do(f"ip netns add {name}")
            self._made.append(name)
            do(f"ip -n {name} link set lo up")
        self._cable("phones", "10.97.0.2", "router", "10.97.0.1")
        self._cable("phones", "10.95.0.2", "server", GOOD)
        self._ip("phones", f"addr add {ADDRESSES[1]}/24 dev router")
        self._set("router", "net.ipv4.ip_forward", 1)
        for role in ROLES:
            self._set(role, "net.ipv4.conf.all.rp_filter", 0)

    def _cable(self, one: str, here: str, other: str, there: str) -> None:
        a, b = self._names[one], self._names[other]
        do(f"ip -n {a} link add {other} type veth peer name {one} netns {b}")
        for role, device, address in ((one, other, here), (other, one, there)):
            self._ip(role, f"addr add {address}/24 dev {device}")
            self._ip(role, f"link set {device} up")

    def _start_wire(self) -> None:
        ends = ((self._names["router"], "wire"), (self._names["server"], "wire"))
        start = Start(self.profile.seed, *ends, self.profile.down, self.profile.up)
        self._wire = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.weaknet.wire", msgspec.json.encode(start).decode()],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=ending_with_me(),
        )  # fmt: skip
        assert self._wire.stdout is not None
        if not self._wire.stdout.readline():
            raise NetworkRefused("the wire did not start")

    def _route(self) -> None:
        for role, address in (("router", "10.96.0.1"), ("server", "10.96.0.2")):
            self._set(role, "net.ipv4.conf.wire.rp_filter", 0)
            self._ip(role, f"addr add {address}/30 dev wire")
            self._ip(role, "link set wire up")
        self._ip("router", "route add 10.98.0.0/16 dev wire")
        self._ip("server", "route add 10.97.0.0/24 dev wire")
        self._ip("server", "route add local 10.98.0.0/16 dev lo")
        self._leave_by(ADDRESSES[0])

    def _leave_by(self, address: str) -> None:
        self._ip("phones", f"route replace 10.98.0.0/16 via 10.97.0.1 src {address}")

    def _translate(self) -> None:
        """The router is a NAT, and says nothing to what it has forgotten."""
        router = f"ip netns exec {self._names['router']} iptables"
        do(f"{router} -t nat -A POSTROUTING -o wire -j MASQUERADE")
        do(f"{router} -t mangle -A PREROUTING -m conntrack --ctstate INVALID -j DROP")
        self._set("router", f"{CONNTRACK}_loose", 0)
        self.forget_after(self.profile.nat_timeouts_s[0])

    def _ip(self, role: str, words: str) -> None:
        do(f"ip -n {self._names[role]} {words}")

    def _set(self, role: str, knob: str, value: int) -> None:
        do(f"ip netns exec {self._names[role]} sysctl -qw {knob}={value}")

    def _unmake(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            assert wire.stdin is not None
            assert wire.stdout is not None
            wire.stdin.close()
            try:
                wire.wait(STOP_S)
            except subprocess.TimeoutExpired:
                wire.kill()
                wire.wait()
            wire.stdout.close()
        for name in self._made:
            do(f"ip netns del {name}")
        self._made.clear()
