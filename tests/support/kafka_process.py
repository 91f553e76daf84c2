"""A real Kafka broker for tests (KRaft, one node), on free ports, killable and restartable.

`make kafka` brings its jars into build/kafka; it needs Java and Maven.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.support.other_programs import environment
from tests.support.server_process import ROOT, free_ports

JARS = ROOT / "build" / "kafka"
START_S = 90.0
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"
HEAP = "-Xmx256m"


def why_not() -> str:
    """What is missing here to run one; "" when nothing is."""
    if shutil.which("java") is None:
        return "java is missing"
    return "" if any(JARS.glob("kafka_*.jar")) else "Kafka's jars are missing: make kafka"


class KafkaProcess:
    """Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.port, controller = free_ports(2)
        self._folder = folder
        self._log = folder / "kafka.log"
        self._conf = folder / "kafka.properties"
        self._conf.write_text(f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder / "kafka"}
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=true
""")
        self._process: subprocess.Popen[bytes] | None = None
        self._run("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(self._conf))

    def _run(self, *words: str) -> None:
        done = subprocess.run(self._command(*words), env=environment(), capture_output=True, check=False)
        if done.returncode:
            raise AssertionError(f"{words[0]} failed:\n{done.stdout.decode()}{done.stderr.decode()}")

    def _command(self, *words: str) -> list[str]:
        return ["java", HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", *words]

    def start(self) -> None:
        """Start and wait until the port answers."""
        with self._log.open("ab") as log:
            command = self._command("kafka.Kafka", str(self._conf))
            self._process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"Kafka did not start:\n{self._log.read_text()}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> KafkaProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
