"""Key files: refused when others can read them, whole after a crash, strict in what they hold."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from control.keys import files as key_files
from control.keys.errors import KeyFileError
from control.keys.files import read_private, write_private
from control.keys.server_keys import SERVER_KEYS_MAX, ServerKeys

NOW = 1_700_000_000


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_folder_and_every_file_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ServerKeys.load_or_create(tmp_path / "keys", NOW).rotate(NOW, 60)
    finally:
        os.umask(before)
    assert mode(tmp_path / "keys") == 0o700
    files = list((tmp_path / "keys").iterdir())
    assert len(files) == 5
    assert {mode(path) for path in files} == {0o600}


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o602, 0o620, 0o601, 0o777])
@pytest.mark.parametrize("name", ["root.json", "server-00001.json", "token-*.json", "ticket-*.json"])
def test_a_file_open_to_others_is_refused_with_the_remedy(tmp_path: Path, bits: int, name: str) -> None:
    ServerKeys.load_or_create(tmp_path, NOW)
    (path,) = tmp_path.glob(name)
    path.chmod(bits)
    with pytest.raises(KeyFileError, match=r"open to others.*chmod 600"):
        ServerKeys.load(tmp_path)
    path.chmod(0o600)
    ServerKeys.load(tmp_path)


@pytest.mark.parametrize("bits", [0o770, 0o722, 0o777])
def test_a_folder_others_may_write_to_is_refused(tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(KeyFileError, match=r"writable by others.*chmod 700"):
        ServerKeys.load_or_create(folder, NOW)


def test_links_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "real.json", {"a": 1}, replace=False)
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    os.mkfifo(tmp_path / "pipe.json", 0o600)
    for name in ("link.json", "pipe.json", "missing.json"):
        with pytest.raises(KeyFileError, match=name):
            read_private(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff", b'{"a": 1} x', b" " * 5000 + b"{}"])
def test_files_that_hold_anything_else_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="no key file"):
        read_private(path)


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    write_private(path, {"a": 1}, replace=False)
    with pytest.raises(KeyFileError, match="exists already"):
        write_private(path, {"a": 2}, replace=False)
    assert read_private(path) == {"a": 1}
    write_private(path, {"a": 3}, replace=True)
    assert read_private(path) == {"a": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["key.json"]


def test_a_crash_leaves_the_old_file_until_the_rename_and_the_new_one_once_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.json"
    write_private(path, {"a": 1}, replace=False)
    order: list[str] = []
    fsync = os.fsync

    def crash(source: Path, target: Path) -> None:
        order.append("rename")
        assert json.loads(Path(source).read_bytes()) == {"a": 2}
        raise OSError("power is gone")

    def watched(fd: int) -> None:
        order.append("fsync")
        fsync(fd)

    monkeypatch.setattr(key_files.os, "replace", crash)
    monkeypatch.setattr(key_files.os, "fsync", watched)
    with pytest.raises(OSError, match="power is gone"):
        write_private(path, {"a": 2}, replace=True)
    assert order == ["fsync", "rename"]
    assert read_private(path) == {"a": 1}
    monkeypatch.undo()
    order.clear()
    rename = os.replace

    def renamed(source: Path, target: Path) -> None:
        order.append("rename")
        rename(source, target)

    def synced(fd: int) -> None:
        order.append("fsync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync file")
        fsync(fd)

    monkeypatch.setattr(key_files.os, "replace", renamed)
    monkeypatch.setattr(key_files.os, "fsync", synced)
    write_private(path, {"a": 3}, replace=True)
    assert order == ["fsync file", "rename", "fsync folder"]
    assert read_private(path) == {"a": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["key.json"]


def start(folder: str, go: multiprocessing.synchronize.Event, out: multiprocessing.Queue[object]) -> None:
    go.wait()
    keys = ServerKeys.load_or_create(Path(folder), NOW)
    out.put((keys.root.public, [k.public for k in keys.servers], [k.kid for k in keys.tokens]))


def test_processes_that_start_at_once_agree_on_all_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    go, out = context.Event(), context.Queue()
    workers = [context.Process(target=start, args=(str(tmp_path / "keys"), go, out)) for _ in range(4)]
    for worker in workers:
        worker.start()
    go.set()
    seen = [out.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(one == seen[0] for one in seen)
    assert [len(part) for part in seen[0][1:]] == [1, 1]


def rotate(folder: str, kind: str, go: multiprocessing.synchronize.Event) -> None:
    go.wait()
    keys = ServerKeys.load(Path(folder))
    (keys.rotate if kind == "server" else keys.rotate_tokens)(NOW, 3600)


@pytest.mark.parametrize("kind", ["server", "token"])
def test_rotations_by_many_processes_at_once_lose_no_key(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "keys"
    before = ServerKeys.load_or_create(folder, NOW)
    context = multiprocessing.get_context("fork")
    go = context.Event()
    workers = [context.Process(target=rotate, args=(str(folder), kind, go)) for _ in range(14)]
    for worker in workers:
        worker.start()
    go.set()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 14
    after = ServerKeys.load(folder)
    assert after.root == before.root
    if kind == "token":
        assert len(after.tokens) == 15
        assert before.tokens[0].kid in {key.kid for key in after.tokens}
    else:
        assert [key.key_id for key in after.servers] == list(range(16 - SERVER_KEYS_MAX, 16))


def test_root_follows_no_link_to_keys_that_another_user_made(tmp_path: Path) -> None:
    ServerKeys.load_or_create(tmp_path / "elsewhere", NOW)
    (tmp_path / "keys").symlink_to(tmp_path / "elsewhere")
    ServerKeys.load(tmp_path / "keys")
    if os.geteuid() == 0:
        os.chown(tmp_path / "keys", 10001, 10001, follow_symlinks=False)
        with pytest.raises(KeyFileError, match="root does not follow it"):
            ServerKeys.load(tmp_path / "keys")
