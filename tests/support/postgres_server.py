"""A real PostgreSQL for tests: a private cluster on a Unix socket, from the distribution's own binaries."""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.other_programs import environment

_PACKAGE = "no PostgreSQL server found under /usr/lib/postgresql: apt-get install postgresql"


def binaries() -> Path:
    """Folder with initdb and postgres of the newest version installed. RuntimeError names the package."""
    found = sorted(
        (Path(path).parent for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")),
        key=lambda path: float(path.parent.name),
    )
    if not found:
        raise RuntimeError(_PACKAGE)
    return found[-1]


class PostgresServer:
    """`with PostgresServer() as server: server.dsn("name")`; fsync stays on, nothing listens on TCP."""

    def __init__(self) -> None:
        self._bin = binaries()
        self._dir = Path(tempfile.mkdtemp(prefix="qw-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root; the package brings a user for it.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            owner = pwd.getpwnam(self._user)
            os.chown(self._dir, owner.pw_uid, owner.pw_gid)

    def start(self) -> "PostgresServer":
        data = self._dir / "data"
        made = subprocess.run(
            [self._bin / "initdb", "-D", data, "-U", "qw", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
            user=self._user,
            env=environment(),
            cwd=self._dir,
            capture_output=True,
            check=False,
            text=True,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
        with (self._dir / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._bin / "postgres", "-D", data, "-k", self._dir, "-c", "listen_addresses=",
                    "-c", "max_connections=60", "-c", "max_locks_per_transaction=256",
                    "-c", "deadlock_timeout=100ms", "-c", "fsync=on",
                ],
                user=self._user,
                env=environment(),
                cwd=self._dir,
                stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start:\n" + (self._dir / "log").read_text())
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        ready = subprocess.run(
            [self._bin / "pg_isready", "-q", "-h", self._dir, "-U", "qw", "-d", "postgres"],
            env=environment(),
            check=False,
        )
        return ready.returncode == 0

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://qw@/{database}?host={self._dir}"

    def pids(self) -> list[int]:
        """Of the server's processes, the first one and all it has made."""
        assert self._process is not None
        main = self._process.pid
        made = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, made)]

    def stop(self) -> None:
        """At once: the data goes with it, so nothing is written out any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=30)
            self._process = None
        shutil.rmtree(self._dir, ignore_errors=True)

    def __enter__(self) -> "PostgresServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
