"""The way from the message service to the gateway core of the same process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from control.logs import get_logger
from im_service.ports import NORMAL, Budget, Publication, Reply, Session

log = get_logger("downlink")

RETRY_S = 0.005
PUBLISH_ARGUMENTS = 5  # the loops come behind them


class Commands(Protocol):
    """What a core does for the message service.

    Commands cost about a microsecond, may come from any thread, and raise MailboxFull after a bounded
    wait. The batches do not raise it: they say how many were given, fewer when a mailbox stayed full, and of
    the publish that stopped a batch the loops that did not take it. Tried again, it goes to those alone.
    """

    def reply(self, conn: int, type: int, request: int, code: int, payload: bytes) -> None: ...
    def reply_many(self, replies: Sequence[Reply]) -> int: ...
    def publish(
        self,
        topic: str,
        type: int,
        body: bytes,
        priority: int = ...,
        exclude: int | None = ...,
        loops: int | None = ...,
    ) -> None: ...
    def publish_many(self, messages: Sequence[Publication]) -> tuple[int, int]: ...
    def join(self, conn: int, topic: str, budget: Budget | None = ...) -> None: ...
    def set_budget(self, topic: str, budget: Budget | None = ...) -> None: ...
    def leave(self, conn: int, topic: str) -> None: ...
    def join_user(self, user: str, topic: str) -> None: ...
    def leave_user(self, user: str, topic: str) -> None: ...
    def kick(self, user: str, device: str | None, before_session: int, code: int, text: str) -> None: ...


class Watch(Protocol):
    """Sees what goes to the core, before it does, while `users` is not empty."""

    users: dict[str, float]

    def replies(self, replies: Sequence[Reply]) -> None: ...
    def publications(self, items: Sequence[Publication]) -> None: ...


class LocalDownlink:
    """Implements im_service.ports.Downlink over the core of this process.

    The core's mailboxes are bounded. When one is full, commands wait here in order, up to `max_waiting`, and
    are tried again every few milliseconds; beyond that bound they are dropped and counted, and `lost()` is
    told, so that clients are sent to the store instead. While the core does not run nobody is there to hear
    anything: an answer that was not given is asked for again at the next login.
    """

    def __init__(
        self,
        core: Commands,
        mailbox_full: type[Exception],
        lost: Callable[[], None],
        max_waiting: int = 65536,
        not_running: tuple[type[Exception], ...] = (),
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._core: Commands = core
        self._full = mailbox_full
        self._not_running = not_running
        self._lost = lost
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._owes_hint = False
        self.dropped = 0
        self.delayed = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        if self._watch is not None and self._watch.users:
            self._watch.replies([(session.conn, type, request, code, payload)])
        self._do(self._core.reply, session.conn, type, request, code, payload)

    def reply_many(self, node: int, replies: Sequence[Reply]) -> None:
        if self._watch is not None and self._watch.users:
            self._watch.replies(replies)
        try:
            given = 0 if self._waiting else self._core.reply_many(replies)
        except self._not_running:
            return
        for arguments in replies[given:]:
            self._wait(self._core.reply, arguments)

    def publish(
        self, topic: str, type: int, body: bytes, priority: int = NORMAL, exclude: Session | None = None
    ) -> None:
        conn = exclude.conn if exclude is not None else 0
        if self._watch is not None and self._watch.users:
            self._watch.publications([(topic, type, body, priority, conn)])
        self._do(self._core.publish, topic, type, body, priority, conn)

    def publish_many(self, node: int, items: Sequence[Publication]) -> None:
        if self._watch is not None and self._watch.users:
            self._watch.publications(items)
        try:
            given, missing = (0, 0) if self._waiting else self._core.publish_many(items)
        except self._not_running:
            return
        for arguments in items[given:]:
            self._wait(self._core.publish, (*arguments, missing or None))
            missing = 0

    def join(self, session: Session, topic: str, budget: Budget | None = None) -> None:
        self._do(self._core.join, session.conn, topic, budget)

    def budget(self, topic: str, budget: Budget | None) -> None:
        self._do(self._core.set_budget, topic, budget)

    def leave(self, session: Session, topic: str) -> None:
        self._do(self._core.leave, session.conn, topic)

    def join_user(self, user: str, topic: str) -> None:
        self._do(self._core.join_user, user, topic)

    def leave_user(self, user: str, topic: str) -> None:
        self._do(self._core.leave_user, user, topic)

    def kick(self, user: str, device: str | None, before_session: int, code: int, text: str) -> None:
        self._do(self._core.kick, user, device, before_session, code, text)

    def close(self) -> None:
        """The core is gone: what the service still says has nobody to go to."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        self._core = _Gone()

    def _do(self, command: Callable[..., None], *arguments: Any) -> None:
        if self._waiting:
            self._wait(command, arguments)
            return
        try:
            command(*arguments)
        except self._full as full:
            self._wait(command, _left(arguments, full))
        except self._not_running:
            return

    def _wait(self, command: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if len(self._waiting) >= self._max_waiting:
            self.dropped += 1
            self._owes_hint = True
            return
        self._waiting.append((command, arguments))
        self.delayed += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._timer = None
        while self._waiting:
            command, arguments = self._waiting[0]
            try:
                command(*arguments)
            except self._full as full:
                self._waiting[0] = command, _left(arguments, full)
                self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._retry)
                return
            except self._not_running:
                self._waiting.clear()
                return
            except Exception:
                self.dropped += 1
                log.exception("a command could not be carried out")
            self._waiting.popleft()
        if self._owes_hint:
            self._owes_hint = False
            self._lost()


class _Gone:
    """Commands that nobody hears."""

    def _nothing(self, *_: object, **__: object) -> None:
        return

    reply = publish = join = set_budget = leave = join_user = leave_user = kick = _nothing

    def reply_many(self, replies: Sequence[Reply]) -> int:
        return len(replies)

    def publish_many(self, messages: Sequence[Publication]) -> tuple[int, int]:
        return len(messages), 0


def _left(arguments: tuple[Any, ...], full: Exception) -> tuple[Any, ...]:
    """A publish is tried again on the loops that did not take it: for the others it would be a second one."""
    missing = getattr(full, "missing", None)
    return arguments if missing is None else (*arguments[:PUBLISH_ARGUMENTS], missing)
