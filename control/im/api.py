"""The message service as the HTTP API sees it: named methods with their arguments, here or behind the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from control.bus.base import Bus, BusError, NobodyThere
from control.logs import get_logger
from control.part import Part
from im_service.calls import Args
from im_service.errors import UNDECODABLE, Code, ImError


class ImApi(Protocol):
    """Results are what msgpack can carry. Refusals are raised as im_service.errors.ImError."""

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> Any:
        """Run a method of the message service as the app's server, acting for `user` if one is named.
        `arguments`: its Struct, or a msgpack map that the service shall read.
        """
        ...


class _Question(msgspec.Struct, array_like=True):
    method: str
    arguments: msgspec.Raw
    user: str


class _Answer(msgspec.Struct, array_like=True):
    code: int
    result: Any = None
    text: str = ""
    detail: dict[str, Any] | None = None


log = get_logger("im-api")

_encode = msgspec.msgpack.Encoder().encode
_question = msgspec.msgpack.Decoder(_Question).decode
_answer = msgspec.msgpack.Decoder(_Answer).decode

REQUEST_TIMEOUT_S = 10.0
HEADER_BYTES = 4096
"""Of what the bus carries, kept for what it adds itself."""


class Absent(Exception):
    """Nobody listens at this im process: the question had no effect."""


async def ask(
    bus: Bus,
    im_id: int,
    method: str,
    arguments: Args | msgspec.Raw,
    user: str = "",
    timeout_s: float = REQUEST_TIMEOUT_S,
    nobody_s: float | None = None,
) -> object:
    """ImApi.call at this im process. Raises Absent, and ImError as it does. `nobody_s`: so long it may be on
    its way back to the bus.
    """
    question = _encode(_Question(method, msgspec.Raw(_encode(arguments)), user))
    if len(question) > bus.max_payload - HEADER_BYTES:
        raise ImError(Code.INVALID, "the request is too large to be passed on")
    try:
        answer = _answer(await bus.request(api_subject(im_id), question, timeout_s, nobody_s))
    except NobodyThere:
        raise Absent from None
    except BusError:
        raise ImError(Code.TIMEOUT, "the message service did not answer in time") from None
    if answer.code:
        raise ImError(Code(answer.code), answer.text, answer.detail)
    return answer.result


def api_subject(im_id: int) -> str:
    return f"api.{im_id}"


class ApiResponder(Part):
    """The im process's side of `ask`. Started after the service, stopped before it."""

    def __init__(self, bus: Bus, im_id: int, api: ImApi) -> None:
        self._bus = bus
        self._im_id = im_id
        self._api = api
        self._answers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._bus.respond(api_subject(self._im_id), self._on_question)

    async def stop(self, grace_s: float) -> None:
        if self._answers:
            await asyncio.wait(self._answers, timeout=grace_s)

    def _on_question(self, payload: bytes, answer: Callable[[bytes], None]) -> None:
        async def run() -> None:
            answer(await answer_question(self._api, payload, self._bus.max_payload - HEADER_BYTES))

        task = asyncio.create_task(run())
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)


async def answer_question(api: ImApi, payload: bytes, limit: int) -> bytes:
    """Run one question, encode what came of it in `limit` bytes."""
    try:
        question = _question(payload)
        result = await api.call(question.method, question.arguments, question.user)
        answer = _encode(_Answer(0, result))
        if len(answer) > limit:
            raise ImError(Code.INVALID, "the answer is too large: ask for a smaller page")
        return answer
    except (msgspec.MsgspecError, *UNDECODABLE) as error:
        return _encode(_Answer(int(Code.MALFORMED), text=str(error)))
    except ImError as error:
        return _encode(_Answer(int(error.code), text=error.text, detail=error.detail))
    except Exception:
        log.exception("a call of another process failed")
        return _encode(_Answer(int(Code.INTERNAL), text="the call could not be handled"))
