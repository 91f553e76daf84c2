"""Answers that a client may have already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response


def etag_of(body: bytes) -> str:
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def unless_known(
    request: Request, body: bytes, etag: str, headers: Mapping[str, str], media_type: str = "application/json"
) -> Response:
    """The body, or 304 where If-None-Match names it."""
    told = {"ETag": etag, **headers}
    known = request.headers.get("if-none-match", "")
    if known == "*" or etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return Response(status_code=304, headers=told)
    return Response(body, headers=told, media_type=media_type)
