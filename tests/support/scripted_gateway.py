"""A gateway whose faults a test writes: withheld or repeated messages, lost acks, sudden ends, refusals.

It keeps conversations in memory and knows sync, pull, ack and rooms, no more. A token is just the user's
name.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.support.qw1_responder import Responder, Taken, frame, read_uv, uv
from tests.support.ticket_desk import Kept, TicketDesk, seen_in

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


class KeyRing:
    """A root and one server key, signed."""

    def __init__(self, key_id: int = 7) -> None:
        self.root = Ed25519PrivateKey.generate()
        self.server = X25519PrivateKey.generate()
        self.key_id = key_id

    @property
    def root_text(self) -> str:
        raw = self.root.public_key().public_bytes_raw()
        return "qwroot1." + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def key_set(self, *, not_before: int = 0, not_after: int = 2**32 - 1, issued: int | None = None) -> bytes:
        body = b"QWKS\x01" + int(time.time() if issued is None else issued).to_bytes(4, "big") + b"\x01"
        body += self.key_id.to_bytes(2, "big") + self.server.public_key().public_bytes_raw()
        body += not_before.to_bytes(4, "big") + not_after.to_bytes(4, "big")
        return body + self.root.sign(body)


class Peer(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, gateway: ScriptedGateway) -> None:
        self.gateway = gateway
        self.responder = Responder(gateway.keys.server.private_bytes_raw(), psk_of=gateway.tickets.psk)
        self.kept: Kept | None = None
        self.resuming: int | None = None
        self.user = self.device = ""
        self.sent_msgs = 0
        self.acked = 0
        self.rooms: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.gateway.peers.discard(self)
        if self.kept is not None and self.kept.peer is self:
            self.kept.peer = None

    def data_received(self, data: bytes) -> None:
        if self.gateway.deaf:
            return
        self.responder.buffer += data
        if self.responder.rx is None:
            hello = self.responder.hello()
            if hello is None or not self._greet(*hello):
                return
        for taken in self.responder.frames():
            if self.resuming is not None:
                assert taken.kind == 3
                assert (taken.ack or 0) >= self.resuming
                seen, self.resuming = self.resuming, None
                self._resume(seen)
                continue
            if taken.ack is not None:
                assert taken.ack <= self.sent_msgs
                self.acked = taken.ack
            self._take(taken)

    def _greet(self, preamble: bytes, message1: bytes) -> bool:
        reject = self.gateway.reject
        data = b""
        key_id = 0 if preamble[3] == 3 else self.gateway.keys.key_id
        if reject is None and int.from_bytes(preamble[6:8], "big") != key_id:
            reject, data = 3, self.gateway.keys.key_set()
        elif reject is None and preamble[3] != 1 and self.gateway.tickets.psk(self.responder.ticket) is None:
            reject = 6
        elif reject is None and preamble[3] == 2 and self.gateway.tickets.lite:
            reject = 5
        elif reject is None and preamble[4] not in self.gateway.suites:
            reject = 2
        elif reject == 4:
            data = uv(self.gateway.retry_after_ms)
        if reject is not None and self.gateway.reject_data is not None:
            data = self.gateway.reject_data
        self.gateway.greetings.append(preamble)
        if reject is not None:
            self.transport.write(b"\0\0" + bytes([reject]) + len(data).to_bytes(2, "big") + data)
            self.transport.close()
            return False
        clock = uv(int(time.time() * 1000))
        hello = b"\x01" + uv(len(clock)) + clock + b"\x02\x05gate1"
        self.transport.write(self.responder.accept(message1, hello))
        if preamble[3] != 1:
            self.resuming = seen_in(self.responder.payload1)
            if self.resuming is not None and self.gateway.tickets.early:
                self.say(*self.gateway.tickets.answer(self.responder.ticket, self.resuming))
                self.sent_msgs = len(self.gateway.tickets.of[self.responder.ticket][1].bodies)
        return True

    def _resume(self, seen: int) -> None:
        """The first record of one that takes up its session: it moves here."""
        desk, ticket = self.gateway.tickets, self.responder.ticket
        desk.resumes.append(seen)
        if not desk.early:
            self.say(*desk.answer(ticket, seen))
        if desk.reason:
            return
        kept = desk.of[ticket][1]
        if kept.peer is not None:
            kept.peer.end(4003, "taken over")
        self.kept, kept.peer = kept, self
        if desk.early and (since := kept.bodies[self.sent_msgs :]):
            self.say(*(frame(6, body) for body in since))
        self.user, self.device, self.sent_msgs = kept.user, kept.device, len(kept.bodies)
        self.gateway.peers.add(self)
        self.say(desk.give(kept))

    def say(self, *frames: bytes) -> None:
        self.transport.write(self.responder.seal(*frames))

    def push(self, message: list[Any]) -> None:
        self.sent_msgs += 1
        if self.kept is not None:
            self.kept.bodies.append(pack(message))
        self.say(frame(6, pack(message)))

    def _take(self, taken: Taken) -> None:
        gateway = self.gateway
        gateway.seen.append(taken.kind)
        if taken.kind == 4:
            self._login(taken.body)
        elif taken.kind == 1:
            gateway.pings.append(taken.body)
            if gateway.pong:
                self.say(frame(2, uv(1)))
        elif taken.kind == 24:
            gateway.reports.append(unpack(taken.body))
        elif taken.kind in (8, 10):
            request, at = read_uv(taken.body, 0)
            name = taken.body[at + 1 : at + 1 + taken.body[at]].decode()
            payload = taken.body[at + 1 + taken.body[at] :]
            if taken.kind == 8:
                gateway.send(self, request, name, unpack(payload))
            else:
                gateway.called(self, request, name, unpack(payload))
        elif taken.kind == 16:
            gateway.goodbyes.append(read_uv(taken.body, 0)[0])
            self.transport.close()

    def _login(self, body: bytes) -> None:
        parts, at = [], 1
        for _ in range(3):
            size, at = read_uv(body, at)
            parts.append(body[at : at + size])
            at += size
        token, proof, device = parts
        self.gateway.extras.append(body[at + 2 :])  # behind the platform, and their length
        desk = self.gateway.tickets
        key = sha256(token).digest()
        if body[0] == 3:
            psk, kept = desk.of[self.responder.ticket]
            assert (token, kept.device.encode()) == (b"", device)
            key, token = psk, kept.user.encode()
            desk.logins += 1
            if desk.refuse_auth:
                self.end(desk.refuse_auth, "log in with a token")
                return
        if not hmac.compare_digest(
            proof, hmac.digest(key, b"qw1 auth" + self.responder.handshake_hash, "sha256")
        ):
            self.end(4001, "wrong binding")
            return
        code = self.gateway.refuse_login(token.decode())
        if code:
            self.end(code, "refused")
            return
        self.user, self.device = token.decode(), device.decode()
        for other in list(self.gateway.peers):
            if other is not self and (other.user, other.device) == (self.user, self.device):
                other.end(4003, "superseded")
        self.gateway.peers.add(self)
        self.gateway.logins += 1
        welcome = [b"12345678", self.user, int(time.time() * 1000), 1, self.gateway.ping_interval_s, "gate1"]
        welcome += [] if self.gateway.incarnation is None else [self.gateway.incarnation]
        self.say(frame(5, pack(welcome)))
        if desk.open:
            self.kept = Kept(self.user, self.device)
            self.kept.peer = self
            self.say(desk.give(self.kept))

    def end(self, code: int, text: str = "") -> None:
        self.gateway.peers.discard(self)
        self.say(frame(16, uv(code) + text.encode()))
        self.transport.close()


class ScriptedGateway:
    """`async with ScriptedGateway() as gateway:`; connect to `gateway.address` with
    `gateway.keys.root_text`.
    """

    def __init__(self, keys: KeyRing | None = None) -> None:
        self.keys = keys or KeyRing()
        self.host = "127.0.0.1"
        self.suites = {1, 2, 3}
        self.reject: int | None = None
        self.retry_after_ms = 50
        self.reject_data: bytes | None = None
        self.incarnation: bytes | None = None
        self.deaf = False
        """takes bytes and answers nothing: what a dead connection looks like to its client"""
        self.ping_interval_s = 60
        self.pong = True
        self.peers: set[Peer] = set()
        self.tickets = TicketDesk()
        self.log: dict[str, list[list[Any]]] = defaultdict(list)
        self.ids: dict[str, list[int]] = {}
        self.acks: dict[str, int] = {}
        self.seen: list[int] = []
        self.calls: list[tuple[str, Any]] = []
        self.pings: list[bytes] = []
        self.reports: list[dict[str, Any]] = []
        self.greetings: list[bytes] = []
        self.goodbyes: list[int] = []
        self.logins = 0
        self.extras: list[bytes] = []
        self.refusals: list[tuple[str, int]] = []
        """(method, code) of the next calls to refuse, in this order"""
        self.garbage: list[str] = []
        """methods whose next call is answered with what nobody can read"""
        self.results: dict[str, Any] = {}
        """answers to further methods"""
        self.queued: dict[str, list[Any]] = {}
        """the same, one after another"""
        self.sends: list[tuple[str, str]] = []
        """(target, text) of every SEND that came, in this order"""
        self.send_code: Callable[[str, str], int] = lambda target, text: 0
        """a code to refuse a SEND to this target, with this text"""
        self.send_detail: dict[str, Any] = {}
        self.live: Callable[[list[Any]], bool] = lambda message: True
        self.answers: Callable[[list[Any]], bool] = lambda payload: True
        self.refuse_login: Callable[[str], int] = lambda token: 0
        self._server_id = 1000

    async def __aenter__(self) -> ScriptedGateway:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Peer(self), self.host, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for peer in list(self.peers):
            peer.transport.abort()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def store(self, conversation: str, sender: str, text: str, client_id: str = "") -> list[Any]:
        """A message of somebody else appears in the log; nobody is told."""
        self._server_id += 1
        log = self.log[conversation]
        message = [conversation, len(log) + 1, self._server_id, int(time.time() * 1000), sender]
        message += [client_id or f"c{self._server_id}", 0, {"text": text}, None, None, 0]
        log.append(message)
        return message

    def deliver(self, user: str, message: list[Any]) -> None:
        for peer in self.peers:
            if peer.user == user:
                peer.push(message)
        self.tickets.keep(user, message)

    def send(self, peer: Peer, request: int, target: str, payload: list[Any]) -> None:
        client_id, told = payload[0], str(payload[2].get("text", ""))
        self.sends.append((target, told))
        code = self.send_code(target, told)
        if code:
            peer.say(frame(9, uv(request) + uv(code) + pack(["not now", self.send_detail])))
            return
        if target.startswith("r/") and target not in peer.rooms:
            peer.say(frame(9, uv(request) + uv(13001) + pack(["not in the room"])))
            return
        if target.startswith("r/"):
            self._server_id += 1
            room, sender = target[2:].encode(), peer.user.encode()
            content = pack([*payload[1:3], None, None, 0])
            event = bytes((5, len(room))) + room + b"\x00" + uv(2 * self._server_id) + uv(2)
            event += uv(2 * len(sender)) + sender + uv(len(content)) + content
            for other in self.peers:
                if target in other.rooms:
                    other.say(frame(7, event))
            peer.say(frame(9, uv(request) + uv(0) + pack([self._server_id, 0, 1])))
            return
        if target == "u/nobody":
            peer.say(frame(9, uv(request) + uv(404) + pack(["no such user"])))
            return
        if client_id not in self.ids:
            first, second = sorted([peer.user, target[2:]])
            conversation = f"s/{first}:{second}" if target.startswith("u/") else target
            message = self.store(conversation, peer.user, payload[2].get("text", ""), client_id)
            self.ids[client_id] = [message[2], message[1], message[3]]
            if self.live(message):
                self.deliver(target[2:], message)
        if self.answers(payload):
            peer.say(frame(9, uv(request) + uv(0) + pack(self.ids[client_id])))

    def called(self, peer: Peer, request: int, method: str, args: Any) -> None:
        self.calls.append((method, args))
        result: Any = {}
        code = 0
        if method in self.garbage:
            self.garbage.remove(method)
            peer.say(frame(11, uv(request) + uv(0) + b"\x81\xadconversations\x91\xc0"))
            return
        if self.refusals and self.refusals[0][0] == method:
            code, result = self.refusals.pop(0)[1], ["not now"]
        elif method == "sync":
            rows = [
                [name, len(log), 0, 1, self.acks.get(name, 0)]
                for name, log in self.log.items()
                if not name.startswith("s/") or peer.user in name[2:].split(":")
            ]
            result = {"conversations": rows, "cursor": self._server_id, "more": False}
        elif method == "pull":
            last = args.get("to_seq") or 1 << 60
            found = [m for m in self.log[args["conversation"]] if args["from_seq"] <= m[1] <= last]
            result = {"messages": found[: args["limit"]], "more": len(found) > args["limit"]}
        elif method == "ack":
            self.acks.update(args["acks"])
        elif method == "room.join":
            peer.rooms.add("r/" + args["room"])
            result = {"room": args["room"], "online": len(self.peers)}
        elif self.queued.get(method):
            result = self.queued[method].pop(0)
        elif method in self.results:
            result = self.results[method]
        elif method == "room.leave":
            peer.rooms.discard("r/" + args["room"])
        elif method == "never":
            return
        elif method != "time":
            code, result = 404, ["no such method"]
        peer.say(frame(11, uv(request) + uv(code) + pack(result)))
