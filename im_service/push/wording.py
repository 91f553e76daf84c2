"""What a push says."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from frame.constants import MessageType
from im_service.ids import time_of
from im_service.models import unpack_payload
from im_service.options import MAX_PUSH_TEXT
from im_service.push.ports import Push
from im_service.push.rules import PushRules
from im_service.push.texts import OF_TYPE, Catalogue, Texts, fill
from im_service.sending.pending import Pending
from im_service.storage.records import PushToken

QUIET = (MessageType.NOTIFICATION, MessageType.CUSTOM)
"""Types whose push text has no name before it unless asked for."""


class Receiver(msgspec.Struct, frozen=True):
    """Somebody who is told on these devices."""

    tokens: tuple[PushToken, ...]
    rules: PushRules
    forced: bool


class Wording:
    """What one message says, in every language."""

    def __init__(self, entry: Pending, texts: Catalogue, name: str, title: str) -> None:
        self._entry = entry
        self._texts = texts
        self._name = name
        self._title = title
        self._plain: dict[str, str] = {}

    def push(self, token: PushToken, receiver: Receiver, server_id: int, badge: int) -> Push:
        entry, options = self._entry, self._entry.options.options
        force = options.forcePush
        forced = receiver.forced
        texts = self._texts.of(token.locale)
        title = self._title
        payload = "" if options.payload is UNSET else options.payload
        sender = entry.route.sender
        conversation = entry.route.conversation
        if not receiver.rules.preview:  # of a single chat the conversation names who sent it
            text, conversation, title, sender, payload = texts["hidden"], "", "", "", ""
        elif forced and force is not UNSET and force.content is not None:
            text = force.content
        else:
            text = self._text(token.locale, texts)
        life = entry.options.expire_ms
        return Push(
            token, conversation, server_id, sender, title, text, payload, badge, forced, False,
            time_of(server_id) + life if life else 0,
        )  # fmt: skip

    def _text(self, locale: str, texts: Texts) -> str:
        """pushContent as it is; otherwise the text or a word for the type, with the sender's name unless not
        wanted."""
        if (known := self._plain.get(locale)) is not None:
            return known
        entry, options = self._entry, self._entry.options.options
        text = _words(entry, texts) if options.pushContent is UNSET else options.pushContent
        named = entry.type not in QUIET if options.needPushNick is UNSET else options.needPushNick
        if named:
            text = fill(texts["named"], name=self._name, text=text)
        self._plain[locale] = text = text[:MAX_PUSH_TEXT]
        return text


def _words(entry: Pending, texts: Mapping[str, str]) -> str:
    name = OF_TYPE.get(entry.type)
    if name is not None:
        return texts[name]
    body = msgspec.msgpack.decode(unpack_payload(entry.payload)[0])
    return str(body.get("text", "")) if isinstance(body, dict) else ""
