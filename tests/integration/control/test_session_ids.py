"""Session ids order logins over the cluster and over restarts, whatever the clocks of its processes say."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from control.node_ids import LOGINS_AHEAD
from tests.support.chat_link import PlainLink
from tests.support.chat_world import root_of
from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerProcess

HOUR_MS = 3600 * 1000


def login_of(ms: int) -> int:
    return ms << 12


async def login_at(server: ServerProcess, token: str, root: str) -> int:
    """The session id of a login there, without its node."""
    link = await PlainLink.open(server, token, "d", root)
    found = int.from_bytes(link.welcome.session_id, "big") >> 8
    link.close()
    return found


async def test_a_start_after_the_clock_was_set_back_repeats_no_session_id(tmp_path: Path) -> None:
    """What an earlier life wrote down whose clock was an hour ahead."""
    server = ServerProcess(tmp_path / "data", {"gateway.loops": 1})
    with server:
        first = await login_at(server, server.token("ann"), root_of(server))
        assert abs((first >> 12) - time.time() * 1000) < HOUR_MS / 2
    seen = server.data_dir / "store.seen"
    kept = json.loads(seen.read_bytes())
    seen.write_text(json.dumps(kept | {"login": kept["login"] + login_of(HOUR_MS)}))
    with server:
        second = await login_at(server, server.token("ann"), root_of(server))
        assert second > first + login_of(HOUR_MS)
    assert json.loads(seen.read_bytes())["login"] + 2 * LOGINS_AHEAD > second, "the next life is above"


async def test_a_gateway_goes_on_above_what_the_cluster_has_seen(tmp_path: Path) -> None:
    with NatsProcess(tmp_path) as nats:
        settings = {"bus.kind": "nats", "bus.nats_url": nats.url}
        ahead = login_of(int(time.time() * 1000) + HOUR_MS)
        im = ServerProcess(tmp_path / "data", settings, "im,control")
        (im.data_dir / "store.seen").write_text(json.dumps({"incarnation": "", "beat": 0, "login": ahead}))
        with im, ServerProcess(tmp_path / "data", settings | {"server.node_id": 2}, "gateway") as gateway:
            logins = [await login_at(gateway, im.token("ann"), root_of(im)) for _ in range(3)]
            assert ahead < logins[0] < logins[1] < logins[2]
            await asyncio.to_thread(gateway.kill)
            gateway.start()
            assert await login_at(gateway, im.token("ann"), root_of(im)) > logins[2]
