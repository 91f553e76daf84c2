"""Clients behind a NAT that forgets: they go by the policy they are told, and find their connections dead
when its interval is longer than the NAT bears. No time passes: an interval is one round.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
from qianwan.protocol import auth

from frame.constants import FrameType
from tests.support.abuse_peer import Target
from tests.support.gateway_client import Gone, WireClient, uv_get
from tests.support.server_process import ServerProcess

NAT_S = 300.0


@dataclass(frozen=True)
class Story:
    """What came of it. `dropped`: connections that ended though their client did not end them."""

    canaries: int
    dropped: int
    back_s: float
    revisions: set[int]
    trail: list[tuple[str, str]]
    breach: str


class Phone:
    """One device. `rev` and `interval_s` are of the policy it was told last."""

    def __init__(self, target: Target, token: str, device: str) -> None:
        self._target = target
        self._token = token
        self._device = device
        self.rev = 0
        self.interval_s = 0.0
        self.gone = False
        self.connect(None)

    def connect(self, last: dict[str, int] | None) -> None:
        client = WireClient(self._target.port, self._target.public, key_id=self._target.key_id).handshake()
        assert client.channel is not None
        body = auth.auth_body(auth.Credentials(self._token, self._device), client.channel.handshake_hash)
        client.frame(FrameType.AUTH, body)
        client.expect(FrameType.AUTH_OK)
        self.client = client
        report: dict[str, Any] = {"net": "4g", "carrier": "46000", "version": "5.2", "policy_rev": self.rev}
        client.frame(FrameType.REPORT, msgspec.msgpack.encode(report | ({"last": last} if last else {})))

    def beat(self) -> None:
        """PING, and what comes before its PONG."""
        try:
            self.client.frame(FrameType.PING)
            while (frame := self.client.next()).type != FrameType.PONG:
                if frame.type == FrameType.POLICY:
                    policy = msgspec.msgpack.decode(frame.body)
                    self.rev, self.interval_s = policy["rev"], policy["ping_interval_s"]
            assert uv_get(bytes(frame.body))[0] in (self.rev, 0), "0: its REPORT is still being read"
        except (OSError, Gone):
            self.gone = True

    def wait(self) -> None:
        """An interval of the policy: longer than the NAT remembers, and the connection is found dead."""
        if self.interval_s <= NAT_S:
            self.beat()
            return
        self.client.close()
        gap = int(self.interval_s * 1000)
        self.connect({"cause": 1, "gap_ms": gap, "lived_ms": gap, "alive_ms": int(NAT_S * 500)})
        self.beat()


class Phones:
    """`server` answers operators and makes tokens. `at`: the phones of each gateway, of several by turns."""

    def __init__(
        self, server: ServerProcess, key: str, count: int, gateways: Sequence[ServerProcess] = ()
    ) -> None:
        self.server = server
        self.key = key
        targets = [Target.of(server, gateway) for gateway in gateways or (server,)]
        self.all = [
            Phone(targets[i % len(targets)], server.token(f"u{i}"), f"phone-{i}") for i in range(count)
        ]
        self.at = [self.all[n :: len(targets)] for n in range(len(targets))]

    @classmethod
    @contextlib.contextmanager
    def beside_a_server(cls, folder: Path, count: int) -> Iterator[Self]:
        settings = {
            "control.policy.look_s": 0.25,
            "gateway.core.ip_accepts_per_s": 0,
            "gateway.core.ip_connections": 0,
        }
        with ServerProcess(folder, settings, admin="127.0.0.1:0") as server:
            phones = cls(server, (folder / "first-api-key").read_text().strip(), count)
            yield phones
            for phone in phones.all:
                phone.client.close()

    def ask(self, method: str, path: str, body: object = None, revision: str = "*") -> Any:
        headers = {"X-API-Key": self.key, "Content-Type": "application/json", "If-Match": revision}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server.admin_url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None

    def publish(self, interval_s: float, share: float) -> None:
        constants = {"ping_interval_s": interval_s, "adaptive": False, "ceiling_s": 1500.0}
        self.ask("PUT", "/policies/mobile/draft", {"match": {"net": ["4g"]}, "constants": constants})
        self.ask("POST", "/policies/mobile/publish", {"share": share})

    def beat_until(self, condition: Callable[[], bool], within_s: float = 20.0) -> None:
        """A publication reaches each gateway in its own time."""
        until = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"told: {[(phone.rev, phone.interval_s) for phone in self.all]}")
            for phone in self.all:
                phone.beat()

    def until_taken_back(self, phones: Sequence[Phone], within_s: float) -> float:
        """These live on, interval by interval, until there is no canary; seconds."""
        began = time.monotonic()
        while self.ask("GET", "/policies/mobile")["canary"] is not None:
            if time.monotonic() - began > within_s:
                raise AssertionError(f"still a canary: {self.ask('GET', '/heartbeat/stats')}")
            for phone in phones:
                phone.wait()
        return time.monotonic() - began

    def acts_of_the_guard(self) -> list[str]:
        told = self.ask("GET", "/audit?limit=200")["entries"]
        return [entry["what"] for entry in told if entry.get("who") == "policy-guard"]


def canary_story(phones: Phones, share: float, within_s: float) -> Story:
    """A policy that suits the network, then one that does not, for a share of the devices."""
    phones.publish(240.0, 100.0)
    for phone in phones.all:
        phone.beat()
    phones.publish(900.0, share)
    for phone in phones.all:
        phone.beat()
    canaries = [phone for phone in phones.all if phone.interval_s > NAT_S]
    back_s = phones.until_taken_back(phones.all, within_s)
    until = time.monotonic() + 10
    while {phone.rev for phone in phones.all} != {1} and time.monotonic() < until:
        for phone in phones.all:
            phone.beat()
    told = phones.ask("GET", "/audit?limit=200")["entries"]
    breaches = [entry["ids"].get("breach", "") for entry in told if entry.get("who") == "policy-guard"]
    return Story(
        canaries=len(canaries),
        dropped=sum(phone.gone for phone in phones.all),
        back_s=back_s,
        revisions={phone.rev for phone in phones.all},
        trail=[(entry.get("who", ""), entry["what"]) for entry in told],
        breach=breaches[-1] if breaches else "",
    )
