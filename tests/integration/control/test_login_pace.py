"""One user's logins have a rate: a token is no right to keep the im process and the store at work."""

from __future__ import annotations

from pathlib import Path

import pytest
from qianwan.errors import ConnectionClosed

from frame.constants import CloseCode
from tests.support.chat_link import PlainLink
from tests.support.chat_world import root_of
from tests.support.server_process import ServerProcess


async def test_one_user_logs_in_so_often_and_others_as_before(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"gateway.loops": 1, "limits.user_logins_per_s": 0.001}) as server:
        root, token = root_of(server), server.token("eve")
        (await PlainLink.open(server, token, "d0", root)).close()
        with pytest.raises(ConnectionClosed) as refused:
            await PlainLink.open(server, token, "d1", root)
        assert refused.value.code == CloseCode.RATE_LIMITED
        (await PlainLink.open(server, server.token("ann"), "d0", root)).close()
        refused_at = 'qianwan_node_logins_refused_total{reason="too many logins of one user"}'
        assert server.metrics()[refused_at] == 1
