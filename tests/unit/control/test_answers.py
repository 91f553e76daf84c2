"""Answers over HTTP: every member has its name, and the document says what comes."""

from __future__ import annotations

import msgspec

from control.api.answers import encoder, schemas
from im_service.conversation.list import ConversationLine, Overview
from im_service.conversation.revisions import Reactions
from im_service.methods import METHODS
from im_service.models import message_bytes, pack_payload
from im_service.storage.records import Reaction

BIG = (1 << 60) + 1
MESSAGE = msgspec.Raw(
    message_bytes("s/a:b", 1, BIG, 5, "a", "id", 0, pack_payload(msgspec.msgpack.encode({"text": "x"})))
)


def test_messages_are_objects_with_their_id_as_text_too() -> None:
    line = ConversationLine("s/a:b", 1, 0, 1, 1, True, MESSAGE, False, False, "")
    empty = ConversationLine("s/a:c", 0, 0, 1, 0, True, None, False, False, "")
    said = msgspec.json.decode(encoder(METHODS["conversations"])(Overview([line, empty], None, False)))
    last = said["conversations"][0]["last"]
    assert (last["seq"], last["server_id"], last["server_id_str"]) == (1, BIG, str(BIG))
    assert last["body"] == {"text": "x"}
    assert said["conversations"][1]["last"] is None


def test_rows_are_objects() -> None:
    found = Reactions([Reaction(1, "a", "ok", 5, "")], "", False)
    said = msgspec.json.decode(encoder(METHODS["reactions"])(found))
    assert said["reactions"] == [{"seq": 1, "user": "a", "kind": "ok", "time_ms": 5, "ext": ""}]


def test_no_answer_has_a_positional_array() -> None:
    answers = [method.answer for method in METHODS.values() if method.answer]
    found = schemas(sorted(set(answers), key=lambda kind: kind.__name__), "#/{name}")
    assert "prefixItems" not in repr(found)
    assert found["Message"]["properties"]["server_id_str"]["type"] == "string"
