"""What a gateway asked im processes and has no answer to: it is not lost with the process that was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control.streams.batches import SMALL, encode
from control.streams.operations import Call, Send
from frame.constants import FrameType, RequestCode
from im_service.ports import Reply

OLDEST_S = 60.0
"""An answer that has not come for so long was lost; whoever asked has asked again or is gone."""
UNKNOWN = encode(["the message service that was asked is gone: the outcome is unknown", {}])
_SEND_ACK, _RETURN = int(FrameType.SEND_ACK), int(FrameType.RETURN)
_CERTAIN = frozenset((RequestCode.OK, RequestCode.MALFORMED, RequestCode.INVALID, RequestCode.DUPLICATE))
"""What the second one that is asked says for both: the message is stored, or nobody would store it."""

Request = Send | Call

_Key = tuple[int, int, int]
"""(connection, frame type of the answer, request)"""


class OpenRequests:
    """In the order they were asked, `most` and `most_bytes` of them at a time: what is above that is not
    taken. Those that are older than OLDEST_S make room.

    A send that is asked again, because who was asked first is gone, may be stored already: a refusal of the
    second one only says that nobody knows (decision 0024).

    When the set of im processes changes, a target's messages may belong elsewhere from then on. They keep
    their order: as long as one of them is open, the next ones of its sender go where it went.
    """

    def __init__(self, most: int, most_bytes: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._clock = clock
        self._bytes = 0
        self._again: set[_Key] = set()
        self._open: dict[_Key, tuple[int, float, Request]] = {}
        self._places: dict[
            tuple[int, str], list[int]
        ] = {}  # (connection, target) -> [im process, open sends]

    def __len__(self) -> int:
        return len(self._open)

    def sent(self, im_id: int, sends: Sequence[Send]) -> list[Send]:
        """These go to an im process: those of them that there is room for."""
        now, opened, places = self._clock(), self._open, self._places
        taken = []
        for send in sends:
            size = size_of(send)
            if not self._room(size, now):
                continue
            self._bytes += size
            conn = send[0].conn
            opened[conn, _SEND_ACK, send[1]] = (im_id, now, send)
            taken.append(send)
            if places and (place := places.get((conn, send[2]))) is not None:
                place[1] += 1
        return taken

    def called(self, im_id: int, call: Call) -> bool:
        """A call goes to an im process, if there is room for it."""
        now, size = self._clock(), size_of(call)
        if not self._room(size, now):
            return False
        self._bytes += size
        self._open[call.session.conn, _RETURN, call.request] = (im_id, now, call)
        return True

    def answered(self, replies: Sequence[Reply]) -> Sequence[Reply]:
        """These are answered. -> what their senders hear."""
        if self._again:
            replies = [self._told(reply) for reply in replies]
        for conn, type_, request, _, _ in replies:
            self._close((conn, type_, request))
        return replies

    def _told(self, reply: Reply) -> Reply:
        conn, type_, request, code, _ = reply
        key = conn, type_, request
        if key not in self._again:
            return reply
        self._again.discard(key)
        return reply if code in _CERTAIN else (*key, int(RequestCode.TIMEOUT), UNKNOWN)

    def _room(self, size: int, now: float) -> bool:
        if len(self._open) < self._most and self._bytes + size <= self._most_bytes:
            return True
        while self._open and next(iter(self._open.values()))[1] < now - OLDEST_S:
            key = next(iter(self._open))
            self._close(key)
            self._again.discard(key)
        return len(self._open) < self._most and self._bytes + size <= self._most_bytes

    def place(self, conn: int, target: str) -> int | None:
        """Where open sends of this connection to this target are, if they were open at the last change."""
        place = self._places.get((conn, target)) if self._places else None
        return None if place is None else place[0]

    def changed(self) -> None:
        """The set of im processes is about to change."""
        self._places = {}
        for im_id, _, asked in self._open.values():
            if not isinstance(asked, Call):
                place = self._places.setdefault((asked[0].conn, asked[2]), [im_id, 0])
                place[1] += 1

    def end(self) -> list[Request]:
        """Nobody waits for an answer any longer: who has none, in order."""
        asked = [asked for _, _, asked in self._open.values()]
        self._open.clear()
        self._again.clear()
        self._places, self._bytes = {}, 0
        return asked

    def taken_from(self, im_id: int) -> list[Request]:
        """This im process is gone: what it was asked, in order. Its sends shall be asked again."""
        keys = [key for key, (asked_of, _, _) in self._open.items() if asked_of == im_id]
        since = self._clock() - OLDEST_S
        taken = []
        for key in keys:
            _, asked_at, asked = self._open[key]
            self._close(key)
            if asked_at >= since:
                taken.append(asked)
                if not isinstance(asked, Call):
                    self._again.add(key)
            else:
                self._again.discard(key)
        return taken

    def _close(self, key: _Key) -> None:
        found = self._open.pop(key, None)
        if found is None:
            return
        self._bytes -= size_of(found[2])
        if not self._places or isinstance(found[2], Call):
            return
        where = (key[0], found[2][2])
        place = self._places.get(where)
        if place is not None:
            place[1] -= 1
            if place[1] <= 0:
                del self._places[where]


def size_of(asked: Request) -> int:
    return len(asked.payload if isinstance(asked, Call) else asked[3]) + SMALL
