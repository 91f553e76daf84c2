"""Every route against its own OpenAPI document, on a server that has something to show: what schemathesis
makes up, with the names of what is there. An answer fits its schema, none is 500, none takes long."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from control.api.audit import SENDING
from control.api.table import OPERATIONS
from control.audit.read import page
from control.audit.verify import verify
from tests.support.api_data import Filler, Known
from tests.support.server_process import ServerProcess

ENDING = {"/kick", "/transfer", "/leave", "/disable", "/erase", "/decide", "/poll", "/revoke"}
PAGING = ("after", "before", "cursor", "from_seq", "to_seq")
LONGEST_S = 10.0
EXAMPLES, OF_WHAT_IS_THERE = 8, 12
"""Each of the latter shows something with five of eight chances at least: none in a hundred thousand runs."""
MOSTLY = st.sampled_from([*5 * [True], False])
METHOD_OF = {("/v1" + operation.path, operation.http): operation.method for operation in OPERATIONS}
METHOD_OF["/v1/tokens", "POST"] = "token.create"
METHOD_OF["/v1/tokens/revoke", "POST"] = "token.revoke"
LEFT_A_LINE: set[str] = set()
"""What was asked for and done, or refused by the service."""
ROUTES = [("/v1" + operation.path, operation.http) for operation in OPERATIONS] + [
    ("/v1/tokens", "POST"),
    ("/v1/tokens/revoke", "POST"),
    ("/v1/events/schema", "GET"),
    ("/v1/lbs", "GET"),
    ("/livez", "GET"),
    ("/readyz", "GET"),
    ("/startupz", "GET"),
]


def ends(route: tuple[str, str]) -> int:
    """Reading comes first; what takes away what others read comes last."""
    path, http = route
    return 0 if http == "GET" else 2 if http == "DELETE" or any(path.endswith(end) for end in ENDING) else 1


ROUTES.sort(key=ends)
# A route without parameters knows no wrong request.
PLAIN = {"/v1/events/schema", "/livez", "/readyz", "/startupz"}
CASES = [
    (path, http, mode)
    for path, http in ROUTES
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or path not in PLAIN
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Wrong API keys are tried too: nobody shall be locked out for them."""
    settings = {"limits.key_failures": 0}
    with ServerProcess(tmp_path_factory.mktemp("server"), settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def known(server: ServerProcess) -> AsyncIterator[Known]:
    """The names of what a full server holds; two people stay connected."""
    filler = Filler(server)
    for fill in (filler.groups, filler.people, filler.rooms, filler.notices, filler.reported):
        fill()
    async with AsyncExitStack() as stack:
        await filler.come(stack)
        yield filler.known()


@pytest.fixture(scope="module")
def schema(server: ServerProcess, known: Known) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/v1/openapi.json")


def test_the_document_is_valid_openapi_3_1(schema: BaseSchema, server: ServerProcess) -> None:
    assert httpx.get(f"{server.url}/v1/openapi.json").json()["openapi"].startswith("3.1.")
    schema.validate()


def test_the_document_names_exactly_these_routes(schema: BaseSchema) -> None:
    named = [result.ok() for result in schema.get_all_operations()]
    assert {(operation.path, operation.method.upper()) for operation in named} == set(ROUTES)


def name_what_is_there(case: Case, known: Known, draw: Any, all_of_them: bool) -> None:
    """Replace what was made up by names of what the server holds: all, or some."""
    for part in (case.path_parameters, case.query, case.body):
        if not isinstance(part, dict):
            continue
        if "wait_s" in part:
            part["wait_s"] = 0  # nobody speaks meanwhile
        for name in list(part):
            if all_of_them and name in PAGING:
                del part[name]
            elif name in known and (all_of_them or draw(st.booleans())):
                part[name] = draw(st.sampled_from(known[name]))


@pytest.mark.parametrize(
    ("path", "http", "mode"), CASES, ids=lambda value: str(getattr(value, "name", value))
)
def test_answers_fit_the_document(
    schema: BaseSchema, server: ServerProcess, known: Known, path: str, http: str, mode: GenerationMode
) -> None:
    operation = schema[path][http]
    headers = {"X-API-Key": server.first_api_key()}
    statuses: Counter[int] = Counter()

    shows = mode is GenerationMode.POSITIVE and http == "GET"
    examples = OF_WHAT_IS_THERE if shows else EXAMPLES
    if path.endswith("/erasure"):
        known = {**known, "user": known["erased"]}

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def check(case: Case, data: st.DataObject) -> None:
        if mode is GenerationMode.POSITIVE:
            name_what_is_there(case, known, data.draw, all_of_them=data.draw(MOSTLY))
        else:  # a word of a query is a list of one text, whatever was meant: no bad data
            assume("conversations" not in (case.query or {}))
        # The service's rules go beyond shapes (contradictory options, unknown targets): 422 for them is
        # right.
        answer = case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
        assert answer.elapsed < LONGEST_S
        statuses[answer.status_code] += 1

    check()
    if http != "GET" and {200, 201, 404, 409} & set(statuses):
        LEFT_A_LINE.add(METHOD_OF[path, http])
    if shows:
        assert statuses[200], f"{path} showed nothing of what is there: {statuses}"


def test_whatever_changes_something_left_its_line_in_the_audit_log(server: ServerProcess) -> None:
    folder = server.data_dir / "audit" / "apps"
    found = verify(folder)
    lines, before = page(folder, 0, found.entries)
    assert (found.problem, before) == ("", 0)
    assert {line.what for line in lines} >= LEFT_A_LINE - SENDING
    assert not SENDING & {line.what for line in lines}
