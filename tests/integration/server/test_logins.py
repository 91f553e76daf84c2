"""What ends a login and what does not: replaced devices, tokens that are over, revoked keys, false roots."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qianwan import Client, ClientClosed, ConnectFailed, ConnectionClosed, KeySetError, State
from qianwan.constants import CloseCode

from control.auth.tokens import TokenSigner, private_okp
from control.keys.server_keys import ServerKeys
from tests.support.chat_ledger import Ledger
from tests.support.chat_world import AUDIENCE, EAGER, ISSUER, Talkers, eventually, root_of
from tests.support.server_process import ROOT, ServerProcess

CROWD = 12
LOGINS = "qianwan_gateway_logins_total"
SESSIONS = "qianwan_gateway_sessions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"gateway.loops": 2, "auth.clock_skew_s": 0}
    with ServerProcess(tmp_path_factory.mktemp("logins"), settings) as running:
        yield running


def client_of(server: ServerProcess, token: object, device: str, **more: object) -> Client:
    host, port = server.gateway
    given = {"root_key": root_of(server), "backoff": EAGER} | more
    return Client(f"{host}:{port}", token=token, device_id=device, **given)


def short_token(server: ServerProcess, user: str, life_s: int) -> str:
    """A token that the HTTP interface would be too careful to give."""
    key = ServerKeys.load(server.data_dir / "keys").current_token(int(time.time()))
    signer = TokenSigner(private_okp(key.seed, key.kid), key.kid, ISSUER, AUDIENCE)
    return signer.sign(user, int(time.time()), life_s)


def api_key(server: ServerProcess, *words: str) -> str:
    """`qianwan api-key ...` on the server's data folder; what it printed."""
    command = [sys.executable, "-m", "program", "api-key", *words, "--data-dir", str(server.data_dir)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


async def ended(client: Client) -> int:
    """Wait until this client has ended for good; the close code."""
    with pytest.raises(ConnectionClosed) as reason:
        async for _ in client.messages():
            pass
    assert client.state is State.CLOSED
    return reason.value.code


async def test_a_device_that_logs_in_again_replaces_itself_once(server: ServerProcess) -> None:
    before = server.metrics()[LOGINS]
    old = client_of(server, server.token("ann"), "phone")
    await old.open()
    async with client_of(server, server.token("ann"), "phone") as new:
        async with asyncio.timeout(20):
            assert await ended(old) == CloseCode.SUPERSEDED
        with pytest.raises(ClientClosed):
            await old.send("zoe", "anybody there?")
        for _ in range(50):
            await new.send("zoe", "one of fifty")
        assert new.state is State.ONLINE
        assert server.metrics()[LOGINS] - before == 2, "somebody logged in again and again"


async def test_of_a_crowd_on_one_device_one_stays(server: ServerProcess) -> None:
    before = server.metrics()
    token = server.token("bob")
    crowd = [client_of(server, token, "tablet") for _ in range(CROWD)]
    # Whoever is replaced before it has heard of its own login counts as replaced too.
    opened = await asyncio.gather(*(client.open() for client in crowd), return_exceptions=True)
    assert {type(result) for result in opened} <= {type(None), ConnectionClosed}
    server.wait_for(lambda: server.metrics()[SESSIONS] - before[SESSIONS] == 1, "one session left")

    async def settled() -> bool:
        return sum(client.state is State.CLOSED for client in crowd) == CROWD - 1

    await eventually(settled, "one client left")
    (last,) = [client for client in crowd if client.state is not State.CLOSED]
    await last.send("zoe", "alone at last")
    for client in crowd:
        if client is not last:
            assert isinstance(client.engine.failure, ConnectionClosed)
            assert client.engine.failure.code == CloseCode.SUPERSEDED
    assert server.metrics()[LOGINS] - before[LOGINS] <= CROWD
    await last.close()


async def test_a_token_that_ends_keeps_its_connection_and_opens_no_other(server: ServerProcess) -> None:
    tokens = [short_token(server, "carl", 2)]
    asked = 0

    async def renew() -> str:
        nonlocal asked
        asked += 1
        return tokens[0] if asked <= 2 else server.token("carl")

    fixed = client_of(server, tokens[0], "fixed")
    renewing = client_of(server, renew, "renewing")
    await fixed.open()
    await renewing.open()
    deadline_ms = int(time.time() * 1000) + 3000

    async def over() -> bool:
        return bool((await fixed.call("time"))["server_time_ms"] >= deadline_ms)

    await eventually(over, "over")
    await fixed.send("dora", "the connection outlives its token")
    for client in (fixed, renewing):
        client.engine._link.abort()
    async with asyncio.timeout(20):
        assert await ended(fixed) == CloseCode.TOKEN_EXPIRED
        await renewing.send("dora", "with a new token")
    assert asked == 3, "a login each; the old token was shown once more, then a new one"
    await renewing.close()


async def test_a_revoked_api_key_gives_no_tokens_and_ends_no_session(server: ServerProcess) -> None:
    key = api_key(server, "create", "shop").split()[-1]
    server.wait_for(lambda: server.post("/v1/tokens", {"user": "eve"}, key)[0] == 201, "taking the new key")
    token = server.post("/v1/tokens", {"user": "eve"}, key)[1]["token"]
    async with client_of(server, token, "phone") as eve:
        api_key(server, "revoke", key.split("_")[1])
        server.wait_for(lambda: server.post("/v1/tokens", {"user": "eve"}, key)[0] == 401, "refusing the key")
        await eve.send("zoe", "still here")
        async with client_of(server, token, "desk") as again:
            await again.send("zoe", "a token once given is good for its life")
    assert server.post("/v1/tokens", {"user": "eve"})[0] == 201


async def test_a_false_root_key_keeps_the_client_away(server: ServerProcess, tmp_path: Path) -> None:
    before = server.metrics()
    false = ServerKeys.load_or_create(tmp_path / "keys", int(time.time())).root.text
    for where in (f"127.0.0.1:{server.gateway_port}", f"ws://127.0.0.1:{server.gateway_port}", server.url):
        client = Client(where, token=server.token("finn"), root_key=false, backoff=EAGER, login_timeout_s=2)
        with pytest.raises((KeySetError, ConnectFailed)):
            await client.open()
    after = server.metrics()
    told = [f"qianwan_gateway_{what}_total" for what in ("handshakes", "logins", "refused_logins")]
    assert [after[name] - before[name] for name in told] == [0, 0, 0], "the token was shown to a stranger"


async def test_a_user_of_another_suite_or_transport_is_the_same_user(server: ServerProcess) -> None:
    ledger = Ledger()
    async with Talkers(server, [f"guest{n}" for n in range(6)], ledger) as talkers:
        for talker in talkers:
            await talker.talk([f"u/{other.user}" for other in talkers if other is not talker], 5)
        await ledger.until_seen({talker.name: 5 for talker in talkers}, timeout_s=20)
        assert {talker.name: sum(map(len, ledger.seen[talker.name].values())) for talker in talkers} == {
            talker.name: 5 for talker in talkers
        }
    assert ledger.judge_streams() == []
