"""Whose sessions were ended, for gateways and im processes that did not hear of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from im_service.ports import Clock, Session

ENDED = "ended"
"""Kind of a word to the im process that serves the user (ports.PeersPort), as `Ended.words` makes it."""
ENDED_MS = 600_000
"""How long it is remembered: who is cut off for longer has lost its clients by then."""
MAX_ENDED = 10_000
"""Users and devices: the first is forgotten above this number."""


class End(NamedTuple):
    """`up_to`: the highest session id that it was about."""

    up_to: int
    code: int
    text: str
    at_ms: int


class Ended:
    """An order to close is a word to a gateway, not repeated where the gateway was cut off: it tells of its
    sessions when it is back, and hears the order again. Where the cluster was in two parts, the order goes on
    to the im process that serves the user. `latest`: of the session ids of the cluster.
    """

    def __init__(self, clock: Clock, latest: Callable[[], int]) -> None:
        self._clock = clock
        self._latest = latest
        self._ends: OrderedDict[tuple[str, str | None], End] = OrderedDict()
        self._newest = 0

    def began(self, session: Session, session_id: int) -> None:
        """A session logged in: no order from before is about it."""
        self._newest = max(self._newest, session_id)
        for key in ((session.user, None), (session.user, session.device)):
            if (end := self._ends.get(key)) is not None and end.up_to >= session_id:
                self._ends[key] = end._replace(up_to=session_id - 1)

    def note(self, user: str, device: str | None, before_session: int, code: int, text: str) -> None:
        """This device of the user (None: each) is closed, as ports.Downlink.kick says."""
        now, ends = self._clock.elapsed_ms(), self._ends
        up_to = min(before_session - 1, max(self._newest, self._latest()))
        ends[user, device] = End(up_to, code, text, now)
        ends.move_to_end((user, device))
        while len(ends) > MAX_ENDED or next(iter(ends.values())).at_ms < now - ENDED_MS:
            ends.popitem(last=False)

    def of(self, session: Session, session_id: int) -> End | None:
        """The order that this session should have obeyed."""
        since = self._clock.elapsed_ms() - ENDED_MS
        for key in ((session.user, None), (session.user, session.device)):
            if (end := self._ends.get(key)) is not None and session_id <= end.up_to and end.at_ms >= since:
                return end
        return None

    def words(self) -> Iterator[tuple[str, str]]:
        """(user, word to who serves them) of each order."""
        since = self._clock.elapsed_ms() - ENDED_MS
        for (user, device), end in list(self._ends.items()):
            if end.at_ms >= since:
                yield user, f"{end.up_to} {end.code} {user} {device or ''} {end.text}"


def read_word(word: str) -> tuple[str, str | None, int, int, str]:
    """What `Ended.words` made: user, device, before which session, code, text."""
    up_to, code, user, device, text = word.split(" ", 4)
    return user, device or None, int(up_to) + 1, int(code), text
