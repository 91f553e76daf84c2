"""API keys: proven, scoped, revoked, and never kept in the clear."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from control.keys.api_keys import ApiKeys, generate_key, split_key
from control.keys.errors import ApiKeyError, KeyFileError

NOW = 1_800_000_000.0


def test_a_key_is_accepted_until_it_is_revoked(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    key, text = keys.create("app")
    found = keys.check(text, NOW)
    assert found is not None
    assert found.id == key.id
    keys.revoke(key.id)
    assert keys.check(text, NOW + 10) is None


@pytest.mark.parametrize("name", ["", "  "])
def test_a_key_without_a_name_is_not_made(tmp_path: Path, name: str) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    with pytest.raises(ApiKeyError, match="what the key is for"):
        keys.create(name)
    assert not (tmp_path / "keys.json").exists()


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
    elapsed = [0.0]
    server = ApiKeys(tmp_path / "keys.json", clock=lambda: elapsed[0])
    operator = ApiKeys(tmp_path / "keys.json")
    key, text = operator.create("app")
    assert server.check(text, NOW) is not None
    operator.revoke(key.id)
    elapsed[0] += 1
    assert server.check(text, NOW + 1) is None


def test_a_clock_that_was_set_back_keeps_no_revoked_key_alive(tmp_path: Path) -> None:
    elapsed = [0.0]
    server = ApiKeys(tmp_path / "keys.json", clock=lambda: elapsed[0])
    operator = ApiKeys(tmp_path / "keys.json")
    key, text = operator.create("app")
    assert server.check(text, NOW + 3600) is not None
    operator.revoke(key.id)
    elapsed[0] += 1
    assert server.check(text, NOW) is None


def at_once(many: int, life: Callable[[int], None]) -> list[int]:
    """Runs `life` in so many processes, which begin together; their exit codes."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(many)

    def run(index: int) -> None:
        barrier.wait()
        life(index)

    processes = [context.Process(target=run, args=(index,)) for index in range(many)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode or 0 for process in processes]


def test_keys_made_by_many_processes_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "api-keys.json"

    def life(index: int) -> None:
        keys = ApiKeys(path)
        for number in range(3):
            key, _ = keys.create(f"{index}-{number}")
        keys.revoke(key.id)

    assert at_once(16, life) == [0] * 16
    found = ApiKeys(path).list()
    assert {key.name for key in found} == {f"{index}-{n}" for index in range(16) for n in range(3)}
    assert {key.name for key in found if key.revoked_at} == {f"{index}-2" for index in range(16)}


def test_of_many_processes_that_start_at_once_one_makes_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "api-keys.json"

    def life(index: int) -> None:
        if text := ApiKeys(path).create_first("first"):
            (tmp_path / f"shown-{index}").write_text(text)

    assert at_once(12, life) == [0] * 12
    (shown,) = tmp_path.glob("shown-*")
    assert ApiKeys(path).check(shown.read_text(), NOW) is not None


def test_a_first_key_whose_text_was_not_kept_is_none(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "api-keys.json"

    def killed(text: str) -> None:
        raise OSError(errno.ENOSPC, "or the process ends here")

    with pytest.raises(OSError, match="ends here"):
        ApiKeys(path).create_first("first", killed)
    kept: list[str] = []
    assert [ApiKeys(path).create_first("first", kept.append)] == kept
    assert [key.name for key in ApiKeys(path).list()] == ["first"]


def test_a_key_that_was_shown_outlives_killed_writers(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "api-keys.json"
    shown = os.open(tmp_path / "shown", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def life(index: int) -> None:
        keys = ApiKeys(path)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for number in range(10_000):
            os.write(shown, f"{keys.create('app')[1]}\n".encode())
            if number == 0:
                signal.setitimer(
                    signal.ITIMER_REAL, 0.001 + index * 0.003
                )  # ends this process, wherever it is

    assert set(at_once(12, life)) == {-signal.SIGALRM}
    os.close(shown)
    texts = (tmp_path / "shown").read_text().split()
    assert texts
    keys = ApiKeys(path)
    assert all(keys.check(text, NOW) is not None for text in texts)
    keys.create("last")
    assert [file.name for file in path.parent.iterdir()] == ["api-keys.json"], "nothing unfinished is left"


def test_a_file_that_breaks_while_a_server_runs_takes_no_key_away(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    elapsed = [0.0]
    server = ApiKeys(path, clock=lambda: elapsed[0])
    _, text = server.create("app")
    good = path.read_bytes()
    path.write_bytes(b"{")
    assert server.check(text, NOW) is not None
    path.unlink()
    path.write_bytes(good)
    path.chmod(0o644)
    elapsed[0] += 2
    assert server.check(text, NOW + 2) is not None
    with pytest.raises(KeyFileError, match="open to others"):
        ApiKeys(path)


def test_a_file_that_is_removed_while_a_server_runs_takes_no_key_away_until_there_is_another(
    tmp_path: Path,
) -> None:
    path, elapsed = tmp_path / "keys.json", [0.0]
    server = ApiKeys(path, clock=lambda: elapsed[0])
    _, text = server.create("app")
    path.unlink()
    elapsed[0] += 2
    assert server.check(text, NOW) is not None
    ApiKeys(path).create("another")
    elapsed[0] += 2
    assert server.check(text, NOW) is None


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
    path = tmp_path / "keys.json"
    path.write_text("{")
    path.chmod(0o600)
    with pytest.raises(ApiKeyError, match="damaged"):
        ApiKeys(path)


def test_a_bootstrap_key_works_without_a_file_and_must_look_like_a_key(tmp_path: Path) -> None:
    text = generate_key()
    assert ApiKeys(tmp_path / "none.json", text).check(text, NOW) is not None
    with pytest.raises(ApiKeyError):
        ApiKeys(tmp_path / "none.json", "letmein")
