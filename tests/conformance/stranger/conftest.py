"""One real server for the stranger, and tokens that are right, expired, or signed by nobody it trusts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control.auth.tokens import TokenSigner, private_okp
from control.keys.server_keys import ServerKeys
from tests.conformance.stranger.stranger_client import Stranger
from tests.support.server_process import ServerProcess


class Realm:
    """The server with what a test needs to know of it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.host, self.port = server.gateway
        self.keys = ServerKeys.load_or_create(server.data_dir / "keys", int(time.time()))
        self.root = self.keys.root.text

    def token(self, user: str, **extra: Any) -> str:
        return self.server.token(user, **extra)

    def expired_token(self, user: str) -> str:
        """Signed by the right key, over since an hour."""
        key = self.keys.current_token(int(time.time()))
        signer = TokenSigner(private_okp(key.seed, key.kid), key.kid, "qianwan", "qianwan")
        return signer.sign(user, int(time.time()) - 7200, 3600)

    def forged_token(self, user: str) -> str:
        """The right key's name, another key's signature."""
        key = self.keys.current_token(int(time.time()))
        signer = TokenSigner(private_okp(bytes(32), key.kid), key.kid, "qianwan", "qianwan")
        return signer.sign(user, int(time.time()), 3600)

    def meet(self, user: str, suite: int = 1, websocket: bool = False) -> Stranger:
        """A logged-in stranger."""
        one = Stranger.connect(self.host, self.port, self.root, suite=suite, websocket=websocket)
        welcome = one.login(self.token(user), device=f"{user}-{suite}-{websocket}")
        assert welcome[1] == user
        assert (len(welcome[0]), welcome[4] > 0) == (8, True)
        return one


@pytest.fixture(autouse=True)
def _nobody_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections left open would hold up the server's drain."""
    opened: list[Stranger] = []
    start = Stranger.__init__

    def remember(self: Stranger, *args: Any, **more: Any) -> None:
        start(self, *args, **more)
        opened.append(self)

    monkeypatch.setattr(Stranger, "__init__", remember)
    yield
    for one in opened:
        one.stream.close()


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    data: Path = tmp_path_factory.mktemp("stranger")
    with ServerProcess(data, admin="127.0.0.1:0") as server:
        yield Realm(server)
