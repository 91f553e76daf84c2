"""Server and token keys: created once, rotated with overlap, never without a valid key."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from nacl.signing import SigningKey, VerifyKey

from control.keys import files
from control.keys.errors import KeyFileError
from control.keys.kinds import RootKey, ServerKey, TokenKey, thumbprint
from control.keys.server_keys import BACKDATE_S, DAY_S, ServerKeys
from crypto import key_set
from crypto.noise import Initiator, generate_keypair, public_key, respond
from tests.support.noise_peer import seeded

NOW = 1_700_000_000
OVERLAP = 31 * DAY_S


def edit(path: Path, **changes: object) -> None:
    value = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not None}))


def test_what_was_created_is_loaded_again(tmp_path: Path) -> None:
    first = ServerKeys.load_or_create(tmp_path, NOW)
    again = ServerKeys.load_or_create(tmp_path, NOW + DAY_S)
    assert (again.root, again.servers, again.tokens) == (first.root, first.servers, first.tokens)
    assert first.root.text.startswith("qwroot1.")
    assert key_set.parse_root(first.root.text) == first.root.public
    (server,) = first.servers
    assert (server.key_id, server.not_before) == (1, NOW - BACKDATE_S)
    assert public_key(server.private) == server.public
    assert first.usable(NOW) == [(1, server.private, server.public)]


def test_nothing_secret_stands_in_a_repr(tmp_path: Path) -> None:
    made = ServerKeys.load_or_create(tmp_path, NOW)
    for key, secret in (
        (made.root, made.root.seed),
        (made.servers[0], made.servers[0].private),
        (made.tokens[0], made.tokens[0].seed),
    ):
        assert repr(secret) not in repr(key)
        assert "seed" not in repr(key)
        assert "private" not in repr(key)


def test_a_rotation_overlaps_and_both_keys_shake_hands(tmp_path: Path) -> None:
    old = ServerKeys.load_or_create(tmp_path, NOW).current(NOW)
    later = NOW + 30 * DAY_S
    rotated = ServerKeys.load(tmp_path).rotate(later, OVERLAP)
    new = rotated.current(later)
    assert (new.key_id, new.not_before) == (2, later - BACKDATE_S)
    assert {key_id for key_id, _, _ in rotated.usable(later)} == {1, 2}
    for key_id, private, public in rotated.usable(later):
        prologue = b"QW\x01\x01\x01\x00" + key_id.to_bytes(2, "big")
        initiator = Initiator(1, prologue, public)
        initiator.finish(respond(1, prologue, private, initiator.message).message)
    verified = key_set.verify(rotated.key_set(later), rotated.root.public)
    assert [entry.key_id for entry in verified.keys] == [1, 2]
    best = verified.best(later)
    assert best is not None
    assert best.public == new.public
    over = later + OVERLAP
    assert {key_id for key_id, _, _ in rotated.usable(over)} == {2}
    assert [e.key_id for e in key_set.verify(rotated.key_set(over), rotated.root.public).keys] == [2]
    assert old.public not in rotated.key_set(over)
    assert (tmp_path / "server-00001.json").exists()
    assert not (rotated.rotate(over, OVERLAP).folder / "server-00001.json").exists()


def test_rotation_never_lengthens_a_key(tmp_path: Path) -> None:
    made = ServerKeys.load_or_create(tmp_path, NOW, server_lifetime=100)
    rotated = made.rotate(NOW + 50, overlap=1000)
    assert {key.key_id: key.not_after for key in rotated.servers}[1] == NOW + 100


def test_without_overlap_the_old_key_is_gone(tmp_path: Path) -> None:
    rotated = ServerKeys.load_or_create(tmp_path, NOW).rotate(NOW + 1, overlap=0)
    assert [key.key_id for key in rotated.servers] == [2]


def test_random_rotations_always_leave_a_key_and_agree_with_the_folder(tmp_path: Path) -> None:
    rng: random.Random = seeded()
    made, now = ServerKeys.load_or_create(tmp_path, NOW), NOW
    for _ in range(40):
        now += rng.randrange(0, 80 * DAY_S)
        made = (
            made.rotate(now, rng.randrange(0, 40 * DAY_S))
            if rng.random() < 0.6
            else ServerKeys.load_or_create(tmp_path, now)
        )
        current = made.current(now)
        assert current.not_before <= now < current.not_after
        verified = key_set.verify(made.key_set(now), made.root.public)
        best = verified.best(now)
        assert best is not None
        assert best.public in {key.public for key in made.servers}
        assert ServerKeys.load(tmp_path).servers == made.servers


def test_expired_keys_are_replaced_at_start(tmp_path: Path) -> None:
    ServerKeys.load_or_create(tmp_path, NOW)
    later = NOW + 400 * DAY_S
    with pytest.raises(KeyFileError, match="no server key holds now"):
        ServerKeys.load(tmp_path).current(later)
    with pytest.raises(KeyFileError, match="no token key holds now"):
        ServerKeys.load(tmp_path).current_token(later)
    made = ServerKeys.load_or_create(tmp_path, later)
    assert made.current(later).key_id == 2
    assert [entry.key_id for entry in key_set.verify(made.key_set(later), made.root.public).keys] == [2]


def test_key_ids_wrap_without_zero_and_without_a_collision(tmp_path: Path) -> None:
    made = ServerKeys.load_or_create(tmp_path, NOW)
    private, public = generate_keypair()
    last = ServerKey(65_535, private, public, NOW + 1, NOW + 10 * DAY_S)
    files.write_private(tmp_path / last.file_name, last.to_file(), replace=False)
    rotated = made.rotate(NOW + 2, OVERLAP)
    assert rotated.current(NOW + 2).key_id == 2  # 0 is never given, 1 is taken


def test_token_keys_rotate_and_sign(tmp_path: Path) -> None:
    made = ServerKeys.load_or_create(tmp_path, NOW)
    old = made.current_token(NOW)
    rotated = made.rotate_tokens(NOW + 10, overlap=3600)
    new = rotated.current_token(NOW + 10)
    assert new.kid != old.kid
    assert {key.kid for key in rotated.verifying(NOW + 3609)} == {old.kid, new.kid}
    assert {key.kid for key in rotated.verifying(NOW + 3610)} == {new.kid}
    private = new.jwk(private=True)
    assert private.pop("d")
    assert private == new.jwk(private=False)
    signature = SigningKey(new.seed).sign(b"claim").signature
    VerifyKey(new.public).verify(b"claim", signature)


def test_the_kid_is_the_thumbprint_of_rfc_8037() -> None:
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert thumbprint(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    token = TokenKey.from_seed(seed, NOW, NOW + 1)
    assert (token.public, token.kid) == (public, thumbprint(public))
    assert RootKey.from_seed(seed).public == public


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("root.json", {"kind": "x25519-server"}),
        ("root.json", {"seed": None}),
        ("root.json", {"seed": "AAAA"}),
        ("root.json", {"seed": 7}),
        ("server-00001.json", {"key_id": 2}),
        ("server-00001.json", {"key_id": 0}),
        ("server-00001.json", {"key_id": 65_536}),
        ("server-00001.json", {"key_id": True}),
        ("server-00001.json", {"not_before": NOW, "not_after": NOW}),
        ("server-00001.json", {"not_after": 2**32}),
        ("server-00001.json", {"not_before": "soon"}),
        ("server-00001.json", {"private": "!" * 43}),
        ("token-*.json", {"seed": "A" * 43}),
        ("token-*.json", {"not_before": -1}),
    ],
)
def test_damaged_key_files_are_refused(tmp_path: Path, name: str, changes: dict[str, object]) -> None:
    ServerKeys.load_or_create(tmp_path, NOW)
    (path,) = tmp_path.glob(name)
    edit(path, **changes)
    with pytest.raises(KeyFileError, match=path.name):
        ServerKeys.load_or_create(tmp_path, NOW)


def test_a_missing_folder_and_impossible_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="key folder"):
        ServerKeys.load(tmp_path / "nowhere")
    made = ServerKeys.load_or_create(tmp_path, NOW)
    for now, lifetime in ((NOW, 0), (NOW, -1), (2**32, 10)):
        with pytest.raises(ValueError, match="positive time"):
            made.rotate(now, 10, lifetime=lifetime)
    assert ServerKeys.load(tmp_path).servers == made.servers
