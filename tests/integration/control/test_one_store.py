"""Two im processes that no bus joins do not share a store: the second is refused at its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerFailed, ServerProcess, doctor


def test_an_im_process_on_another_bus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with NatsProcess(tmp_path / "one") as near, NatsProcess(tmp_path / "two") as far:

        def im(number: int, nats: NatsProcess) -> ServerProcess:
            settings = {"bus.kind": "nats", "bus.nats_url": nats.url, "server.node_id": number}
            return ServerProcess(tmp_path / "data", settings, "im")

        with im(1, near) as first:
            stranger = im(2, far)
            assert doctor(stranger)["store's cluster"][0] == "red"
            assert doctor(im(3, near))["store's cluster"] == (
                "green",
                "processes of it that use the store: 1",
            )
            with pytest.raises(ServerFailed, match="left with 3"):
                stranger.start()
            assert "is used by another server, node 1 on no bus of this one" in stranger.log()
            assert first.get("/readyz")[0] == 200
            with im(3, near) as second:
                assert second.get("/readyz")[0] == 200
