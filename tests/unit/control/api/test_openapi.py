"""The OpenAPI document: built once, known by its ETag, and with the types the methods have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from control.api.openapi import Document, components, response_shapes
from im_service.methods import METHODS


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "headers": raw})


def test_the_document_is_built_once() -> None:
    built: list[int] = []

    def build() -> dict[str, Any]:
        built.append(1)
        return {"openapi": "3.1.0"}

    document = Document(build)
    assert not built
    first, second = document.answer(request()), document.answer(request())
    assert first.body == second.body == b'{"openapi":"3.1.0"}'
    assert built == [1]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_client_that_has_the_document_is_not_sent_it_again(form: str) -> None:
    document = Document(lambda: {"openapi": "3.1.0"})
    etag = document.answer(request()).headers["etag"]
    again = document.answer(request(if_none_match=form.format(etag)))
    assert (again.status_code, again.body, again.headers["etag"]) == (304, b"", etag)
    assert document.answer(request(if_none_match='"other"')).status_code == 200


def test_a_typed_answer_is_in_the_document() -> None:
    class Until(msgspec.Struct):
        until_ms: int

    plain = METHODS["room.kick"]
    assert response_shapes(plain, 200)[200]["content"]["application/json"]["schema"] == {"type": "object"}
    typed = replace(plain, answer=Until)
    schema = response_shapes(typed, 200)[200]["content"]["application/json"]["schema"]
    name = schema["$ref"].rpartition("/")[2]
    assert components([typed])[name]["properties"] == {"until_ms": {"type": "integer"}}
