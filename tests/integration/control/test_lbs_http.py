"""LBS over HTTP: for pages of other origins, with an ETag, on a listener of its own, at a bounded rate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server_process import ServerProcess, free_ports

TABLES = {"networks": [{"cidr": "203.0.113.0/24", "zone": "east"}], "near": {"east": ["north"]}}
GATEWAYS = [
    "198.51.100.1:7801;zone=north;name=n",
    "198.51.100.2:7801;zone=east;name=e",
    "wss://e.example/deep/qw1;name=e",
    "[2001:db8::2]:7801;name=e",
    "198.51.100.3:7801;name=s",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "tables.json").write_text(json.dumps(TABLES))
    settings = {
        "control.lbs.http": f"127.0.0.1:{free_ports(1)[0]}",
        "control.lbs.tables": str(folder / "tables.json"),
        "control.lbs.requests_per_s": 1.0,
        "control.lbs.burst": 20,
        "control.gateways": GATEWAYS,
    }
    with ServerProcess(folder / "data", settings=settings, admin="127.0.0.1:0") as running:
        yield running


@pytest.fixture
def lbs(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """As a client of an address of its own."""
    address = f"192.0.2.{abs(hash(request.node.name)) % 250 + 1}"
    url = f"http://{server.settings['control.lbs.http']}"
    with httpx.Client(base_url=url, headers={"X-Forwarded-For": address}) as client:
        yield client


def test_its_own_listener_answers_lbs_and_nothing_else(server: ServerProcess, lbs: httpx.Client) -> None:
    assert lbs.get("/v1/lbs").status_code == lbs.get("/livez").status_code == 200
    for path in ("/metrics", "/v1/docs", "/v1/openapi.json", "/v1/tokens", "/v1/admin/self", "/docs"):
        assert lbs.get(path).status_code == 404, path
    assert server.get("/v1/lbs")[0] == 404, "nor does the port of the API answer LBS"
    assert server.metrics()["qianwan_lbs_answers_total"] >= 1


def test_a_page_of_another_origin_may_ask_and_hear_refusals(lbs: httpx.Client) -> None:
    origin = {"Origin": "https://app.example"}
    preflight = lbs.options(
        "/v1/lbs",
        headers={
            **origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "accept",
        },
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "GET" in preflight.headers["access-control-allow-methods"]
    for asked, status in (("/v1/lbs", 200), ("/v1/lbs?transport=udp", 422)):
        answer = lbs.get(asked, headers=origin)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")
        assert "access-control-allow-credentials" not in answer.headers
        assert "ETag" in answer.headers["access-control-expose-headers"]


def test_head_options_and_other_methods(lbs: httpx.Client) -> None:
    asked = "/v1/lbs?device=d"
    got, head = lbs.get(asked), lbs.head(asked)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == got.headers["etag"]
    assert int(head.headers["content-length"]) == len(got.content)
    assert lbs.options("/v1/lbs").headers["allow"] == "GET, HEAD, OPTIONS"
    refused = lbs.post("/v1/lbs")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert refused.headers["content-type"] == "application/problem+json"


def test_the_same_question_is_the_same_answer_with_its_etag(lbs: httpx.Client) -> None:
    first = lbs.get("/v1/lbs?device=d")
    assert first.headers["cache-control"].startswith("private, max-age=")
    again = lbs.get("/v1/lbs?device=d", headers={"If-None-Match": first.headers["etag"]})
    if again.status_code == 200:  # a tenth of the lifetime has just begun
        again = lbs.get("/v1/lbs?device=d", headers={"If-None-Match": again.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert lbs.get("/v1/lbs?device=d&nonce=abc").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "wrong", ["transport=udp", "user=a%20b", "zone=" + "x" * 65, "nonce=%00", "user=%ff"]
)
def test_a_wrong_question_is_a_clear_problem(lbs: httpx.Client, wrong: str) -> None:
    answer = lbs.get(f"/v1/lbs?{wrong}")
    assert answer.status_code == 422
    told = answer.json()
    assert told["type"] == "urn:qianwan:problem:invalid"
    assert wrong.partition("=")[0] in told["errors"][0]["at"]


def test_where_a_client_is_decides_and_only_a_proxy_says_it(server: ServerProcess, lbs: httpx.Client) -> None:
    def nodes(address: str) -> list[str]:
        told = lbs.get("/v1/lbs?device=d", headers={"X-Forwarded-For": address}).json()["gateways"]
        return list(dict.fromkeys(one["node"] for one in told))

    assert nodes("203.0.113.9") == ["e", "n", "s"]
    assert nodes("203.0.113.9, 203.0.113.10") == ["e", "n", "s"]
    told = lbs.get("/v1/lbs?device=d&zone=east&transport=ws").json()["gateways"]
    assert (told[0]["transport"], told[0]["host"], told[0]["path"]) == ("wss", "e.example", "/deep/qw1")


def test_one_address_that_asks_too_often_is_held_up_and_nobody_else(lbs: httpx.Client) -> None:
    statuses = [lbs.get("/v1/lbs", headers={"X-Forwarded-For": "198.18.0.1"}).status_code for _ in range(30)]
    assert 429 in statuses
    assert statuses[:20] == [200] * 20
    late = lbs.get("/v1/lbs", headers={"X-Forwarded-For": "198.18.0.1"})
    assert int(late.headers["retry-after"]) >= 1
    assert late.headers["access-control-allow-origin"] == "*"
    assert lbs.get("/v1/lbs", headers={"X-Forwarded-For": "198.18.0.2"}).status_code == 200


def test_a_document_of_tables_goes_before_the_file_within_moments(
    server: ServerProcess, lbs: httpx.Client
) -> None:
    def first() -> str:
        answer = lbs.get("/v1/lbs?device=d", headers={"X-Forwarded-For": "203.0.113.77"})
        return str(answer.json()["gateways"][0]["node"])

    assert first() == "e"
    tables = {"networks": [{"cidr": "203.0.113.64/26", "zone": "north"}]}
    headers = {"X-API-Key": server.first_api_key(), "If-Match": "*"}
    with httpx.Client(base_url=server.admin_url, headers=headers) as admin:
        wrong = admin.put("/lbs/tables", json={"tables": {"networks": [{"cidr": "203.0.113.1/26"}]}})
        assert (wrong.status_code, "line 1 of networks" in wrong.text) == (422, True)
        assert admin.put("/lbs/tables", json={"tables": tables}).status_code == 200
        server.wait_for(lambda: "n" in explained(admin)["answered"], "the document is heard")
        assert explained(admin)["sources"][0].startswith("lbs/tables at revision")
        assert first() == "n"
        assert admin.delete("/lbs/tables").status_code == 200
        server.wait_for(lambda: "lbs/tables" not in explained(admin)["sources"][0], "it is gone")
    assert first() == "e"


def explained(admin: httpx.Client) -> dict[str, list[str]]:
    """Who knew the client's zone, and the node that is first."""
    told = admin.get("/lbs/explain", params={"device": "d", "address": "203.0.113.77"}).json()
    return {"sources": [one["source"] for one in told["sources"]], "answered": [told["gateways"][0]["node"]]}


async def test_listed_origins_only(tmp_path: Path) -> None:
    from control.api.app import create_lbs_app
    from tests.support.admin_app import client_of, make_services

    services = make_services(tmp_path, control={"lbs": {"origins": ["https://app.example"]}})
    async with client_of(create_lbs_app(services)) as http:
        for origin, allowed in (
            ("https://app.example", "https://app.example"),
            ("https://evil.example", None),
        ):
            answer = await http.get("/v1/lbs", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "Origin" in answer.headers["vary"]
