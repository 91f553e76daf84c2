"""Minted logins are exactly what the server's own verifier believes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.loadgen.fleet.tokens import LIFE_S, TokenMint
from control.auth.tokens import TokenVerifier
from control.keys.server_keys import ServerKeys

NOW = 1_800_000_000


def test_the_servers_verifier_believes_every_token(tmp_path: Path) -> None:
    key = ServerKeys.load_or_create(tmp_path / "keys", NOW).current_token(NOW)
    mint = TokenMint(key.kid, key.seed.hex(), "qianwan", "cluster-7")
    users = [f"b{i}" for i in range(50)]
    block, offsets = mint.mint(users, NOW)
    verifier = TokenVerifier("qianwan", "cluster-7")
    verifier.set_keys({key.kid: key.public})
    for i, user in enumerate(users):
        claims = verifier.verify(block[offsets[i] : offsets[i + 1]].decode(), NOW)
        assert (claims.user, claims.device, claims.expires_at) == (user, None, NOW + LIFE_S)
    assert offsets[-1] == len(block)


def test_the_seed_is_not_shown() -> None:
    assert "ab" * 32 not in repr(TokenMint("kid", "ab" * 32, "i", "a"))
