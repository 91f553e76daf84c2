"""Routes and sessions of a whole cluster, compared: what `qianwan routes check` shows.

Every im process is asked for the last words of each gateway (route_check.py). Words of one number were said
to all of them at once, and each heard it behind all logins that went there before: so their sums over the
im processes are those of one moment, whatever goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from control.bus.base import Bus
from control.coordination.base import NodeInfo
from control.im.api import Absent, ask
from control.im.route_check import RouteCheck, Word
from control.logs import get_logger
from control.node_ids import Peer, node_key
from control.rendezvous import choose
from control.request_keys import user_key
from im_service.calls import Args
from im_service.errors import ImError
from im_service.ports import Session
from im_service.turns import in_turns

log = get_logger("routes")

REPORT: Final = "routes.report"
"""What im processes are asked; no method of the message service."""
TIMEOUT_S = 10.0
STALE_S = 30.0
"""A gateway tells its tally every few seconds: one that did not for so long is not heard."""


class Heard(msgspec.Struct, array_like=True):
    """Of one gateway, at one im process. `moved`: sessions here whose user is served elsewhere by now."""

    node_id: int
    epoch: int
    moved: int
    words: list[Word]


class Pair(msgspec.Struct, kw_only=True):
    """A gateway as an im process knows it. `equal` is null while the gateway repeats all its topics."""

    gateway: int
    im: int
    topics: int
    routes: int
    equal: bool | None
    age_s: float


class GatewayCount(msgspec.Struct, kw_only=True):
    """`open`: sessions in the core of a gateway. `sessions`: those its process knows. `registered`: those
    that the im processes together know, `moved` of them twice since an im process came. The first two, and
    the third without the moved ones, are equal; null where no word was heard by every im process."""

    gateway: int
    name: str
    open: int | None
    sessions: int | None
    registered: int | None
    moved: int
    equal: bool | None


class RoutesAnswer(msgspec.Struct, kw_only=True):
    """`equal`: all of it is. `silent`: im processes that did not answer, and processes that etcd lists and
    the bus carries nothing of."""

    equal: bool
    pairs: list[Pair]
    gateways: list[GatewayCount]
    silent: list[int]


async def nothing_routed() -> RoutesAnswer:
    """Of a process without gateways and im processes."""
    return RoutesAnswer(equal=True, pairs=[], gateways=[], silent=[])


async def report(
    check: RouteCheck, sessions_at: Callable[[int], Sequence[Session]], own: int, ims: Sequence[int]
) -> list[Heard]:
    """What an im process answers to REPORT, counted in turns."""
    names, found = [str(im_id) for im_id in ims], []
    for peer, words in check.words().items():
        moved = 0
        if len(names) > 1:
            async for session in in_turns(sessions_at(node_key(*peer))):
                moved += choose(user_key(session.user), names) != str(own)
        found.append(Heard(*peer, moved, words))
    return found


class ClusterRoutes:
    """Asks the im processes. `gateways()` and `ims()` are the live ones, `mute()` are not heard though they
    are there.
    """

    def __init__(
        self,
        bus: Bus,
        gateways: Callable[[], Sequence[NodeInfo]],
        ims: Callable[[], Sequence[int]],
        mute: Callable[[], Sequence[NodeInfo]],
    ) -> None:
        self._mute = mute
        self._bus = bus
        self._gateways = gateways
        self._ims = ims

    async def look(self) -> RoutesAnswer:
        ims = list(self._ims())
        answers = await asyncio.gather(*(self._ask(im_id) for im_id in ims))
        heard = {
            (im_id, each.node_id, each.epoch): each
            for im_id, answer in zip(ims, answers, strict=True)
            for each in answer or ()
        }
        silent = [im_id for im_id, answer in zip(ims, answers, strict=True) if answer is None]
        gateways = list(self._gateways())
        pairs = [_pair(im_id, info, heard) for info in gateways for im_id in ims if im_id not in silent]
        counts = [_count(info, ims, heard) for info in gateways]
        silent += [info.node_id for info in self._mute() if set(info.roles) & {"gateway", "im"}]
        equal = not silent and all(pair.equal for pair in pairs) and all(count.equal for count in counts)
        return RoutesAnswer(equal=equal, pairs=pairs, gateways=counts, silent=silent)

    async def _ask(self, im_id: int) -> list[Heard] | None:
        try:
            answer = await ask(self._bus, im_id, REPORT, Args(), timeout_s=TIMEOUT_S)
            return msgspec.convert(answer, list[Heard])
        except (Absent, ImError, msgspec.ValidationError) as error:
            log.warning(
                "an im process does not say what it heard of gateways", peer_id=im_id, reason=repr(error)
            )
            return None


AllHeard = dict[tuple[int, int, int], Heard]


def _of(heard: AllHeard, im_id: int, peer: Peer) -> Heard | None:
    found = heard.get((im_id, *peer))
    return found if found and found.words and found.words[-1].at < STALE_S else None


def _pair(im_id: int, info: NodeInfo, heard: AllHeard) -> Pair:
    found = _of(heard, im_id, (info.node_id, info.epoch))
    if found is None:
        return Pair(gateway=info.node_id, im=im_id, topics=0, routes=0, equal=False, age_s=-1)
    word = found.words[-1]
    routes = word.routes[0] if word.routes else 0
    return Pair(
        gateway=info.node_id,
        im=im_id,
        topics=word.tally.topics,
        routes=routes,
        equal=word.equal,
        age_s=word.at,
    )


def _count(info: NodeInfo, ims: Sequence[int], heard: AllHeard) -> GatewayCount:
    """At the last word that every im process heard."""
    found = [_of(heard, im_id, (info.node_id, info.epoch)) for im_id in ims]
    known = [each for each in found if each is not None]
    words = [{word.tally.number: word for word in each.words} for each in known]
    common = set.intersection(*(set(each) for each in words)) if words and len(known) == len(ims) else set()
    moved = sum(each.moved for each in known)
    if not common:
        return GatewayCount(
            gateway=info.node_id,
            name=info.name,
            open=None,
            sessions=None,
            registered=None,
            moved=moved,
            equal=None,
        )
    at_once = [each[max(common)] for each in words]
    tally, registered = at_once[0].tally, sum(word.registered for word in at_once)
    return GatewayCount(
        gateway=info.node_id,
        name=info.name,
        open=tally.open,
        sessions=tally.sessions,
        registered=registered,
        moved=moved,
        equal=tally.open == tally.sessions == registered - moved,
    )


class LocalCount:
    """The same where the gateway and the message service are one process: nothing is routed."""

    def __init__(
        self,
        node: int,
        name: str,
        open_: Callable[[], int],
        sessions: Callable[[], int],
        im: Callable[[], int],
    ) -> None:
        self._node = node
        self._name = name
        self._open = open_
        self._sessions = sessions
        self._im = im

    async def look(self) -> RoutesAnswer:
        open_, sessions, registered = self._open(), self._sessions(), self._im()
        equal = open_ == sessions == registered
        count = GatewayCount(
            gateway=self._node,
            name=self._name,
            open=open_,
            sessions=sessions,
            registered=registered,
            moved=0,
            equal=equal,
        )
        return RoutesAnswer(equal=equal, pairs=[], gateways=[count], silent=[])
