"""Endpoints: servers of others that get the event copy."""

from __future__ import annotations

import secrets as randomness
import time
from typing import Literal

import msgspec

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing, conflict
from control.api.admin.endpoint_deliveries import NAMES, ONE, PATH, TAG, place, read
from control.api.admin.endpoint_shapes import (
    EndpointChange,
    EndpointLine,
    EndpointMade,
    Endpoints,
    EndpointShown,
    EndpointWanted,
    SecretWanted,
    line_of,
    members,
)
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.coordination.documents import Conflict
from control.keys.api_keys import OPERATOR, SECURITY_ADMIN, VIEWER
from control.keys.wrapped import NothingWraps
from control.outbox.desk import Question, gather_looks
from control.outbox.endpoints import MOST, PREFIX, REPLAYS, Endpoint, check_url
from control.outgoing.signing import check_secret, make_secret, public_key
from im_service.outbox.kinds.wanted import wanted_kinds

TRIES = 5


async def listed(ask: Ask[Nothing]) -> Reply:
    listing = await ask.services.documents.list(PREFIX)
    found = {
        document.key.removeprefix(PREFIX): (endpoint, document.revision)
        for document in listing.documents
        if (endpoint := documents.readable(document, Endpoint)) is not None
    }
    looks = await gather_looks(ask.services.endpoints.desk, list(found))
    lines = [
        line_of(name, endpoint, revision, looks.get(name)) for name, (endpoint, revision) in found.items()
    ]
    return Reply(Endpoints(endpoints=lines))


async def shown(ask: Ask[Nothing]) -> Reply:
    name = ask.path["endpoint"]
    endpoint, revision = await read(ask, name)
    looks = await gather_looks(ask.services.endpoints.desk, [name])
    return Reply(line_of(name, endpoint, revision, looks.get(name)), revision)


async def created(ask: Ask[EndpointWanted]) -> Reply:
    given, services = ask.given, ask.services
    name = given.name
    if len((await services.documents.list(PREFIX)).documents) >= MOST:
        raise Problem(409, "limit", f"there are {MOST} endpoints, and no more can be")
    kinds = _check(ask, given)
    after, _ = await place(ask, name, given.after, given.since_ms)
    endpoint = Endpoint(
        url=given.url,
        kinds=kinds,
        env=given.env,
        format=given.format,
        batch=given.batch,
        made_at=int(time.time()),
        after=after,
        incarnation=randomness.token_hex(4),
        login=_wrapped(ask, name, given.login or ""),
    )
    secret = _secret(given) if endpoint.signed else ""
    if secret:
        endpoint = msgspec.structs.replace(endpoint, secrets=(_wrapped(ask, name, secret),))
    try:
        document = await services.documents.put(PREFIX + name, msgspec.json.encode(endpoint), 0)
    except Conflict:
        raise Problem(409, "conflict", f"there is an endpoint {name} already") from None
    return _made(name, endpoint, document.revision, 0, secret)


async def changed(ask: Ask[EndpointChange]) -> Reply:
    given, name = ask.given, ask.path["endpoint"]
    kinds = _check(ask, given)
    before, revision = await read(ask, name)
    endpoint = msgspec.structs.replace(
        before,
        url=given.url,
        kinds=kinds,
        env=given.env,
        format=given.format,
        batch=given.batch,
        login=before.login if given.login is None else _wrapped(ask, name, given.login),
    )
    if endpoint.url != before.url:
        endpoint = endpoint.anew(int(time.time()))
    if endpoint.signed and not endpoint.secrets:
        raise Problem(409, "conflict", "it has no secret to sign with: make another endpoint")
    return await _put(ask, name, endpoint, revision)


async def deleted(ask: Ask[Nothing]) -> Reply:
    name = ask.path["endpoint"]
    reply = await documents.drop(ask, PREFIX + name)
    await ask.services.documents.delete(REPLAYS + name)
    await ask.services.endpoints.desk.ask(Question(what="drop", endpoint=name))
    return reply


async def paused(ask: Ask[Nothing]) -> Reply:
    return await _set_state(ask, "paused")


async def resumed(ask: Ask[Nothing]) -> Reply:
    return await _set_state(ask, "active")


async def _set_state(ask: Ask[Nothing], state: Literal["active", "paused"]) -> Reply:
    name = ask.path["endpoint"]
    for _ in range(TRIES):
        before, revision = await read(ask, name)
        endpoint = before.put_into(state, int(time.time()))
        try:
            return await _put(ask, name, endpoint, revision, any_revision=True)
        except Conflict:
            continue
    raise Problem(409, "conflict", f"{name} is changed by others all the time")


