"""Idempotency-Key on real processes: over a kill and a restart, and over several control processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerProcess

MESSAGE = {"sender": "shop", "target": "u/ida", "body": {"text": "once"}}


def post(server: ServerProcess, key: str, path: str, body: Any, api_key: str = "") -> httpx.Response:
    headers = {"X-API-Key": api_key or server.first_api_key(), "Idempotency-Key": key}
    return httpx.post(f"{server.url}/v1{path}", json=body, headers=headers, timeout=20)


def replayed(response: httpx.Response) -> bool:
    return response.headers.get("idempotent-replayed") == "true"


def test_answers_outlive_the_server(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        sent = post(server, "order", "/messages", MESSAGE)
        token = post(server, "login", "/tokens", {"user": "ida"})
        assert (sent.status_code, token.status_code) == (200, 201)
        server.kill()
        server.start()
        for first, again in (
            (sent, post(server, "order", "/messages", MESSAGE)),
            (token, post(server, "login", "/tokens", {"user": "ida"})),
        ):
            assert replayed(again)
            assert (again.status_code, again.content) == (first.status_code, first.content)
        other = post(server, "login", "/tokens", {"user": "somebody"})
        assert (other.status_code, other.json()["type"]) == (422, "urn:qianwan:problem:idempotency-mismatch")
        later = post(server, "another", "/messages", MESSAGE)
        assert later.json()["seq"] == sent.json()["seq"] + 1


def test_a_key_holds_over_control_processes(tmp_path: Path) -> None:
    """Twenty ask through two control processes at the same time: one message, one answer."""
    nats = NatsProcess(tmp_path)
    settings = {"bus.kind": "nats", "bus.nats_url": nats.url, "bus.beacon_s": 0.2, "bus.dead_after_s": 1.5}
    folder = tmp_path / "data"
    with ExitStack() as started:
        nats.start()
        started.callback(nats.kill)

        def process(number: int, roles: str) -> ServerProcess:
            made = ServerProcess(folder, settings | {"server.node_id": number}, roles)
            return started.enter_context(made)

        controls = [process(1, "control"), process(2, "control")]
        api_key = controls[0].first_api_key()

        refused = post(controls[0], "early", "/tokens", {"user": "ida"}, api_key)
        assert refused.status_code == 503, "no im process, no store, no promise"
        assert controls[0].token("ida"), "without a key none is needed"

        im = process(3, "im")
        for control in controls:
            control.wait_for(
                lambda control=control: (
                    post(control, "early", "/tokens", {"user": "ida"}, api_key).is_success
                ),
                "hearing the im process",
            )

        def ask(number: int) -> httpx.Response:
            return post(controls[number % 2], "order", "/messages", MESSAGE, api_key)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(ask, range(20)))
        assert {answer.status_code for answer in answers} <= {200, 409}
        done = [answer for answer in answers if answer.status_code == 200]
        assert {answer.json()["seq"] for answer in done} == {1}
        assert sum(not replayed(answer) for answer in done) == 1
        for control in controls:
            again = post(control, "order", "/messages", MESSAGE, api_key)
            assert (replayed(again), again.json()["seq"]) == (True, 1)

        im.kill()
        im.start()
        controls[1].wait_for(
            lambda: replayed(post(controls[1], "order", "/messages", MESSAGE, api_key)), "a restarted store"
        )
