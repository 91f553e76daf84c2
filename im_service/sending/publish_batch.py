"""What a batch of sends gives to the gateways."""

from __future__ import annotations

from collections.abc import Callable

from im_service.ports import NORMAL, SERVER_NODE, Downlink, Publication, Reply, Session

_NOTHING: tuple[int, Callable[[], None]] = (-1, lambda: None)


class PublishBatch:
    """What a batch wants sent: publications in commit order, then the replies."""

    __slots__ = ("_between", "_node", "_publications", "_replies", "_runs")

    def __init__(self) -> None:
        self._node = SERVER_NODE
        self._publications: list[Publication] = []
        self._runs: list[tuple[int, list[Publication]]] = []
        self._between: list[tuple[int, Callable[[], None]]] = []
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

    def then(self, publish: Callable[[], None]) -> None:
        """Behind what is here so far: a publication of another kind."""
        self._between.append((len(self._runs), publish))
        self._publications = []
        self._runs.append((self._node, self._publications))

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        replies = self._replies.get(session.node)
        if replies is None:
            replies = self._replies[session.node] = []
        replies.append((session.conn, type, request, code, payload))

    def flush(self, downlink: Downlink) -> None:
        between = iter(self._between)
        at, publish = next(between, _NOTHING)
        for number, (node, publications) in enumerate(self._runs):
            if number == at:
                publish()
                at, publish = next(between, _NOTHING)
            if publications:
                downlink.publish_many(node, publications)
        for node, replies in self._replies.items():
            downlink.reply_many(node, replies)
