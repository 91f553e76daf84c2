"""Real etcd members for tests (Debian's etcd-server): one or three, on ports of their own, killed, stopped
and started again one by one; with TLS and with users.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from benchmarks.ports import row_of_ports
from control.settings.build import build
from control.settings.sections import EtcdSection
from tests.support.etcd_certificates import Certificates
from tests.support.other_programs import environment

START_S = 30.0
TTL_S = 3


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise AssertionError(f"{name} is missing: apt-get install etcd-server etcd-client")
    return found


@dataclass
class EtcdMember:
    """One process. Its data survive `kill`."""

    name: str
    folder: Path
    client_port: int
    peer_port: int
    metrics_port: int
    scheme: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.client_port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program("etcd"), *self.arguments], env=environment(), stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """It stands still when this returns: connections stay, nothing answers."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + START_S
        while set(self._states()) != {"T"}:
            assert time.monotonic() < deadline, "etcd does not stop"
            time.sleep(0.001)

    def _states(self) -> list[str]:
        """Of each thread, as the kernel names them."""
        stats = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return [stat.read_text().rpartition(")")[2].split()[0] for stat in stats]

    def go_on(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def well(self) -> bool:
        """It knows of a leader and answers."""
        try:
            url = f"http://127.0.0.1:{self.metrics_port}/health"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return b'"true"' in answer.read()
        except (OSError, urllib.error.HTTPError):
            return False

    def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.split(" ")[0] == name:
                    return float(line.split(" ")[1])
        raise AssertionError(f"etcd has no metric {name}")


@dataclass
class EtcdCluster:
    """Use as a context manager. `certificates`: with TLS, `mutual` with certificates of clients too."""

    folder: Path
    size: int = 1
    certificates: Certificates | None = None
    mutual: bool = False
    extra: tuple[str, ...] = ()
    members: list[EtcdMember] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        scheme = "https" if self.certificates else "http"
        port = row_of_ports(3 * self.size)
        names = [f"m{n}" for n in range(self.size)]
        peers = {name: f"http://127.0.0.1:{port + 3 * n + 1}" for n, name in enumerate(names)}
        for n, name in enumerate(names):
            client = f"{scheme}://127.0.0.1:{port + 3 * n}"
            arguments = [
                "--name", name, "--data-dir", str(self.folder / name),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name],
                "--initial-cluster", ",".join(f"{each}={url}" for each, url in peers.items()),
                "--initial-cluster-token", f"{self.folder}-{port}",
                "--listen-metrics-urls", f"http://127.0.0.1:{port + 3 * n + 2}",
                "--logger", "zap", "--log-level", "warn",
                *self._tls(), *self.extra,
            ]  # fmt: skip
            self.members.append(
                EtcdMember(
                    name, self.folder, port + 3 * n, port + 3 * n + 1, port + 3 * n + 2, scheme, arguments
                )
            )

    def _tls(self) -> list[str]:
        if self.certificates is None:
            return []
        found = [
            "--cert-file", str(self.certificates.server.cert), "--key-file", str(self.certificates.server.key)
        ]  # fmt: skip
        if self.mutual:
            found += ["--client-cert-auth", "--trusted-ca-file", str(self.certificates.ca)]
        return found

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.endpoint for member in self.members)

    def section(self, **more: object) -> EtcdSection:
        """Settings of a client."""
        given: dict[str, object] = {"endpoints": self.endpoints, "ttl_s": TTL_S}
        if self.certificates is not None:
            given["ca"] = str(self.certificates.ca)
        return build({"etcd": given | more}).etcd

    def start(self) -> None:
        for member in self.members:
            if member.process is None:
                member.start()
        self.wait()

    def wait(self) -> None:
        """Until every member that runs is well."""
        deadline = time.monotonic() + START_S
        for member in self.members:
            while member.process is not None and not member.well():
                if member.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(
                        f"etcd is not well:\n{(self.folder / f'{member.name}.log').read_text()[-4000:]}"
                    )
                time.sleep(0.02)

    def leader(self) -> EtcdMember:
        """The member that leads now."""
        for member in self.members:
            if member.process is not None and member.metric("etcd_server_is_leader") == 1:
                return member
        raise AssertionError("nobody leads")

    def put_back(self, snapshot: Path, token: str = "") -> None:
        """The only member begins again with what `etcdctl snapshot save` kept; `token`: as another cluster.
        It runs when this returns."""
        (member,) = self.members
        member.kill()
        shutil.rmtree(self.folder / member.name)
        given = dict(zip(member.arguments[::2], member.arguments[1::2], strict=True))
        if token:
            given["--initial-cluster-token"] = token
        words = ("--name", "--data-dir", "--initial-cluster", "--initial-cluster-token")
        same = [word for name in (*words, "--initial-advertise-peer-urls") for word in (name, given[name])]
        self.control("snapshot", "restore", str(snapshot), *same)
        self.start()

    def control(self, *words: str) -> str:
        """etcdctl, the client that etcd brings along: what it prints."""
        certificates = []
        if self.certificates is not None:
            certificates = ["--cacert", str(self.certificates.ca)]
            if self.mutual:
                certificates += [
                    "--cert", str(self.certificates.client.cert), "--key", str(self.certificates.client.key)
                ]  # fmt: skip
        done = subprocess.run(
            [_program("etcdctl"), "--endpoints", ",".join(self.endpoints), *certificates, *words],
            env=environment() | {"ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"etcdctl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def __enter__(self) -> EtcdCluster:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            member.kill()
