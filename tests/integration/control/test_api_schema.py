"""Every route against its own OpenAPI document, with generated requests: schemathesis on a real server."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema

from control.api.table import OPERATIONS
from tests.support.server_process import ServerProcess

ROUTES = [("/v1" + operation.path, operation.http) for operation in OPERATIONS] + [
    ("/v1/tokens", "POST"),
    ("/v1/lbs", "GET"),
    ("/livez", "GET"),
    ("/readyz", "GET"),
    ("/startupz", "GET"),
]


@pytest.fixture(scope="module")
def schema(server: ServerProcess) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/v1/openapi.json")


def test_the_document_names_exactly_these_routes(schema: BaseSchema) -> None:
    named = [result.ok() for result in schema.get_all_operations()]
    assert {(operation.path, operation.method.upper()) for operation in named} == set(ROUTES)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize(("path", "http"), ROUTES, ids=[f"{http} {path}" for path, http in ROUTES])
def test_answers_fit_the_document(
    schema: BaseSchema, server: ServerProcess, path: str, http: str, mode: GenerationMode
) -> None:
    operation = schema[path][http]
    headers = {"X-API-Key": server.first_api_key()}

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Case) -> None:
        case.call_and_validate(headers=headers)

    check()
