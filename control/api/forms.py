"""Another form of an answer: what asks for it, and what makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response

from control.api.answers import Json
from control.api.errors import Problem
from im_service.errors import Code

PLAIN = "qianwan"


@dataclass(frozen=True)
class OtherForm:
    """Asked for by its media type in Accept, or by its name in a member of the query, which decides. `answer`
    makes it of the method's result and further headers; `headers`: what of that result stands there."""

    member: str
    name: str
    media: str
    schema: Json
    headers: tuple[str, ...]
    answer: Callable[[object, Mapping[str, str]], Response]

    def asked(self, request: Request) -> bool:
        wanted = request.query_params.getlist(self.member)
        if not wanted:
            return self.media in _accepted(request)
        if len(wanted) > 1 or wanted[0] not in (PLAIN, self.name):
            raise Problem(422, "invalid", f"{self.member} is {PLAIN} or {self.name}", code=int(Code.INVALID))
        return wanted[0] == self.name

    def parameter(self) -> Json:
        return {
            "name": self.member,
            "in": "query",
            "required": False,
            "schema": {"enum": [PLAIN, self.name]},
            "description": f"{self.name}: the answer is {self.media}, as when Accept names that",
        }


def _accepted(request: Request) -> set[str]:
    parts = ",".join(request.headers.getlist("accept")).split(",")
    return {part.partition(";")[0].strip().lower() for part in parts}
