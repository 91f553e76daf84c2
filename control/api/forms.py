"""Another form of an answer: what asks for it, and what makes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response

from control.api.answers import Json
from control.api.errors import Problem
from im_service.errors import Code

PLAIN = "qianwan"
JSON = ("application/json", "application/*", "*/*")
QVALUE = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True)
class OtherForm:
    """Asked for by its media type in Accept, where that is wanted more than JSON, or by its name in a member
    of the query, which decides. `answer` makes it of the method's result and further headers; `headers`: what
    of that result stands there."""

    member: str
    name: str
    media: str
    schema: Json
    headers: tuple[str, ...]
    answer: Callable[[object, Mapping[str, str]], Response]

    def asked(self, request: Request) -> bool:
        wanted = request.query_params.getlist(self.member)
        if not wanted:
            accept = ",".join(request.headers.getlist("accept"))
            return _weight(accept, self.media) > max(_weight(accept, each) for each in JSON)
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


def _weight(accept: str, media: str) -> tuple[float, bool]:
    """How much a media range is wanted (RFC 9110, 12.5.1), and whether by its full name. (0, False): not."""
    found = (0.0, False)
    for part in accept.split(","):
        named, *parameters = (word.strip().lower() for word in part.split(";"))
        if named == media:
            q = next((word[2:] for word in parameters if word.startswith("q=")), "1")
            weight = float(q) if QVALUE.fullmatch(q) else 0.0
            found = max(found, (weight, weight > 0 and "*" not in media))
    return found
