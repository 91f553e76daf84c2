"""Shapes shared by the routers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from frame.constants import ID_PATTERN

Responses: TypeAlias = dict[int | str, dict[str, Any]]
"""OpenAPI entries of answers, by status."""
Id = Annotated[str, StringConstraints(pattern=f"^{ID_PATTERN}$")]


class Shape(BaseModel):
    """A request that names an unknown member is refused: it is a typing error or an attack."""

    model_config = ConfigDict(extra="forbid")


class ProblemDocument(BaseModel):
    """RFC 9457 problem. `code` is the request code of docs/PROTOCOL.md when the message service refused."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: int | None = None


_TEXTS = {
    400: "Malformed request",
    401: "No valid API key",
    403: "Not allowed",
    404: "Not found",
    409: "Conflicts with the present state",
    412: "Another revision is there",
    413: "Body too large",
    422: "A parameter is out of its bounds",
    428: "If-Match is needed",
    429: "Too many requests; Retry-After says when",
    500: "Internal error",
    503: "Not available now",
    504: "Took too long",
}


def problems(*statuses: int) -> Responses:
    """OpenAPI entries of the refusals a route can give."""
    return {
        status: {
            "description": _TEXTS[status],
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
            },
        }
        for status in statuses
    }


GUARDED = problems(400, 401, 403, 413, 422, 429, 500)


class HealthAnswer(BaseModel):
    status: Literal["ok", "starting", "draining", "failing"]
    checks: dict[str, str] = Field(default_factory=dict)
    remarks: dict[str, str] = Field(default_factory=dict)
