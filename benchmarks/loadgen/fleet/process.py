"""The fleet's end of one worker's socket."""

from __future__ import annotations

import json
import socket

from benchmarks.loadgen.fleet.shape import Answer, FleetError


class Process:
    """One request, one answer, in order; several may be under way."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.waiting = b""

    def ask(self, do: str, **request: object) -> None:
        self.channel.sendall(json.dumps({"do": do, **request}).encode() + b"\n")

    def answer(self) -> Answer:
        while b"\n" not in self.waiting:
            data = self.channel.recv(1 << 20)
            if not data:
                raise FleetError("a generator process ended unexpectedly")
            self.waiting += data
        line, self.waiting = self.waiting.split(b"\n", 1)
        result: Answer = json.loads(line)
        if "error" in result:
            raise FleetError(result["error"])
        return result
