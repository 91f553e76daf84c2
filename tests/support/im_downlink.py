"""A downlink that plays the gateways: connections, topics, and what each connection received, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from qianwan.protocol.room_messages import parse_room_messages

from frame.constants import MAX_BODY, EventKind
from im_service.ports import NORMAL, Budget, Publication, Reply, Session

MSG, EVENT = 6, 7
HEAD = 16  # bytes: request and code, before an answer


class Connection:
    """What one connection got: replies by request, messages, events, and why it was closed."""

    def __init__(self, session: Session, session_id: int) -> None:
        self.session = session
        self.session_id = session_id
        self.topics = {"u/" + session.user}
        self.replies: dict[int, tuple[int, Any]] = {}
        self.messages: list[list[Any]] = []
        self.events: list[tuple[int, Any]] = []
        self.closed: int | None = None
        self.text = ""

    def leave(self, topic: str) -> None:
        """As the core: out of the topic and of its tags."""
        self.topics = {name for name in self.topics if name.partition("#")[0] != topic and name != topic}

    def notices(self, name: str) -> list[dict[str, Any]]:
        return [body[1] for kind, body in self.events if kind == 2 and body[0] == name]

    def room_messages(self) -> list[list[Any]]:
        return [body for kind, body in self.events if kind == EventKind.ROOM_MESSAGES]


def fits(body: bytes) -> None:
    """As the core: what no frame takes is refused."""
    if len(body) > MAX_BODY - HEAD:
        raise ValueError(f"a frame body is at most {MAX_BODY} bytes")


class RecordingDownlink:
    """Downlink over connections held in memory; also keeps every publication."""

    def __init__(self) -> None:
        self.connections: dict[tuple[int, int], Connection] = {}
        self.published: list[Publication] = []
        self.budgets: dict[str, Budget | None] = {}
        self.sent = 0

    def connect(self, session: Session, session_id: int) -> Connection:
        connection = Connection(session, session_id)
        self.connections[session.node, session.conn] = connection
        return connection

    def disconnect(self, session: Session) -> None:
        self.connections.pop((session.node, session.conn), None)

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        self._reply(session.node, (session.conn, type, request, code, payload))

    def reply_many(self, node: int, replies: Sequence[Reply]) -> None:
        for reply in replies:
            self._reply(node, reply)

    def _reply(self, node: int, reply: Reply) -> None:
        conn, _, request, code, payload = reply
        fits(payload)
        connection = self.connections.get((node, conn))
        if connection is not None:
            if request in connection.replies:
                raise AssertionError(f"request {request} was answered twice")
            connection.replies[request] = (code, msgspec.msgpack.decode(payload))

    def publish(
        self, topic: str, type: int, body: bytes, priority: int = NORMAL, exclude: Session | None = None
    ) -> None:
        node, conn = (-1, 0) if exclude is None else (exclude.node, exclude.conn)
        self._publish(node, (topic, type, body, priority, conn))

    def publish_many(self, node: int, items: Sequence[Publication]) -> None:
        for item in items:
            self._publish(node, item)

    def _publish(self, node: int, item: Publication) -> None:
        topic, type, body, _, exclude = item
        fits(body)
        self.published.append(item)
        for key, connection in self.connections.items():
            if topic in connection.topics and key != (node, exclude) and connection.closed is None:
                self.sent += 1
                if type == MSG:
                    connection.messages.append(msgspec.msgpack.decode(body))
                elif type == EVENT and body[0] == EventKind.ROOM_MESSAGES:
                    said = parse_room_messages(body[1:])
                    connection.events += [(body[0], list(msgspec.structs.astuple(each))) for each in said]
                elif type == EVENT:
                    connection.events.append((body[0], msgspec.msgpack.decode(body[1:])))

    def budget(self, topic: str, budget: Budget | None) -> None:
        self.budgets[topic] = budget

    def join(self, session: Session, topic: str, budget: Budget | None = None) -> None:
        self.budgets[topic] = budget
        connection = self.connections.get((session.node, session.conn))
        if connection is not None:
            connection.topics.add(topic)

    def leave(self, session: Session, topic: str) -> None:
        connection = self.connections.get((session.node, session.conn))
        if connection is not None:
            connection.leave(topic)

    def join_user(self, user: str, topic: str) -> None:
        for connection in self.connections.values():
            if connection.session.user == user:
                connection.topics.add(topic)

    def leave_user(self, user: str, topic: str) -> None:
        for connection in self.connections.values():
            if connection.session.user == user:
                connection.leave(topic)

    def kick(self, user: str, device: str | None, before_session: int, code: int, text: str) -> None:
        for connection in self.connections.values():
            session = connection.session
            mine = session.user == user and device in (None, session.device)
            if mine and connection.closed is None and connection.session_id < before_session:
                connection.closed, connection.text = int(code), text
