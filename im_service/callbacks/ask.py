"""Questions about messages and calls, in the words of the application's server."""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import UNSET

from im_service.callbacks.answers import read_decision, read_for, refused
from im_service.callbacks.kinds import OF_CALLS, OF_MESSAGES
from im_service.callbacks.ports import CallbackPort
from im_service.calls import Args
from im_service.ids import ROOM, SINGLE, peer_of
from im_service.ports import Session
from im_service.sending.hooks import Action, Draft, Verdict

Question = dict[str, object]


class MessageCallback:
    """A hook: messages and edits, as the sender wrote them or the hooks before left them."""

    instant = False

    def __init__(self, port: CallbackPort) -> None:
        self._port = port

    def wants(self, kind: str, type: int) -> bool:
        return self._port.asks(OF_MESSAGES[kind])

    async def judge(self, draft: Draft) -> Verdict:
        kind = draft.conversation[0]
        read = partial(read_for, draft.type, kind == ROOM)
        found = await self._port.ask(OF_MESSAGES[kind], question_of(draft), read)
        if found is None:
            return Verdict()
        answer, body = found
        if answer.verdict == "refuse":
            return Verdict(Action.REJECT, text=answer.text, code=answer.code)
        if answer.verdict == "replace":
            return Verdict(Action.REPLACE, body, None if answer.ext is UNSET else answer.ext)
        return Verdict()


def question_of(draft: Draft) -> Question:
    """A message as JSON can say it: bytes in a body become base64."""
    kind, conversation = draft.conversation[0], draft.conversation
    if kind == SINGLE:
        where: Question = {"to": peer_of(conversation, draft.sender)}
    else:
        where = {"room" if kind == ROOM else "group": conversation[2:]}
    asked: Question = {
        "conversation": conversation,
        "from": draft.sender,
        "device": draft.device,
        **where,
        "client_id": draft.client_id,
        "type": draft.type,
        "body": msgspec.msgpack.decode(draft.body),
    }
    if draft.ext is not None:
        asked["ext"] = draft.ext
    if draft.antispam is not None:
        asked["antispam"] = draft.antispam
    if draft.shown:
        asked["push"] = draft.shown
    return asked


class CallCallback:
    """Asked before a user's call runs, behind every other check that comes before it."""

    def __init__(self, port: CallbackPort) -> None:
        self._port = port

    async def admit(self, session: Session, name: str, args: Args) -> None:
        """Raises ImError where the application refuses, or does not answer and must."""
        kind = OF_CALLS.get(name)
        if kind is None or not self._port.asks(kind):
            return
        question: Question = {"from": session.user, "device": session.device, "method": name}
        question["arguments"] = msgspec.msgpack.decode(msgspec.msgpack.encode(args))
        answer = await self._port.ask(kind, question, read_decision)
        if answer is not None and answer.verdict == "refuse":
            raise refused(answer)
