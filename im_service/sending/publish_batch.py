"""What a batch of sends gives to the gateways."""

from __future__ import annotations

from im_service.ports import NORMAL, Downlink, Publication, Reply, Session

SERVER_NODE = -1
"""Node of publications that no connection asked for."""


class PublishBatch:
    """What a batch wants sent: publications in commit order, then the replies."""

    __slots__ = ("_node", "_publications", "_replies", "_runs")

    def __init__(self) -> None:
        self._node = SERVER_NODE
        self._publications: list[Publication] = []
        self._runs: list[tuple[int, list[Publication]]] = []
        self._replies: dict[int, list[Reply]] = {}

    def publish(
        self, node: int, topic: str, type: int, body: bytes, priority: int = NORMAL, exclude: int = 0
    ) -> None:
        """`exclude` is a connection of `node`."""
        if node != self._node and exclude:
            self._publications = []
            self._runs.append((node, self._publications))
            self._node = node
        elif not self._runs:
            self._runs.append((self._node, self._publications))
        self._publications.append((topic, type, body, priority, exclude))

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        replies = self._replies.get(session.node)
        if replies is None:
            replies = self._replies[session.node] = []
        replies.append((session.conn, type, request, code, payload))

    def flush(self, downlink: Downlink) -> None:
        for node, publications in self._runs:
            downlink.publish_many(node, publications)
        for node, replies in self._replies.items():
            downlink.reply_many(node, replies)
