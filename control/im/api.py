"""The message service as the HTTP API sees it: named methods with their arguments, here or behind the bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from control.bus.base import Bus, BusError
from im_service.calls import Args
from im_service.errors import Code, ImError


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


_encode = msgspec.msgpack.Encoder().encode
_question = msgspec.msgpack.Decoder(_Question).decode
_answer = msgspec.msgpack.Decoder(_Answer).decode

REQUEST_TIMEOUT_S = 10.0
MAX_MESSAGE_BYTES = 1_000_000


class RemoteImApi:
    """ImApi over the bus; `choose()` names a live im process, None when there is none."""

    def __init__(self, bus: Bus, choose: Callable[[], int | None]) -> None:
        self._bus = bus
        self._choose = choose

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> Any:
        im_id = self._choose()
        if im_id is None:
            raise ImError(Code.UNAVAILABLE, "no message service can be reached")
        question = _encode(_Question(method, msgspec.Raw(_encode(arguments)), user))
        if len(question) > MAX_MESSAGE_BYTES:
            raise ImError(Code.INVALID, "the request is too large to be passed on")
        try:
            answer = _answer(await self._bus.request(api_subject(im_id), question, REQUEST_TIMEOUT_S))
        except BusError:
            raise ImError(Code.TIMEOUT, "the message service did not answer in time") from None
        if answer.code:
            raise ImError(Code(answer.code), answer.text, answer.detail)
        return answer.result


def api_subject(im_id: int) -> str:
    return f"api.{im_id}"


async def answer_question(api: ImApi, payload: bytes) -> bytes:
    """The im process's side of RemoteImApi: run one question, encode what came of it."""
    try:
        question = _question(payload)
        result = await api.call(question.method, question.arguments, question.user)
        answer = _encode(_Answer(0, result))
        if len(answer) > MAX_MESSAGE_BYTES:
            raise ImError(Code.INVALID, "the answer is too large: ask for a smaller page")
        return answer
    except msgspec.MsgspecError as error:
        return _encode(_Answer(int(Code.MALFORMED), text=str(error)))
    except ImError as error:
        return _encode(_Answer(int(error.code), text=error.text, detail=error.detail))
