"""The page at /v1/docs shows every operation and type of the document, and asks nobody else for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from fastapi import FastAPI

from control.api import openapi
from control.api.operations import make_routes
from control.api.reference_page import HEADERS, render
from control.api.table import OPERATIONS
from im_service.methods import METHODS


class Page(HTMLParser):
    """What a browser would do with the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.attributes: set[str] = set()
        self.style = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src"):
                self.links.append(value or "")
            if name == "id":
                self.ids.add(value or "")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style" and not self.style:
            self.style = data


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


def document() -> openapi.Json:
    app = FastAPI(title="Q", version="1", summary="s", openapi_url=None)
    app.router.routes.extend(make_routes(OPERATIONS, METHODS))
    made = app.openapi()
    shapes = openapi.components([METHODS[operation.method] for operation in OPERATIONS])
    made.setdefault("components", {}).setdefault("schemas", {}).update(shapes)
    return made


def test_every_operation_and_type_is_there_and_every_link_leads_somewhere() -> None:
    made = document()
    text = render(made, "openapi.json")
    page = read(text)
    operations = [(path, method) for path, methods in made["paths"].items() for method in methods]
    assert len(operations) == len(OPERATIONS)
    for path, method in operations:
        assert f"<b>{method.upper()}</b> <code>{path}</code>" in text
    for name in made["components"]["schemas"]:
        assert f"type-{name}" in page.ids
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= page.ids
    assert [link for link in page.links if not link.startswith("#")] == ["openapi.json"]


def test_the_page_runs_nothing_and_its_policy_allows_nothing_but_its_style() -> None:
    page = read(render(document(), "openapi.json"))
    assert not page.tags & {"script", "link", "img", "iframe", "form", "object"}
    assert not any(name.startswith("on") or name == "style" for name in page.attributes)
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    assert allowed == [base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()]


def test_words_of_the_document_stay_words() -> None:
    made = document()
    made["info"]["summary"] = "<script>alert(1)</script>"
    made["paths"]["/v1/<img src=x>"] = {
        "get": {"summary": "<b onclick=x>", "responses": {"200": {"description": "'\"<"}}}
    }
    assert not read(render(made, "openapi.json")).tags & {"script", "img"}
