"""Every route against its own OpenAPI document, with generated requests: schemathesis on a real server."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from control.api.table import OPERATIONS
from tests.support.server_process import ServerProcess

ROUTES = [("/v1" + operation.path, operation.http) for operation in OPERATIONS] + [
    ("/v1/tokens", "POST"),
    ("/v1/lbs", "GET"),
    ("/livez", "GET"),
    ("/readyz", "GET"),
    ("/startupz", "GET"),
]
# A route without parameters knows no wrong request.
CASES = [
    (path, http, mode)
    for path, http in ROUTES
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or path.startswith("/v1")
]


@pytest.fixture(scope="module")
def schema(server: ServerProcess) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/v1/openapi.json")


def test_the_document_is_valid_openapi_3_1(schema: BaseSchema, server: ServerProcess) -> None:
    assert httpx.get(f"{server.url}/v1/openapi.json").json()["openapi"].startswith("3.1.")
    schema.validate()


def test_the_document_names_exactly_these_routes(schema: BaseSchema) -> None:
    named = [result.ok() for result in schema.get_all_operations()]
    assert {(operation.path, operation.method.upper()) for operation in named} == set(ROUTES)


@pytest.mark.parametrize(
    ("path", "http", "mode"), CASES, ids=lambda value: str(getattr(value, "name", value))
)
def test_answers_fit_the_document(
    schema: BaseSchema, server: ServerProcess, path: str, http: str, mode: GenerationMode
) -> None:
    operation = schema[path][http]
    headers = {"X-API-Key": server.first_api_key()}

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Case) -> None:
        # The service's rules go beyond shapes (contradictory options, unknown targets): 422 for them is
        # right.
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

    check()
