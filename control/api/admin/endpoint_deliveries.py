"""What became of the events of an endpoint: requests, replays, dead letters."""

from __future__ import annotations

import secrets as randomness
import time

import msgspec

from control.api.admin.documents import Gone, Nothing
from control.api.admin.endpoint_shapes import (
    DeadLetters,
    DeadLettersQuery,
    Deliveries,
    ReplayBegun,
    ReplayWanted,
)
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.coordination.documents import Conflict
from control.keys.api_keys import OPERATOR, SECURITY_ADMIN, VIEWER
from control.outbox.delivery import Sent
from control.outbox.desk import Kept, Looked, Question, Resent
from control.outbox.endpoints import NAME, PREFIX, REPLAYS, Endpoint, Replay, read_endpoint

PATH = "/endpoints"
ONE = PATH + "/{endpoint}"
NAMES = {"endpoint": NAME}
TAG = "endpoints"


async def asked(ask: Ask[Given], question: Question) -> object:
    return await ask.services.endpoints.desk.ask(question)


async def place(ask: Ask[Given], name: str, after: str, since_ms: int) -> tuple[str, str]:
    if after and since_ms:
        raise Problem(422, "invalid", "a cursor or a time, not both")
    question = Question(what="place", endpoint=name, after=after, time_ms=since_ms)
    begin, end = msgspec.convert(await asked(ask, question), list[str])
    return begin, end


async def read(ask: Ask[Given], name: str) -> tuple[Endpoint, int]:
    document = await ask.services.documents.get(PREFIX + name)
    if document is None:
        raise Problem(404, "not-found", f"there is no endpoint {name}", revision=0)
    try:
        return read_endpoint(document), document.revision
    except ValueError as error:
        text = f"{name} was written by another version: {error}"
        raise Problem(409, "document-unreadable", text, revision=document.revision) from None


async def tested(ask: Ask[Nothing]) -> Reply:
    name = ask.path["endpoint"]
    await read(ask, name)
    return Reply(msgspec.convert(await asked(ask, Question(what="test", endpoint=name)), Sent))


async def deliveries(ask: Ask[Nothing]) -> Reply:
    name = ask.path["endpoint"]
    await read(ask, name)
    looked = msgspec.convert(await asked(ask, Question(what="look", endpoint=name)), Looked)
    return Reply(Deliveries(deliveries=looked.deliveries))


async def dead_letters(ask: Ask[DeadLettersQuery]) -> Reply:
    name, given = ask.path["endpoint"], ask.given
    await read(ask, name)
    question = Question(what="letters", endpoint=name, number=given.after, limit=given.limit)
    letters = msgspec.convert(await asked(ask, question), list[Kept])
    more = len(letters) == given.limit
    return Reply(DeadLetters(letters=letters, after=letters[-1].number if more else 0))


async def resent(ask: Ask[Nothing]) -> Reply:
    name = ask.path["endpoint"]
    await read(ask, name)
    return Reply(msgspec.convert(await asked(ask, Question(what="resend", endpoint=name)), Resent))


async def replayed(ask: Ask[ReplayWanted]) -> Reply:
    given, name = ask.given, ask.path["endpoint"]
    endpoint, _ = await read(ask, name)
    if not given.after and not given.since_ms:
        raise Problem(422, "invalid", "name where it begins: after or since_ms")
    after, end = await place(ask, name, given.after, given.since_ms)
    until = given.until or end
    if given.until:
        await place(ask, name, given.until, 0)
    replay = Replay(
        id=randomness.token_hex(4),
        incarnation=endpoint.incarnation,
        after=after,
        until=until,
        asked_at=int(time.time()),
    )
    try:
        await ask.services.documents.put(REPLAYS + name, msgspec.json.encode(replay), 0)
    except Conflict:
        raise Problem(409, "conflict", f"a replay to {name} is under way: stop it, or wait") from None
    return Reply(ReplayBegun(id=replay.id, after=after, until=until), ids=(("replay", replay.id),))


async def replay_stopped(ask: Ask[Nothing]) -> Reply:
    return Reply(Gone(revision=await ask.services.documents.delete(REPLAYS + ask.path["endpoint"])))


ROUTES = (
    Route(
        "POST", ONE + "/test", "endpoints.test", OPERATOR, TAG,
        "Give it one event of the kind endpoint.test now, and show what it answers", Nothing, Sent, tested,
        patterns=NAMES,
    ),
    Route(
        "GET", ONE + "/deliveries", "endpoints.deliveries", SECURITY_ADMIN, TAG,
        "The latest requests, with what they said and were answered", Nothing, Deliveries, deliveries,
        patterns=NAMES,
    ),
    Route(
        "POST", ONE + "/replay", "endpoints.replay", OPERATOR, TAG,
        "Deliver once more what lies behind a cursor or a time, beside what is new",
        ReplayWanted, ReplayBegun, replayed, status=202, patterns=NAMES,
    ),
    Route(
        "DELETE", ONE + "/replay", "endpoints.replay.stop", OPERATOR, TAG, "Stop a replay",
        Nothing, Gone, replay_stopped, patterns=NAMES,
    ),
    Route(
        "GET", ONE + "/dead-letters", "endpoints.dead-letters", VIEWER, TAG, "Events that it did not take",
        DeadLettersQuery, DeadLetters, dead_letters, patterns=NAMES,
    ),
    Route(
        "POST", ONE + "/dead-letters/resend", "endpoints.dead-letters.resend", OPERATOR, TAG,
        "Give it its dead letters again, oldest first, until one is not taken", Nothing, Resent, resent,
        patterns=NAMES,
    ),
)  # fmt: skip
