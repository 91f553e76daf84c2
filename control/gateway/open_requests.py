"""What a gateway asked im processes and has no answer to: it is not lost with the process that was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control.streams.operations import Call, Send
from frame.constants import FrameType
from im_service.ports import Reply

OLDEST_S = 60.0
"""An answer that has not come for so long was lost; whoever asked has asked again or is gone."""
_SEND_ACK, _RETURN = int(FrameType.SEND_ACK), int(FrameType.RETURN)

_Key = tuple[int, int, int]
"""(connection, frame type of the answer, request)"""


class OpenRequests:
    """In the order they were asked, `most` at a time: the oldest is forgotten above that.

    When the set of im processes changes, a target's messages may belong elsewhere from then on. They keep
    their order: as long as one of them is open, the next ones of its sender go where it went.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._open: dict[_Key, tuple[int, float, Send | Call]] = {}
        self._places: dict[
            tuple[int, str], list[int]
        ] = {}  # (connection, target) -> [im process, open sends]

    def __len__(self) -> int:
        return len(self._open)

    def sent(self, im_id: int, sends: Sequence[Send]) -> None:
        now, opened, places = self._clock(), self._open, self._places
        for send in sends:
            conn = send[0].conn
            opened[conn, _SEND_ACK, send[1]] = (im_id, now, send)
            if places and (place := places.get((conn, send[2]))) is not None:
                place[1] += 1
        while len(opened) > self._most:
            self._close(next(iter(opened)))

    def called(self, im_id: int, call: Call) -> None:
        self._open[call.session.conn, _RETURN, call.request] = (im_id, self._clock(), call)
        if len(self._open) > self._most:
            self._close(next(iter(self._open)))

    def answered(self, replies: Sequence[Reply]) -> None:
        if not self._places:
            for conn, type_, request, _, _ in replies:
                self._open.pop((conn, type_, request), None)
            return
        for conn, type_, request, _, _ in replies:
            self._close((conn, type_, request))

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

    def taken_from(self, im_id: int) -> list[Send | Call]:
        """This im process is gone: what it was asked, in order."""
        keys = [key for key, (asked_of, _, _) in self._open.items() if asked_of == im_id]
        since = self._clock() - OLDEST_S
        taken = []
        for key in keys:
            _, asked_at, asked = self._open[key]
            self._close(key)
            if asked_at >= since:
                taken.append(asked)
        return taken

    def _close(self, key: _Key) -> None:
        found = self._open.pop(key, None)
        if found is None or isinstance(found[2], Call):
            return
        where = (key[0], found[2][2])
        place = self._places.get(where)
        if place is not None:
            place[1] -= 1
            if place[1] <= 0:
                del self._places[where]
