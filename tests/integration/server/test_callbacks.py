"""A whole process asks the application's server: before messages and logins, and when an operator does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from qianwan import Client, ConnectionClosed
from qianwan.constants import CloseCode
from qianwan.errors import Forbidden
from standardwebhooks.webhooks import Webhook

from control.outgoing.signing import make_secret
from tests.support.asked_server import AskedServer, answer, asked_server, says
from tests.support.chat_world import EAGER, root_of
from tests.support.server_process import ServerProcess, program

SECRET = make_secret()


@pytest.fixture
async def app() -> AsyncIterator[AskedServer]:
    async with asked_server() as found:
        found.answers = says(verdict="allow")
        yield found


@pytest.fixture
async def server(tmp_path: Path, app: AskedServer) -> AsyncIterator[ServerProcess]:
    settings = {
        "gateway.loops": 1,
        "outgoing.networks": ["127.0.0.0/8"],
        "outgoing.plain_http": True,
        "callbacks.url": app.url,
        "callbacks.secret": SECRET,
        "callbacks.login": "closed",
        "engines.text.url": f"http://127.0.0.1:{app.port}/engine",
        "engines.text.secret": SECRET,
    }
    running = ServerProcess(tmp_path, settings, admin="127.0.0.1:0")
    await asyncio.to_thread(running.start)
    try:
        yield running
    finally:
        await asyncio.to_thread(running.stop)


def client_of(server: ServerProcess, user: str) -> Client:
    host, port = server.gateway
    return Client(
        f"{host}:{port}", token=server.token(user), device_id="phone", root_key=root_of(server), backoff=EAGER
    )


async def test_logins_and_messages_are_asked_about(server: ServerProcess, app: AskedServer) -> None:
    alice, zoe, mallory = await asyncio.to_thread(
        lambda: [client_of(server, user) for user in ("alice", "zoe", "mallory")]
    )
    app.answers = answer(500)
    opening = asyncio.create_task(alice.open())
    await app.until(1)
    app.answers = says(verdict="allow")
    async with asyncio.timeout(60):
        await opening  # closed with 2004 until there was an answer
    said = Webhook(SECRET).verify(app.asked[-1].body, app.asked[-1].headers)
    assert (said["kind"], said["from"], said["device"], said["by"]) == ("login", "alice", "phone", "token")
    await zoe.open()
    app.answers = says(verdict="replace", body={"text": "bye"})
    await alice.send("zoe", "hello")
    async with asyncio.timeout(60):
        async for message in zoe.messages():
            assert message.body == {"text": "bye"}
            break
    app.answers = says(verdict="reject", text="no ads", rule="ads")  # an engine's word, and no callback's
    with pytest.raises(Forbidden, match="no ads"):
        await alice.send("zoe", "buy")
    assert [(asked.path, asked.said["kind"]) for asked in app.asked[-1:]] == [("/engine", "text")]
    app.answers = says(verdict="refuse", text="not you")
    with pytest.raises(ConnectionClosed) as refused:
        await mallory.open()
    assert (refused.value.code, "not you" in str(refused.value)) == (CloseCode.AUTH_FAILED, True)
    await the_rule_is_live(server, app, alice)
    for client in (alice, zoe):
        await client.close()
    metrics = await asyncio.to_thread(server.metrics)
    assert metrics['qianwan_callbacks_total{kind="login",outcome="refuse"}'] == 1
    assert metrics['qianwan_callbacks_total{kind="message.single",outcome="replace"}'] == 1
    assert metrics['qianwan_engine_questions_total{engine="text",outcome="reject"}'] == 1
    await operator_tries_a_callback(server, app)


async def the_rule_is_live(server: ServerProcess, app: AskedServer, alice: Client) -> None:
    words = ("settings", "set", "callbacks.single=off", "--data-dir", str(server.data_dir))
    done = await asyncio.to_thread(program, *words)
    assert done.returncode == 0, done.stderr
    app.answers = says(verdict="refuse")
    async with asyncio.timeout(60):
        while True:
            with suppress(Forbidden):
                await alice.send("zoe", f"number {len(app.asked)}")
                break


async def operator_tries_a_callback(server: ServerProcess, app: AskedServer) -> None:
    def tried(*words: str) -> tuple[int, str, str]:
        done = program("callbacks", "test", *words, "--data-dir", str(server.data_dir))
        return done.returncode, done.stdout, done.stderr

    app.answers = says(verdict="allow")
    code, out, _ = await asyncio.to_thread(tried, "--kind", "room.enter", "--json")
    found = json.loads(out)
    assert (code, found["outcome"], found["kind"], found["rule"]) == (0, "allow", "room.enter", "open")
    assert app.asked[-1].said["test"] is True
    assert SECRET not in out
    app.answers = answer(200, b"nonsense")
    code, _, error = await asyncio.to_thread(tried)
    assert (code, "garbage" in error) == (1, True)