async def rotated(ask: Ask[SecretWanted]) -> Reply:
    given, name = ask.given, ask.path["endpoint"]
    before, revision = await read(ask, name)
    if not before.signed:
        raise Problem(409, "conflict", f"{name} is no webhook: nothing is signed")
    secret = _secret(given)
    endpoint = msgspec.structs.replace(
        before,
        secrets=(_wrapped(ask, name, secret), *before.secrets[: 1 if given.overlap_s else 0]),
        second_until=int(time.time()) + given.overlap_s,
    )
    document = await ask.services.documents.put(PREFIX + name, msgspec.json.encode(endpoint), revision)
    return _made(name, endpoint, document.revision, revision, secret)


async def _put(
    ask: Ask[Given], name: str, endpoint: Endpoint, revision: int, any_revision: bool = False
) -> Reply:
    if not any_revision and ask.expected not in (None, revision):
        raise conflict(PREFIX + name, revision)
    document = await ask.services.documents.put(PREFIX + name, msgspec.json.encode(endpoint), revision)
    return Reply(_shown(name, endpoint, document.revision), document.revision, revision)


def _check(ask: Ask[Given], given: EndpointChange) -> tuple[str, ...]:
    """The kinds that are meant."""
    try:
        check_url(given.url, ask.services.endpoints.policy)
    except ValueError as error:
        raise Problem(422, "invalid", f"url: {error}") from None
    webhook = given.url.startswith("http")
    if given.login and (webhook or ":" not in given.login):
        raise Problem(422, "invalid", "login: user:password, of NATS or Kafka alone")
    try:
        return wanted_kinds(given.kinds)
    except ValueError as error:
        raise Problem(422, "invalid", f"kinds: {error}") from None


def _secret(given: EndpointWanted | SecretWanted) -> str:
    if not given.secret:
        return make_secret(given.signing == "ed25519")
    try:
        check_secret(given.secret)
    except ValueError as error:
        raise Problem(422, "invalid", f"secret: {error}") from None
    return given.secret


def _wrapped(ask: Ask[Given], name: str, text: str) -> str:
    try:
        return ask.services.endpoints.wrapping().wrap(PREFIX + name, text) if text else ""
    except NothingWraps as error:
        raise Problem(409, "conflict", str(error)) from None


def _shown(name: str, endpoint: Endpoint, revision: int) -> EndpointShown:
    return msgspec.convert(members(name, endpoint, revision), EndpointShown)


def _made(name: str, endpoint: Endpoint, revision: int, before: int, secret: str) -> Reply:
    told = {"secret": secret, "public_key": (secret and public_key(secret)) or ""}
    made = msgspec.convert(members(name, endpoint, revision) | told, EndpointMade)
    return Reply(made, revision, before, (("endpoint", name),))


ROUTES = (
    Route(
        "GET", PATH, "endpoints.list", VIEWER, TAG, "Endpoints of the event copy",
        Nothing, Endpoints, listed,
    ),
    Route(
        "POST", PATH, "endpoints.create", SECURITY_ADMIN, TAG,
        "Deliver events there from now on; the secret is shown once", EndpointWanted, EndpointMade, created,
        has_etag=True, status=201,
    ),
    Route(
        "GET", ONE, "endpoints.get", VIEWER, TAG, "One endpoint", Nothing, EndpointLine, shown, has_etag=True,
        patterns=NAMES,
    ),
    Route(
        "PUT", ONE, "endpoints.change", SECURITY_ADMIN, TAG,
        "Say anew where events go and which; its place in the log and its secrets stay",
        EndpointChange, EndpointShown, changed, revised=True, has_etag=True, patterns=NAMES,
    ),
    Route(
        "DELETE", ONE, "endpoints.delete", SECURITY_ADMIN, TAG,
        "Forget an endpoint, its place and dead letters", Nothing, Gone, deleted, revised=True,
        has_etag=True, patterns=NAMES,
    ),
    Route(
        "POST", ONE + "/pause", "endpoints.pause", OPERATOR, TAG, "Deliver nothing; events wait in the log",
        Nothing, EndpointShown, paused, has_etag=True, patterns=NAMES,
    ),
    Route(
        "POST", ONE + "/resume", "endpoints.resume", OPERATOR, TAG,
        "Deliver again, also where the program had disabled it", Nothing, EndpointShown, resumed,
        has_etag=True, patterns=NAMES,
    ),
    Route(
        "POST", ONE + "/rotate", "endpoints.rotate", SECURITY_ADMIN, TAG,
        "Sign by a new secret, for a while by the one before too", SecretWanted, EndpointMade, rotated,
        has_etag=True, patterns=NAMES,
    ),
)  # fmt: skip
