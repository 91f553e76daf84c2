"""The keys of a running process: rotated by themselves, backdated, never more than the core holds."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from control.gateway.core import make_core
from control.keys.errors import KeyFileError
from control.keys.keystore import DISTRUST_S, SETTLE_S, KeyStore
from control.keys.server_keys import BACKDATE_S, DAY_S, SERVER_KEYS_MAX, TICKET_KEYS_MAX, ServerKeys
from control.settings import Settings, load_settings
from crypto import key_set

START = 1_800_000_000


@dataclass
class Clock:
    """Both clocks of a machine; `jump` moves only the one that people set."""

    wall: float = START
    steady: float = 1000.0

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def jump(self, seconds: float) -> None:
        self.wall += seconds


def settings(folder: Path, **more: object) -> Settings:
    return load_settings(None, {"server.data_dir": folder / "data", **more})


def keystore(folder: Path, clock: Clock, *, create: bool = True, **more: object) -> KeyStore:
    return KeyStore(settings(folder, **more), lambda: clock.wall, lambda: clock.steady, create=create)


def signed(store: KeyStore) -> key_set.KeySet:
    return key_set.verify(store.key_set(), store.keys.root.public)


def test_keys_rotate_by_themselves_and_nobody_is_ever_without_one(tmp_path: Path) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock)
    first, published = store.keys, set[bytes]()
    for _ in range(400):
        clock.run(DAY_S)
        store.look_after()
        published.add(b"".join(key.public for key in signed(store).keys))
        assert store.check() is None
        left = store.seconds_left()
        assert min(left.values()) >= 31 * DAY_S
        best = signed(store).best(int(clock.wall))
        assert best is not None
        assert best.key_id in {key_id for key_id, _, _ in store.gateway_keys()}
        assert 1 <= len(store.gateway_keys()) <= 4
        token = store.signer().sign("alice", int(clock.wall), 7 * DAY_S)
        assert store.verifier.verify(token, clock.wall + 7 * DAY_S - 1).user == "alice"
    assert 13 <= len(published) <= 45, "made, told to clients, over"
    assert store.keys.root == first.root
    assert not {key.key_id for key in store.keys.accepted(int(clock.wall))} & {1}
    assert len(list(store.folder.glob("server-*.json"))) <= SERVER_KEYS_MAX


def test_a_token_signed_just_before_a_rotation_holds_to_its_end(tmp_path: Path) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock, **{"auth.token_max_ttl_s": 90 * DAY_S})
    clock.run(30 * DAY_S - 1)
    token = store.signer().sign("alice", int(clock.wall), 90 * DAY_S)
    for _ in range(90):
        clock.run(DAY_S - 1)
        store.look_after()
        assert store.verifier.verify(token, clock.wall).user == "alice"


@pytest.mark.parametrize(
    "more", [{"auth.rotate_keys_days": 0}, {"server.roles": ["gateway"], "bus.kind": "nats"}]
)
def test_who_must_not_rotate_does_not_and_says_when_the_keys_are_over(
    tmp_path: Path, more: dict[str, object]
) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock, **more)
    clock.run(62 * DAY_S - 1)
    store.look_after()
    assert store.seconds_left() == {"server": 1, "token": 1}
    assert store.check() is None
    clock.run(1)
    store.look_after()
    assert store.seconds_left() == {"server": 0, "token": 0}
    assert store.check() == "no server and no token key holds: qianwan keys rotate"
    assert len(store.gateway_keys()) == 1, "the core always has a key"


@pytest.mark.parametrize("more", [{}, {"auth.rotate_keys_days": 0}])
def test_each_day_a_new_key_seals_tickets_and_the_one_before_still_opens_them(
    tmp_path: Path, more: dict[str, object]
) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock, **more)
    for _ in range(10):
        before = store.ticket_keys()
        clock.run(DAY_S)
        assert store.look_after()
        assert store.ticket_keys()[0] == before[0], "others have to hear of the new one first"
        clock.run(SETTLE_S)
        assert store.look_after()
        sealing, *others = store.ticket_keys()
        assert sealing not in before
        assert others == before[:1]
        assert len(list(store.folder.glob("ticket-*.json"))) <= TICKET_KEYS_MAX


def test_after_a_leak_no_ticket_that_was_given_is_taken(tmp_path: Path) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock)
    leaked = store.ticket_keys()
    store.keys.rotate_tickets(START, 0)
    assert store.look_after()
    assert len(store.ticket_keys()) == 1
    assert store.ticket_keys() != leaked


def test_a_fresh_key_holds_for_a_client_whose_clock_is_a_day_slow(tmp_path: Path) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock)
    assert signed(store).best(START - BACKDATE_S) is not None
    clock.run(30 * DAY_S)
    assert store.look_after()
    clock.run(SETTLE_S)
    assert store.look_after()
    best = signed(store).best(int(clock.wall) - BACKDATE_S)
    assert best is not None
    assert best.key_id == 2


def test_of_many_processes_one_rotates_and_all_follow(tmp_path: Path) -> None:
    clock = Clock()
    stores = [keystore(tmp_path, clock) for _ in range(5)]
    rotated: list[list[str]] = []
    for store in stores:
        store.on_rotated = rotated.append
    clock.run(30 * DAY_S + 1)
    assert [store.look_after() for store in stores] == [True] * 5
    assert {len(store.keys.servers) for store in stores} == {2}
    made = ["server-00002.json", stores[0].keys.tokens[-1].file_name, stores[0].keys.tickets[-1].file_name]
    assert rotated == [made], "told by who did it"
    assert len({store.key_set() for store in stores}) == 1
    assert len({store.signer().sign("a", START, 60) for store in stores}) == 1


def test_more_rotations_than_the_core_holds_stop_neither_logins_nor_the_next_start(tmp_path: Path) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock)
    for _ in range(12):
        clock.run(3600)
        made = ServerKeys.load(store.folder).rotate(int(clock.wall), 7 * DAY_S)
        assert store.look_after()
        assert store.gateway_keys()[-1][0] == made.current(int(clock.wall)).key_id
        assert len(store.gateway_keys()) <= SERVER_KEYS_MAX
        make_core(
            settings(tmp_path), store.gateway_keys(), store.key_set(), announce_topics=False, descriptors=100
        )
    assert len(keystore(tmp_path, clock).gateway_keys()) == SERVER_KEYS_MAX


def test_the_core_holds_exactly_as_many_keys_as_are_kept(tmp_path: Path) -> None:
    store = keystore(tmp_path, Clock())
    _, private, public = store.gateway_keys()[0]
    many = [(key_id, private, public) for key_id in range(1, SERVER_KEYS_MAX + 2)]
    make_core(settings(tmp_path), many[:-1], store.key_set(), announce_topics=False, descriptors=100)
    with pytest.raises(ValueError, match="keys"):
        make_core(settings(tmp_path), many, store.key_set(), announce_topics=False, descriptors=100)


def test_a_clock_that_jumps_changes_no_key_and_one_that_stays_is_believed(tmp_path: Path) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock)
    before = store.key_set(), sorted(os.listdir(store.folder))
    with capture_logs() as lines:
        clock.jump(400 * DAY_S)
        for _ in range(60):
            clock.run(1)
            assert not store.look_after()
        clock.jump(-400 * DAY_S)
        clock.run(1)
        assert not store.look_after()
    assert (store.key_set(), sorted(os.listdir(store.folder))) == before
    assert [line["event"].split(":")[0] for line in lines] == ["the clock jumped"] * 2
    assert store.check() is None
    clock.jump(400 * DAY_S)
    store.look_after()
    clock.run(DISTRUST_S)
    assert store.look_after()
    assert store.check() is None


def test_keys_made_under_a_clock_that_was_ahead_do_not_crowd_out_those_that_hold(tmp_path: Path) -> None:
    clock = Clock()
    keystore(tmp_path, clock)
    for years in range(1, 12):
        ahead = Clock(START + years * 400 * DAY_S)
        keystore(tmp_path, ahead)
    store = keystore(tmp_path, clock)
    assert 1 in {key_id for key_id, _, _ in store.gateway_keys()}
    ServerKeys.load(store.folder).rotate_due(START + 30 * DAY_S, 30 * DAY_S)
    clock.run(30 * DAY_S)
    store.look_after()
    assert store.check() is None
    clock.run(SETTLE_S)
    store.look_after()
    best = signed(store).best(int(clock.wall))
    assert best is not None
    assert best.not_before == clock.wall - SETTLE_S - BACKDATE_S


def test_a_damaged_folder_is_told_once_and_what_was_read_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    store = keystore(tmp_path, clock)
    token = next(store.folder.glob("token-*.json"))
    good = token.read_bytes()
    with capture_logs() as lines:
        token.write_bytes(b"{")
        for _ in range(5):
            clock.run(1)
            assert not store.look_after()
        assert store.check() is None
        token.write_bytes(good)
        store.look_after()
    assert [line["event"] for line in lines] == ["the key folder cannot be used"]
    made = ServerKeys.load(store.folder).rotate(int(clock.wall), DAY_S)
    assert store.look_after()
    assert store.keys.servers == made.servers


def test_a_lost_root_key_ends_the_start_whatever_else_is_left(tmp_path: Path) -> None:
    store = keystore(tmp_path, Clock())
    root = store.folder / "root.json"
    root.unlink()
    with pytest.raises(KeyFileError, match=r"root\.json.*missing.*server-00001\.json.*keys new-root"):
        keystore(tmp_path, Clock())
    for path in store.folder.glob("server-*"):
        path.unlink()
    with pytest.raises(KeyFileError, match="token-"):
        keystore(tmp_path, Clock())
    assert not root.exists()
    made = ServerKeys.new_root(store.folder)
    assert keystore(tmp_path, Clock()).keys.root == made
    with pytest.raises(KeyFileError, match="exists already"):
        ServerKeys.new_root(store.folder)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no key folder"):
        keystore(tmp_path, Clock(), create=False)
    assert not list(tmp_path.iterdir())
    made = keystore(tmp_path, Clock())
    assert keystore(tmp_path, Clock(), create=False).root == made.root


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_data_folder_that_others_may_read_is_closed_with_one_line(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "data"
    before = os.umask(umask)
    try:
        folder.mkdir()
        folder.chmod(0o755)
        for name in ("store.sqlite3", "store.sqlite3-wal"):
            (folder / name).touch()
            (folder / name).chmod(0o644)
        ServerKeys.new_root(folder / "keys")
        with capture_logs() as lines:
            keystore(tmp_path, Clock())
            keystore(tmp_path, Clock())
    finally:
        os.umask(before)
    assert [line["event"] for line in lines] == ["closed to others"]
    modes = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def test_the_times_of_old_folders_are_understood(tmp_path: Path) -> None:
    """Keys of before began when they were made; one made an hour ago does not outrank a new one."""
    clock = Clock()
    store = keystore(tmp_path, clock)
    path = store.folder / "server-00001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"not_before": START}))
    clock.run(3600)
    ServerKeys.load(store.folder).rotate(int(clock.wall), 7 * DAY_S)
    store.look_after()
    clock.run(SETTLE_S)
    store.look_after()
    best = signed(store).best(int(clock.wall))
    assert best is not None
    assert best.key_id == 2
