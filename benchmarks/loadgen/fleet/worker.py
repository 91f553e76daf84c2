"""Generator processes. One parent imports everything and forks the others, so that fifty of them share its
memory.

Each child talks JSON lines over a Unix socket with the fleet: one request, one answer. Between requests it
runs its swarm in slices, so pings and receipts go on whatever the fleet is doing. A child ends when the
fleet hangs up.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import select
import socket
import time

from benchmarks.loadgen.fleet.shape import Answer, Request
from benchmarks.loadgen.fleet.tokens import TokenMint
from benchmarks.loadgen.swarm import Swarm

SLICE_NS = 20_000_000  # how long a request may wait for the loop
MANY_PROCESSES = 8
LONG_SLICE_NS = 100_000_000  # the same when waking so many processes would cost more than it tells


class Worker:
    """One swarm and the requests it answers; every method is one request."""

    def __init__(self) -> None:
        self.swarm: Swarm | None = None

    def open(self, swarm: Request, mint: dict[str, str] | None, user_prefix: str) -> Answer:
        """Build the swarm (keywords of `Swarm`) and its logins; client i is user_prefix + global index."""
        key = bytes.fromhex(swarm.pop("server_key", "00" * 32))
        swarm["gateways"] = [(host, port) for host, port in swarm["gateways"]]
        self.swarm = Swarm(server_key=key, **swarm)
        if mint is not None:
            first, count = swarm["first"], swarm["count"]
            self.swarm.login_with(*TokenMint(**mint).mint(f"{user_prefix}{first + i}" for i in range(count)))
        gc.collect()
        return {"pid": os.getpid()}

    def connect(self, to: int, window: int, churn: int = 0) -> None:
        self.live.connect(to, window, churn)

    def join(self, topic: str, to: int, window: int) -> None:
        self.live.join(topic.encode(), to, window)

    def schedule(self, targets: list[str], repeat: int = 1, **plan: int) -> None:
        """`repeat`: the same target for that many senders."""
        self.live.schedule(targets=[target.encode() for target in targets] * repeat, **plan)

    def window(self, begin: int, end: int, nap_us: int) -> None:
        self.live.window(begin, end)
        self.live.set_nap(nap_us)

    def listen(self, listening: bool) -> None:
        self.live.listen(listening)

    def forget_logins(self) -> None:
        self.live.forget_logins()

    def clear_login_times(self) -> None:
        self.live.clear_login_times()

    def status(self) -> Answer:
        live = self.live
        return {
            "counters": live.counters(),
            "busy": live.busy,
            "sending": live.sending,
            "at": time.monotonic_ns(),
        }

    def histograms(self) -> Answer:
        return {name: base64.b64encode(data).decode() for name, data in self.live.histograms().items()}

    def close(self) -> None:
        self.live.close_all()

    @property
    def live(self) -> Swarm:
        if self.swarm is None:
            raise RuntimeError("open first")
        return self.swarm


def answer(worker: Worker, line: bytes) -> bytes:
    """One request line to one answer line; an error is an answer too."""
    request = json.loads(line)
    try:
        result = getattr(worker, request.pop("do"))(**request) or {}
    except (ValueError, TypeError, RuntimeError, MemoryError, AttributeError) as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    return json.dumps(result).encode() + b"\n"


def serve(path: str, index: int, slice_ns: int) -> None:
    """The life of one child."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.connect(path)
    channel.sendall(json.dumps({"hello": index}).encode() + b"\n")
    worker = Worker()
    waiting = b""
    while True:
        if worker.swarm is not None:
            worker.swarm.run(time.monotonic_ns() + slice_ns)
        readable, _, _ = select.select([channel], [], [], 0 if worker.swarm is not None else None)
        if not readable:
            continue
        data = channel.recv(1 << 20)
        if not data:
            return
        waiting += data
        while b"\n" in waiting:
            line, waiting = waiting.split(b"\n", 1)
            channel.sendall(answer(worker, line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--processes", type=int, required=True)
    options = parser.parse_args()
    gc.freeze()
    slice_ns = SLICE_NS if options.processes <= MANY_PROCESSES else LONG_SLICE_NS
    children = []
    for index in range(options.processes):
        child = os.fork()
        if child == 0:
            try:
                serve(options.socket, index, slice_ns)
            except (BrokenPipeError, ConnectionResetError):
                pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
