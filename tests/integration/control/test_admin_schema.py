"""Every route of the admin API against its own OpenAPI document: an answer fits its schema, none is 500, none
takes long. And whatever changed something left its lines in the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from control.api.admin.router import PREFIX
from control.api.admin.table import ROUTES
from control.audit.entry import BEGUN, DONE
from control.audit.read import page
from control.audit.verify import verify
from tests.support.server_process import ServerProcess

EXAMPLES = 6
LONGEST_S = 10.0
ORDER = {"GET": 0, "POST": 1, "PUT": 1, "DELETE": 2}
BY_ROUTE = sorted(ROUTES, key=lambda route: ORDER[route.http])
CASES = [(route.path, route.http, mode) for route in BY_ROUTE for mode in GenerationMode]
KNOWN = {"node": "node-1", "user": "ann"}
DONE_BY: dict[str, int] = {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    # What makes up keys as well would be locked out.
    settings = {"limits.key_failures": 0}
    with ServerProcess(tmp_path_factory.mktemp("server"), settings, admin="127.0.0.1:0") as running:
        yield running


@pytest.fixture(scope="module")
def schema(server: ServerProcess) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{server.admin_url}/openapi.json")


def test_the_document_is_valid_and_names_exactly_these_routes(schema: BaseSchema) -> None:
    schema.validate()
    named = [result.ok() for result in schema.get_all_operations()]
    assert {(each.path, each.method.upper()) for each in named} == {
        (PREFIX + route.path, route.http) for route in ROUTES
    }


@pytest.mark.parametrize(
    ("path", "http", "mode"), CASES, ids=lambda value: str(getattr(value, "name", value))
)
def test_answers_fit_the_document(
    schema: BaseSchema, server: ServerProcess, path: str, http: str, mode: GenerationMode
) -> None:
    operation = schema[PREFIX + path][http]
    headers = {"X-API-Key": server.first_api_key()}
    statuses: Counter[int] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode), there=st.booleans())
    def check(case: Case, there: bool) -> None:
        if mode is GenerationMode.POSITIVE and there:
            for name in KNOWN.keys() & dict(case.path_parameters or {}).keys():
                case.path_parameters[name] = KNOWN[name]
            if "If-Match" in (case.headers or {}):
                case.headers["If-Match"] = "*"
        answer = case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
        assert answer.elapsed < LONGEST_S
        statuses[answer.status_code] += 1

    check()
    (route,) = [route for route in ROUTES if (route.path, route.http) == (path, http)]
    if route.changes and statuses[200] + statuses[201]:
        DONE_BY[route.name] = DONE_BY.get(route.name, 0) + statuses[200] + statuses[201]


def test_whatever_changed_something_left_two_lines(server: ServerProcess) -> None:
    folder = server.data_dir / "audit" / "operators"
    found = verify(folder)
    lines, before = page(folder, 0, max(1, found.entries))
    assert (found.problem, before) == ("", 0)
    done = Counter(line.what for line in lines if line.outcome == DONE and line.via == "admin")
    begun = Counter(line.what for line in lines if line.outcome == BEGUN)
    assert DONE_BY.keys() <= done.keys()
    assert all(begun[what] >= count for what, count in done.items())
    assert all(done[what] >= count for what, count in DONE_BY.items()), "each, not one of several"
