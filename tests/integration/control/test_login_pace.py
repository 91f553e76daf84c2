"""One user's logins have a rate: a token is no right to keep the im process and the store at work."""

from __future__ import annotations

from pathlib import Path

import pytest
from qianwan.errors import ConnectionClosed
from qianwan.protocol import auth

from frame.constants import CloseCode, FrameType
from tests.support.abuse_peer import Target
from tests.support.chat_link import PlainLink
from tests.support.chat_world import root_of
from tests.support.gateway_client import WireClient, uv_get
from tests.support.server_process import ServerProcess

REFUSED = 'qianwan_node_logins_refused_total{reason="too many logins of one user"}'


async def test_one_user_logs_in_so_often_and_others_as_before(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"gateway.loops": 1, "limits.user_logins_per_s": 0.001}) as server:
        root, token = root_of(server), server.token("eve")
        (await PlainLink.open(server, token, "d0", root)).close()
        with pytest.raises(ConnectionClosed) as refused:
            await PlainLink.open(server, token, "d1", root)
        assert refused.value.code == CloseCode.RATE_LIMITED
        (await PlainLink.open(server, server.token("ann"), "d0", root)).close()
        assert server.metrics()[REFUSED] == 1


def test_a_session_is_taken_up_as_often_as_one_may_log_in(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"gateway.loops": 1, "limits.user_logins_per_s": 0.001}) as server:
        target, token = Target.of(server), server.token("eve")
        client = WireClient(target.port, target.public, key_id=target.key_id).handshake()
        assert client.channel is not None
        body = auth.auth_body(auth.Credentials(token, "d0"), client.channel.handshake_hash)
        client.frame(FrameType.AUTH, body)
        client.expect(FrameType.AUTH_OK)
        ticket = client.take_ticket()
        client.close()
        server.wait_for(lambda: server.metrics()["qianwan_gateway_parked"] == 1, "a session that waits")
        again = WireClient(target.port, target.public, key_id=target.key_id, ticket=ticket).resume(0)
        again.frame(FrameType.ACK, ack=0)
        frame = again.next()
        while frame.type != FrameType.CLOSE:
            assert frame.type in (FrameType.RESUME_OK, FrameType.TICKET)
            frame = again.next()
        assert uv_get(bytes(frame.body))[0] == CloseCode.RATE_LIMITED
        server.wait_for(lambda: server.metrics()["qianwan_gateway_sessions"] == 0, "the session's end")
        assert server.metrics()[REFUSED] == 1
