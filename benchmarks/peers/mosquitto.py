"""Mosquitto: MQTT broker in C, one thread (Debian package `mosquitto`)."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.peers.base import Peer, find_program, first_line


class Mosquitto(Peer):
    """QoS 0, no persistence, queues without limits: it may buffer as much as it likes."""

    wire: ClassVar[str] = "mqtt"

    @classmethod
    def missing(cls) -> str | None:
        return None if find_program("mosquitto") else "mosquitto is not installed (apt-get install mosquitto)"

    @classmethod
    def version(cls) -> str:
        program = find_program("mosquitto")
        return first_line(program, "-h") if program else ""

    def command(self) -> list[str]:
        settings = self.folder / "mosquitto.conf"
        settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n"
            "max_queued_messages 0\nmax_inflight_messages 0\nmax_connections -1\nset_tcp_nodelay true\n"
        )
        return [find_program("mosquitto") or "mosquitto", "-c", str(settings)]
