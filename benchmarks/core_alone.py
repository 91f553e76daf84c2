"""The gateway core alone: everyone may log in, rooms are topics, a SEND to a room is published at once.

For figures of the core without the im service, and for counting its instructions. Prints one line of JSON
with its port and key when it listens, and one of its counters for each line that it reads; ends when
standard input ends.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import select
import sys
import time
from typing import Any

import msgspec

from crypto.noise import generate_keypair
from frame.constants import ROOM_PREFIX, FrameType
from gateway_core import EV_AUTH, EV_CALL, EV_SEND, EV_TICKET, Gateway, GatewayConfig
from im_service.models import room_event

KEY_ID = 1
TOKEN_S = 86_400  # for which a login holds


class CoreAlone:
    """Answers the events of one core."""

    def __init__(self, config: GatewayConfig, tickets: bool = False) -> None:
        private, self.public = generate_keypair()
        self.core = Gateway(config, [(KEY_ID, private, self.public)], b"")
        self.sessions = 0
        self.until = int(time.time()) + TOKEN_S if tickets else 0

    def serve(self) -> None:
        """Until standard input ends."""
        self.core.start()
        if self.until:
            self.core.set_ticket_keys([(KEY_ID, os.urandom(32))], 1)
        where = {"port": self.core.port, "key_id": KEY_ID, "server_key": self.public.hex()}
        sys.stdout.write(json.dumps(where) + "\n")
        sys.stdout.flush()
        while True:
            readable, _, _ = select.select([self.core.fileno(), sys.stdin], [], [])
            if sys.stdin in readable:
                if not sys.stdin.readline():
                    break
                sys.stdout.write(json.dumps(self.core.stats() | {"stages": self.core.stages()}) + "\n")
                sys.stdout.flush()
            for event in self.core.take_events():
                self._on(event)
        self.core.stop(0.0)

    def _on(self, event: tuple[Any, ...]) -> None:
        if event[0] == EV_AUTH:
            self._login(event[1], _subject(event[5]), event[7], event[8])
        elif event[0] == EV_TICKET:
            self._login(event[1], event[3], event[4], event[5])
        elif event[0] == EV_CALL:
            room = msgspec.msgpack.decode(event[6])["room"]
            self.core.join(event[1], ROOM_PREFIX + room)
            self.core.reply(event[1], FrameType.RETURN, event[4], 0, b"\x80")
        elif event[0] == EV_SEND:
            self._send(*event[1:])

    def _login(self, conn: int, user: str, device: str, platform: int) -> None:
        self.sessions += 1
        body = msgspec.msgpack.encode([b"", user, 0, 0, 0, "core"])
        self.core.login(conn, user, device, platform, self.sessions, body, until=self.until)

    def _send(self, conn: int, user: str, device: str, request: int, target: str, payload: bytes) -> None:
        client_id, kind, body, _, _ = msgspec.msgpack.decode(payload)
        message = msgspec.msgpack.encode(
            [target, 0, 1 << 60, 1 << 40, user, client_id, kind, body, {}, None, 0]
        )
        self.core.publish(target, FrameType.EVENT, room_event(message))
        self.core.reply(conn, FrameType.SEND_ACK, request, 0, msgspec.msgpack.encode([1 << 60, 0, 1 << 40]))


def _subject(token: str) -> str:
    claims = token.split(".")[1]
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return str(decoded["sub"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="{}", help="GatewayConfig fields as JSON")
    parser.add_argument("--tickets", action="store_true", help="give tickets, and take sessions up again")
    options = parser.parse_args()
    config = GatewayConfig(host="127.0.0.1", port=0, **json.loads(options.config))
    CoreAlone(config, options.tickets).serve()


if __name__ == "__main__":
    main()
