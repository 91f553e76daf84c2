"""The dictionary that bodies to clients are compressed by."""

from __future__ import annotations

from msgspec import Struct

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.gateway.dictionary import DICTIONARY, Published
from control.keys.api_keys import POLICY_ADMIN, VIEWER
from crypto.errors import CompressionFailed
from crypto.zstd import dictionary_id
from frame.constants import MAX_BODY

ID_BYTES = 5
"""Of an id as it stands before the dictionary in a frame."""


class DictionaryWanted(Given, kw_only=True):
    """`data`: a trained zstd dictionary, at most 61,435 bytes, as base64."""

    data: bytes


class DictionaryPut(Struct, kw_only=True):
    id: int
    bytes: int


async def shown(ask: Ask[Nothing]) -> Reply:
    return await documents.show(ask, DICTIONARY, Published)


async def published(ask: Ask[DictionaryWanted]) -> Reply:
    data = ask.given.data
    if len(data) > MAX_BODY - ID_BYTES:
        raise Problem(422, "invalid", f"data: a dictionary has at most {MAX_BODY - ID_BYTES} bytes")
    try:
        id = dictionary_id(data)
    except CompressionFailed as error:
        raise Problem(422, "invalid", f"data: {error}") from None
    before, _ = await documents.read(ask, DICTIONARY, Published)
    if before is not None and before.id == id and before.data != data:
        text = f"data: another dictionary is published under the id {id}; train it with another one"
        raise Problem(409, "dictionary-id-taken", text)
    reply = await documents.put(ask, DICTIONARY, Published(id=id, data=data))
    return Reply(DictionaryPut(id=id, bytes=len(data)), reply.revision, reply.before)


async def withdrawn(ask: Ask[Nothing]) -> Reply:
    return await documents.drop(ask, DICTIONARY)


PATH = "/dictionary"
ROUTES = (
    Route(
        "GET", PATH, "dictionary.get", VIEWER, "compression", "The dictionary that bodies are compressed by",
        Nothing, Published, shown, has_etag=True,
    ),
    Route(
        "PUT", PATH, "dictionary.publish", POLICY_ADMIN, "compression",
        "Compress by another one; clients ask for it when they connect",
        DictionaryWanted, DictionaryPut, published, revised=True, has_etag=True,
    ),
    Route(
        "DELETE", PATH, "dictionary.withdraw", POLICY_ADMIN, "compression", "Compress without a dictionary",
        Nothing, Gone, withdrawn, revised=True, has_etag=True,
    ),
)  # fmt: skip
