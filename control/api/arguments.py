"""From a request to the arguments of a method: path parameters, with query parameters or the members of a
JSON body, are read once, by the method's own decoder.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from fastapi import Request
from msgspec import inspect

from control.api.errors import Problem
from control.api.whole_numbers import members_of, not_whole
from control.auth.tokens import ID
from im_service.calls import Args, Method, pack
from im_service.errors import UNDECODABLE, Code
from im_service.faults import meaning, told

Given: TypeAlias = dict[str, object]


class ArgumentReader:
    """What one route takes. `actor` names the member that says for whom the server acts; `beside`: members of
    a query that are not for the method."""

    def __init__(
        self, method: Method, actor: str | None, reads_body: bool, beside: frozenset[str] = frozenset()
    ) -> None:
        self._beside = beside
        self._method = method
        self._actor = actor
        self._reads_body = reads_body
        self._lists = members_of(method.args, inspect.ListType)
        self._integers = members_of(method.args, inspect.IntType)

    async def read(self, request: Request) -> tuple[Args, str]:
        """The arguments and the acting user. Problem or ImError for what the method does not take."""
        given = await self._body(request) if self._reads_body else self._query(request)
        if twice := set(given) & set(request.path_params):
            raise _invalid(f"{', '.join(sorted(twice))}: named in the path already")
        for name, value in request.path_params.items():
            given[name] = self._in_path(name, value)
        user = self._take_actor(given)
        if self._reads_body:
            return self._method.read(pack(given)), user
        try:
            return msgspec.convert(given, self._method.args, strict=False), user
        except msgspec.ValidationError as error:
            raise _invalid(f"{self._method.name}: {told(error, self._method.args)}") from None

    async def _body(self, request: Request) -> Given:
        body = await request.body()
        try:
            given = msgspec.json.decode(body) if body else {}
        except UNDECODABLE as error:
            raise Problem(
                400, "malformed", f"the body is not JSON: {error}", code=int(Code.MALFORMED)
            ) from None
        if not isinstance(given, dict):
            raise _invalid("the body must be an object")
        if request.query_params:
            raise _invalid("this route takes no query parameters")
        return given

    def _query(self, request: Request) -> Given:
        texts = request.query_params
        if wrong := not_whole(texts, self._integers - self._lists):
            raise _invalid(wrong)
        for name in texts:
            if name not in self._lists and len(texts.getlist(name)) > 1:
                raise _invalid(f"{name}: stands twice")
        return {
            name: texts.getlist(name) if name in self._lists else texts[name]
            for name in texts
            if name not in self._beside
        }

    def _in_path(self, name: str, value: str) -> str | int:
        if not ID.fullmatch(value):
            raise _invalid(f"{name} must be {meaning(ID.pattern)}")
        if name not in self._integers:
            return value
        if wrong := not_whole({name: value}, self._integers):
            raise _invalid(wrong)
        try:
            return msgspec.convert(value, int, strict=False)
        except msgspec.ValidationError as error:
            raise _invalid(f"{name}: {error}") from None

    def _take_actor(self, given: Given) -> str:
        if self._actor is None:
            return ""
        user = given.pop(self._actor, None)
        if not isinstance(user, str) or not ID.fullmatch(user):
            raise _invalid(f"{self._actor} must be {meaning(ID.pattern)}")
        return user


def _invalid(detail: str) -> Problem:
    return Problem(422, "invalid", detail, code=int(Code.INVALID))
