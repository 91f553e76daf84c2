"""API keys: proven, scoped, revoked, and never kept in the clear."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from control.keys.api_keys import ApiKeyError, ApiKeys, generate_key, split_key

NOW = 1_800_000_000.0


def test_a_key_is_accepted_until_it_is_revoked(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    key, text = keys.create("app")
    found = keys.check(text, NOW)
    assert found is not None
    assert found.id == key.id
    keys.revoke(key.id)
    assert keys.check(text, NOW + 10) is None


def test_the_file_holds_no_secret_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, text = ApiKeys(path).create("app")
    assert split_key(text)[1] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_wrong_secrets_unknown_ids_and_garbage_prove_nothing(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    key, text = keys.create("app")
    other = generate_key()
    swapped = f"qwk_{key.id}_{split_key(other)[1]}"
    for wrong in (other, swapped, text[:-1], text + "x", "", "qwk_", key.sha256):
        assert keys.check(wrong, NOW) is None


def test_another_process_sees_a_new_and_a_revoked_key(tmp_path: Path) -> None:
    server, operator = ApiKeys(tmp_path / "keys.json"), ApiKeys(tmp_path / "keys.json")
    key, text = operator.create("app")
    assert server.check(text, NOW) is not None
    operator.revoke(key.id)
    assert server.check(text, NOW + 2) is None


def test_keys_expire(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    key, text = keys.create("app", ttl_s=60)
    assert keys.check(text, key.created_at + 59) is not None
    assert keys.check(text, key.created_at + 60) is None


def test_unknown_scopes_ids_and_damaged_files_are_told(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    with pytest.raises(ApiKeyError, match="unknown scope"):
        keys.create("app", ("everything",))
    with pytest.raises(ApiKeyError, match="no API key"):
        keys.revoke("abc")
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(ApiKeyError, match="damaged"):
        ApiKeys(tmp_path / "keys.json")


def test_a_bootstrap_key_works_without_a_file_and_must_look_like_a_key(tmp_path: Path) -> None:
    text = generate_key()
    assert ApiKeys(tmp_path / "none.json", text).check(text, NOW) is not None
    with pytest.raises(ApiKeyError):
        ApiKeys(tmp_path / "none.json", "letmein")
