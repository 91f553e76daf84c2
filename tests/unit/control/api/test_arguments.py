"""Path, query and body become the method's arguments, read once by its own decoder."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from starlette.requests import Request

from control.api.arguments import ArgumentReader
from control.api.errors import Problem
from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.methods import METHODS

GROUP_REQUEST = {"group": "team", "id": "12"}


async def read(
    method: str,
    *,
    path: dict[str, str] | None = None,
    query: list[tuple[str, str]] | None = None,
    body: bytes | None = None,
    actor: str | None = None,
) -> tuple[Args, str]:
    scope = {
        "type": "http", "method": "GET", "headers": [], "path_params": path or {},
        "query_string": urlencode(query or []).encode(),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body or b"", "more_body": False}

    reader = ArgumentReader(METHODS[method], actor, reads_body=body is not None)
    return await reader.read(Request(scope, receive))


async def test_texts_of_a_query_become_the_types_of_the_method() -> None:
    query = [("conversation", "s/a:b"), ("limit", "5"), ("reverse", "false")]
    args, user = await read("history", query=query)
    assert isinstance(args, METHODS["history"].args)
    assert (args.limit, args.reverse, user) == (5, False, "")
    several = [("conversation", "s/a:b"), ("seqs", "1"), ("seqs", "2")]
    assert (await read("get", query=several))[0].seqs == [1, 2]


async def test_a_number_of_the_path_joins_the_body() -> None:
    args, _ = await read("group.decide", path=GROUP_REQUEST, body=b'{"accept": true}')
    assert (args.group, args.id, args.accept) == ("team", 12, True)


async def test_a_body_member_that_the_service_takes_undecoded_is_msgpack() -> None:
    body = json.dumps({"conversation": "s/a:b", "seq": 1, "body": {"text": "hi"}}).encode()
    args, _ = await read("edit", body=body)
    assert msgspec.msgpack.decode(args.body) == {"text": "hi"}


async def test_the_acting_user_is_no_argument() -> None:
    args, user = await read("friend.add", path={"me": "al"}, body=b'{"user": "bo"}', actor="me")
    assert (args.user, user) == ("bo", "al")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"accept": "\xff"}', 400),
        (b"[]", 422),
        (b'{"accept": true, "group": "team"}', 422),
    ],
)
async def test_a_body_that_is_no_map_of_members_is_a_problem(body: bytes, status: int) -> None:
    with pytest.raises(Problem) as refused:
        await read("group.decide", path=GROUP_REQUEST, body=body)
    assert refused.value.status == status


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"accept": 1}', b'{"accept": true, "x": 1}', b'{"accept": 123456789012345678901234567890}'],
)
async def test_members_the_method_does_not_take_are_refused_by_it(body: bytes) -> None:
    with pytest.raises(ImError) as refused:
        await read("group.decide", path=GROUP_REQUEST, body=body)
    assert refused.value.code == Code.INVALID


@pytest.mark.parametrize(
    ("path", "query"),
    [({"group": "te/am"}, []), ({"group": "team"}, [("after", "x")]), ({"group": "team"}, [("x", "1")])],
)
async def test_texts_the_method_does_not_take_are_a_problem(
    path: dict[str, str], query: list[tuple[str, str]]
) -> None:
    with pytest.raises(Problem) as refused:
        await read("group.requests", path=path, query=query)
    assert refused.value.status == 422


async def test_a_path_that_is_no_number_is_a_problem() -> None:
    with pytest.raises(Problem, match="id"):
        await read("group.decide", path={"group": "team", "id": "x"}, body=b'{"accept": true}')
