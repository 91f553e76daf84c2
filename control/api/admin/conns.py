"""Connections: who is where, how it goes, and an end for one of them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from control.api.admin.documents import Nothing
from control.api.admin.nodes import NAME
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.bus.base import BusError
from control.coordination.base import NodeInfo
from control.gateway.conn_search import CONN, TopicCount, name_of
from control.gateway.looks import FLAGS, Found, Question
from control.keys.api_keys import OPERATOR, VIEWER
from frame.constants import ID_PATTERN, USER_PREFIX, CloseCode, Suite

TOPIC = r"[gru]/[!-~]{1,78}"
Id = Annotated[str, Meta(pattern=f"^({ID_PATTERN})?$")]


class ConnsQuery(Given, kw_only=True):
    """`address`: one, or a network as CIDR. `topic`: those who are in it, as `r/room` or `g/group`.
    `after`: of the page before.
    """

    user: Id = ""
    device: Id = ""
    address: Annotated[str, Meta(max_length=64)] = ""
    node: Annotated[str, Meta(pattern=f"^({NAME})?$")] = ""
    topic: Annotated[str, Meta(pattern=f"^({TOPIC})?$")] = ""
    after: Annotated[str, Meta(max_length=32)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Connection(Struct, kw_only=True):
    """`since`: unix milliseconds of its login; `idle_s` since something was read, of `timeout_s` that it may
    be; `queued_bytes` wait for it, `unsent_bytes` of them sealed; `address` "" where none is kept. What the
    kernel counts is asked when somebody looks, 0 where it does not say: `received_bytes` and `acked_bytes` of
    those that were sent, both as on the wire; the smoothed round trip `rtt_us`; segments `resent`.
    """

    id: str
    node: str
    user: str
    device: str
    platform: int
    session: str
    since: int
    address: str
    suite: str
    flags: list[str]
    idle_s: int
    timeout_s: int
    messages: int
    topics: int
    queued_bytes: int
    unsent_bytes: int
    received_bytes: int
    acked_bytes: int
    rtt_us: int
    resent: int


class Connections(Struct, kw_only=True):
    """In no order. `after`: give it for the next page, which may be empty; "": there is none. `silent`:
    gateways that did not answer.
    """

    conns: list[Connection]
    after: str
    silent: list[str]


class TopicQuery(Given, kw_only=True):
    topic: Annotated[str, Meta(pattern=f"^{TOPIC}$")]


class KickWanted(Given, kw_only=True):
    """`text`: the client is told."""

    text: Annotated[str, Meta(max_length=128)] = ""


async def listed(ask: Ask[ConnsQuery]) -> Reply:
    asked = ask.given
    _refuse_users_topic(asked.topic)
    question = Question(
        user=asked.user, device=asked.device, network=asked.address, most=asked.limit, topic=asked.topic
    )
    try:
        pages = await ask.services.conns.search(question, asked.node, asked.after)
    except ValueError as error:
        raise Problem(422, "invalid", str(error)) from None
    shown = [_shown(info, found) for info, found in pages.found]
    return Reply(Connections(conns=shown, after=pages.after, silent=pages.silent))


def _refuse_users_topic(topic: str) -> None:
    if topic.startswith(USER_PREFIX):
        raise Problem(
            422, "invalid", "a user's connections are found by GET /conns with `user` (qianwan conns --user)"
        )


async def counted(ask: Ask[TopicQuery]) -> Reply:
    _refuse_users_topic(ask.given.topic)
    return Reply(await ask.services.conns.count(ask.given.topic))


async def one(ask: Ask[Nothing]) -> Reply:
    try:
        found = await ask.services.conns.one(ask.path["conn"])
    except BusError:
        raise _silent() from None
    return Reply(_shown(*found)) if found is not None else _gone()


async def kicked(ask: Ask[KickWanted]) -> Reply:
    try:
        found = await ask.services.conns.kick(ask.path["conn"], CloseCode.KICKED, ask.given.text)
    except BusError:
        raise _silent() from None
    if found is None:
        return _gone()
    return Reply(_shown(*found), ids=(("user", found[1].user), ("device", found[1].device)))


def _gone() -> Reply:
    raise Problem(404, "not-found", "this connection is not there")


def _silent() -> Problem:
    return Problem(503, "unavailable", "the gateway does not answer", {"Retry-After": "1"})


def _shown(info: NodeInfo, found: Found) -> Connection:
    return Connection(
        id=name_of(info, found),
        node=info.name,
        user=found.user,
        device=found.device,
        platform=found.platform,
        session=str(found.session),
        since=found.since,
        address=found.address,
        suite=Suite(found.suite).name.lower() if found.suite in list(Suite) else str(found.suite),
        flags=[name for bit, name in FLAGS.items() if found.flags & bit],
        idle_s=found.idle_s,
        timeout_s=found.timeout_s,
        messages=found.sent,
        topics=found.topics,
        queued_bytes=found.queued_bytes,
        unsent_bytes=found.tail_bytes,
        received_bytes=found.received_bytes,
        acked_bytes=found.acked_bytes,
        rtt_us=found.rtt_us,
        resent=found.resent,
    )


PATTERNS = {"conn": CONN}
ROUTES = (
    Route(
        "GET", "/conns", "conns.list", VIEWER, "connections",
        "Connections, by user, device, address or network, topic, and gateway",
        ConnsQuery, Connections, listed,
    ),
    Route(
        "GET", "/topics", "topics.count", VIEWER, "connections",
        "How many connections are in a topic, by gateway", TopicQuery, TopicCount, counted,
    ),
    Route(
        "GET", "/conns/{conn}", "conns.get", VIEWER, "connections", "One connection",
        Nothing, Connection, one, patterns=PATTERNS,
    ),
    Route(
        "POST", "/conns/{conn}/kick", "conns.kick", OPERATOR, "connections",
        "End one connection; the client does not come back by itself. Answers what it was",
        KickWanted, Connection, kicked, patterns=PATTERNS,
    ),
)  # fmt: skip
