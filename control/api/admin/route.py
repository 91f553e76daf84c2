"""A route of the admin API: what it needs, takes, does and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from control.api.services import Services
from control.audit.entry import Id
from control.keys.api_keys import ApiKey


class Given(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a route takes: the members of its body, or its query. Unknown ones are refused."""


Taken = TypeVar("Taken", bound=Given)
Read = TypeVar("Read", bound=Given, covariant=True)


@dataclass(frozen=True)
class Ask(Generic[Read]):
    """One request, proven and read. `expected` is the revision that If-Match names, None for `*`."""

    given: Read
    path: Mapping[str, str]
    services: Services
    key: ApiKey
    expected: int | None = None


@dataclass(frozen=True)
class Reply:
    """`revision` becomes the ETag; a change tells the audit log of the one `before` and of `ids` it made."""

    body: Struct
    revision: int | None = None
    before: int | None = None
    ids: tuple[tuple[str, Id | list[Id]], ...] = ()


@dataclass(frozen=True)
class Route(Generic[Taken]):
    """`name` is what the audit log and the OpenAPI document call it. `revised`: it changes a document, whose
    revision must be named. `patterns`: of path parameters that are no ids.
    """

    http: str
    path: str
    name: str
    role: str
    tag: str
    doc: str
    takes: type[Taken]
    answers: type[Struct]
    handle: Callable[[Ask[Taken]], Awaitable[Reply]]
    revised: bool = False
    has_etag: bool = False
    status: int = 200
    patterns: Mapping[str, str] | None = None

    @property
    def reads_body(self) -> bool:
        return self.http in ("POST", "PUT", "PATCH")

    @property
    def changes(self) -> bool:
        return self.http != "GET"


AnyRoute: TypeAlias = Route[Any]
