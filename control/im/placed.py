"""The message service of several im processes as the HTTP API sees it: each call goes to the process where
what it is about lives, which is where the gateways send theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

import msgspec

from control.bus.base import Bus
from control.coordination.base import NodeInfo
from control.coordination.mutes import names_of
from control.im.api import Absent, ImApi, ask
from control.rendezvous import choose, ranked
from control.request_keys import conversation_key, server_key
from frame.constants import ROOM_PREFIX
from im_service.calls import Args
from im_service.errors import UNDECODABLE, Code, ImError

BATCH = "message.batch"
"""The one method that is about many places at once: it is divided among them."""
PUTS_OUT = ("kick", "room.kick", "room.black")
"""They end what lives, wherever it is: at a gateway that is not heard they do nothing before it is back."""
SENDING = (BATCH, "message.send")
"""What is said reaches who is inside through the gateways, whoever says it."""
WAIT_S, POLL_S = 8.0, 0.1
"""Longer than a death goes unnoticed by default (bus.dead_after_s)."""
NOT_SERVED = "the process that serves this room does not answer"
_encode = msgspec.msgpack.Encoder().encode


class _Batch(msgspec.Struct):
    sender: str
    targets: list[str]


class _Answered(msgspec.Struct):
    results: list[object]


_batch = msgspec.msgpack.Decoder(_Batch).decode
_members = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode


class PlacedImApi:
    """ImApi over the bus. `ims()` are the ids of the living im processes; `own` is the one in this process.

    Each process may answer each call, but only the one that serves a room knows who is inside and what was
    said last, and only the one that serves a user knows their sessions. Where nobody listens at a process the
    question had no effect, and the next one is asked, as the gateways will. About a room that next one knows
    nothing before the gateways, too, take the first for dead: for `wait_s` seconds it is asked again.
    `late()` are there and not heard.
    """

    def __init__(
        self,
        bus: Bus,
        ims: Callable[[], Sequence[int]],
        own: tuple[int, ImApi] | None = None,
        wait_s: float = WAIT_S,
        late: Callable[[], Sequence[NodeInfo]] = list,
    ) -> None:
        self._late = late
        self._bus = bus
        self._ims = ims
        self._own = own
        self._wait_s = wait_s
        self._turns = count()

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> object:
        late = [info for info in self._late() if "gateway" in info.roles] if method in PUTS_OUT else []
        if not late:
            return await self._call(method, arguments, user)
        try:
            await self._call(method, arguments, user)
        except ImError as refused:
            if refused.code != Code.NOT_IN_ROOM:
                raise
            text = f"not done: whether they are in is known at {names_of(late)}, not heard on the bus"
            raise ImError(Code.TIMEOUT, text) from None
        text = f"done, but for who is connected at {names_of(late)}: not heard on the bus"
        raise ImError(Code.TIMEOUT, text)

    async def _call(self, method: str, arguments: Args | msgspec.Raw, user: str) -> object:
        ims = [str(im_id) for im_id in self._ims()]
        if len(ims) > 1:
            payload = _encode(arguments)
            if method == BATCH and (parts := _parts(payload, ims)):
                return await self._divided(parts, payload, ims)
            key = server_key(user, method, payload)
            if key.startswith(ROOM_PREFIX) and method not in SENDING:
                return await self._ask_about(key, method, arguments, user)
            ims = ranked(key, ims) if key else self._in_turn(ims)
        return await self._ask(ims, method, arguments, user)

    def _in_turn(self, ims: list[str]) -> list[str]:
        """Whichever: this process, if it is one of them."""
        own = "" if self._own is None else str(self._own[0])
        first = ims.index(own) if own in ims else next(self._turns) % len(ims)
        return ims[first:] + ims[:first]

    async def _ask(
        self, ims: Sequence[str], method: str, arguments: Args | msgspec.Raw, user: str = ""
    ) -> object:
        for im in ims:
            try:
                return await self._one(im, method, arguments, user)
            except Absent:
                continue
        raise ImError(Code.UNAVAILABLE, "no message service can be reached")

    async def _ask_about(self, room: str, method: str, arguments: Args | msgspec.Raw, user: str) -> object:
        """The one that serves this room, as the processes that live say."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._wait_s
        while im := choose(room, [str(im_id) for im_id in self._ims()]):
            try:
                return await self._one(im, method, arguments, user, 0.0)
            except Absent:
                if loop.time() >= until:
                    raise ImError(Code.UNAVAILABLE, NOT_SERVED, {"retry_after_ms": 1000}) from None
                await asyncio.sleep(POLL_S)
        raise ImError(Code.UNAVAILABLE, "no message service can be reached")

    async def _one(
        self,
        im: str,
        method: str,
        arguments: Args | msgspec.Raw,
        user: str,
        nobody_s: float | None = None,
    ) -> object:
        """Raises Absent."""
        if self._own is not None and int(im) == self._own[0]:
            return await self._own[1].call(method, arguments, user)
        return await ask(self._bus, int(im), method, arguments, user, nobody_s=nobody_s)

    async def _divided(self, parts: dict[str, list[int]], payload: bytes, ims: list[str]) -> object:
        """A batch, each target where it belongs. As long as no part was taken it is refused as a whole."""
        members = _members(payload)
        targets = _batch(payload).targets

        async def part(im: str, places: list[int]) -> list[object] | ImError:
            chosen = msgspec.Raw(_encode([targets[place] for place in places]))
            arguments = msgspec.Raw(_encode({**members, "targets": chosen}))
            try:
                answer = await self._ask(sorted(ims, key=lambda other: other != im), BATCH, arguments)
            except ImError as refusal:
                return refusal
            return msgspec.convert(msgspec.to_builtins(answer), _Answered).results

        answers = await asyncio.gather(*(part(*each) for each in parts.items()))
        refusals = [answer for answer in answers if isinstance(answer, ImError)]
        if len(refusals) == len(answers):
            raise refusals[0]
        results: list[object] = [None] * len(targets)
        for places, answer in zip(parts.values(), answers, strict=True):
            for at, place in enumerate(places):
                results[place] = (
                    {"target": targets[place], "code": int(answer.code), "text": answer.text}
                    if isinstance(answer, ImError)
                    else answer[at]
                )
        return {"results": results}


def _parts(payload: bytes, ims: Sequence[str]) -> dict[str, list[int]]:
    """im process -> which of the targets it serves; nothing where the targets cannot be read."""
    found: dict[str, list[int]] = {}
    try:
        batch = _batch(payload)
    except UNDECODABLE:
        return found
    for number, target in enumerate(batch.targets):
        im = choose(conversation_key(batch.sender, target), ims) or ""
        found.setdefault(im, []).append(number)
    return found
