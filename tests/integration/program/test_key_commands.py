"""`qianwan keys`, `api-key`, `token`, and what a server makes of the key files it finds."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import qianwan

from control.keys.server_keys import BACKDATE_S, DAY_S, ServerKeys
from tests.support.server_process import ServerProcess, program


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with keys, as a server left it."""
    ServerKeys.load_or_create(tmp_path / "data" / "keys", int(time.time()))
    return tmp_path / "data"


def test_keys_are_listed_and_rotated(folder: Path) -> None:
    def listed() -> list[dict[str, object]]:
        return list(json.loads(program("keys", "list", "--data-dir", str(folder), "--json").stdout))

    before = listed()
    assert [row["kind"] for row in before] == ["root", "server", "token", "ticket"]
    for kind in ("server", "token", "ticket"):
        assert program("keys", "rotate", kind, "--data-dir", str(folder)).returncode == 0
    after = listed()
    assert [row["kind"] for row in after] == ["root", *2 * ["server"], *2 * ["token"], *2 * ["ticket"]]
    assert before[0] == after[0], "the root stays"
    assert program("keys", "rotate", "root", "--data-dir", str(folder)).returncode == 2


def test_a_rotation_says_which_key_had_to_go(folder: Path) -> None:
    keys = ServerKeys.load(folder / "keys")
    for _ in range(7):
        keys = keys.rotate(int(time.time()), 7 * DAY_S)
    shown = program("keys", "rotate", "--data-dir", str(folder))
    assert shown.stdout.strip() == "new server key 9; ended: 1"


def test_a_negative_time_is_refused_and_ends_no_key(folder: Path) -> None:
    before = sorted(path.name for path in (folder / "keys").iterdir())
    for words in (("keys", "rotate", "server", "--overlap", "-1"), ("api-key", "create", "x", "--ttl", "-1")):
        assert program(*words, "--data-dir", str(folder)).returncode == 2
    assert sorted(path.name for path in (folder / "keys").iterdir()) == before


def test_a_generated_key_is_kept_nowhere_and_good_for_the_setting(folder: Path) -> None:
    key = program("api-key", "generate").stdout.strip()
    assert not list((folder / "keys").glob("api*"))
    checked = program("config", "check", QIANWAN_AUTH__BOOTSTRAP_API_KEY=key)
    assert checked.returncode == 0, checked.stderr


def test_a_server_says_that_its_api_keys_are_gone(tmp_path: Path) -> None:
    gone = "no API keys beside keys that were there already"
    with ServerProcess(tmp_path) as server:
        assert gone not in server.log(), "a first start"
        assert server.token("ann")
        (tmp_path / "keys" / "api-keys.json").rename(tmp_path / "elsewhere")
        server.wait_for(
            lambda: server.token("ann") != "" and "the API keys are gone" in server.log(),
            "told, while those that are known go on",
        )
        server.restart()
        assert gone in server.log()


def test_what_is_piped_is_neither_cut_nor_folded(folder: Path) -> None:
    root = ServerKeys.load(folder / "keys").root.text
    shown = program("keys", "list", "--data-dir", str(folder), COLUMNS="40")
    assert [line for line in shown.stdout.splitlines() if root in line]
    long = "a name that is longer than any terminal " * 8
    made = program("api-key", "create", long.strip(), "--data-dir", str(folder)).stdout.split("_")[1]
    (line,) = [
        line
        for line in program("api-key", "list", "--data-dir", str(folder), COLUMNS="40").stdout.splitlines()
        if made in line
    ]
    assert long.strip() in line
    checked = program("config", "print", "--data-dir", f"/nowhere/{'x' * 300}", COLUMNS="40")
    assert "x" * 300 in checked.stdout


def test_api_keys_are_listed_without_secrets(tmp_path: Path) -> None:
    key = program("api-key", "create", "app", "--data-dir", str(tmp_path)).stdout.strip()
    shown = program("api-key", "list", "--data-dir", str(tmp_path), "--json").stdout
    assert key.split("_")[1] in shown
    assert key.split("_", 2)[2] not in shown
    assert program("api-key", "revoke", "0" * 12, "--data-dir", str(tmp_path)).returncode == 1
    assert program("api-key", "create", "x", "--scope", "root", "--data-dir", str(tmp_path)).returncode == 1


def test_twelve_commands_at_once_make_twelve_api_keys(folder: Path) -> None:
    def create(number: int) -> str:
        return program("api-key", "create", f"app-{number}", "--data-dir", str(folder)).stdout.strip()

    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(create, range(12)))
    listed = json.loads(program("api-key", "list", "--data-dir", str(folder), "--json").stdout)
    assert {key["name"] for key in listed} == {f"app-{number}" for number in range(12)}
    assert {key["id"] for key in listed} == {text.split("_")[1] for text in made}


@pytest.mark.parametrize(
    "words",
    [
        ("token", "--user", "alice"),
        ("keys", "list"),
        ("keys", "rotate", "server"),
        ("keys", "new-root"),
        ("api-key", "list"),
        ("api-key", "revoke", "0" * 12),
        ("doctor",),
        ("config", "check"),
    ],
    ids=" ".join,
)
def test_a_command_on_a_mistyped_folder_makes_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    shown = program(*words, "--data-dir", str(tmp_path / "qianwan-dta"))
    if words[0] not in ("doctor", "config"):
        assert shown.returncode == 1
        assert re.fullmatch(r"there is no (data|key) folder .*qianwan-dta.*\n", shown.stderr), shown.stderr
    assert not list(tmp_path.iterdir())


def test_the_first_api_key_may_be_made_before_the_first_start(fresh: ServerProcess) -> None:
    fresh.data_dir.rmdir()
    made = program("api-key", "create", "app", "--data-dir", str(fresh.data_dir))
    assert made.stderr == f"made the data folder {fresh.data_dir}\n"
    fresh.start()
    assert fresh.post("/v1/tokens", {"user": "x"}, made.stdout.strip())[0] == 201
    assert "qwk_" not in fresh.out_file.read_text()


def test_a_server_without_its_root_key_does_not_start_until_told(fresh: ServerProcess) -> None:
    fresh.start()
    fresh.stop()
    root = fresh.data_dir / "keys" / "root.json"
    lost = root.read_bytes()
    root.unlink()
    fresh.start(wait=False)
    assert fresh.process is not None
    assert fresh.process.wait(60) == 3
    fresh.process = None
    said = fresh.log().splitlines()[-1]
    assert re.search(r"cannot start: .*root\.json.*missing.*keys new-root", said), said
    assert not root.exists()
    made = program("keys", "new-root", "--data-dir", str(fresh.data_dir))
    assert made.stdout.startswith("qwroot1.")
    assert root.read_bytes() != lost
    fresh.start()
    assert json.loads(fresh.get("/v1/lbs")[1])["root"] == made.stdout.strip()


def test_an_open_data_folder_is_closed_before_the_store_is_made(fresh: ServerProcess) -> None:
    fresh.data_dir.chmod(0o755)
    fresh.start()
    assert stat.S_IMODE(fresh.data_dir.stat().st_mode) == 0o700
    ours = [*fresh.data_dir.glob("store.sqlite3*"), *(fresh.data_dir / "keys").iterdir()]
    assert len(ours) >= 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in ours} == {0o600}
    assert fresh.log().count("closed to others") == 1


def test_a_running_server_rotates_its_keys_by_itself(fresh: ServerProcess) -> None:
    made = ServerKeys.load_or_create(fresh.data_dir / "keys", int(time.time()) - 31 * DAY_S)
    old = made.servers[0].key_id, made.tokens[0].kid

    async def talk() -> None:
        async with qianwan.Client(fresh.url, token=fresh.token("alice"), device_id="d1") as me:
            await me.send("bob", "under the new key")

    fresh.start()
    now = int(time.time())

    def renewed() -> bool:
        return ServerKeys.load(fresh.data_dir / "keys").current(now).key_id == old[0] + 1

    fresh.wait_for(renewed, "keys to be made", 10)
    keys = ServerKeys.load(fresh.data_dir / "keys")
    assert keys.current(now).key_id == old[0] + 1
    assert keys.current_token(now).kid != old[1]
    assert abs(keys.current(now).not_before - (now - BACKDATE_S)) < 60
    fresh.wait_for(lambda: fresh.get("/v1/lbs")[1].count(b'"key_set"') == 1, "an answer", 5)
    asyncio.run(talk())
    left = re.findall(r'qianwan_key_left_seconds\{kind="(\w+)"\} (\S+)', fresh.get("/metrics")[1].decode())
    assert {kind for kind, _ in left} == {"server", "token"}
    assert all(float(seconds) > 61 * DAY_S for _, seconds in left)


def test_a_server_whose_keys_are_over_is_not_ready_and_says_why(fresh: ServerProcess) -> None:
    fresh.settings = {"auth.rotate_keys_days": 0}
    fresh.start()
    keys = fresh.data_dir / "keys"
    for path in [*keys.glob("server-*.json"), *keys.glob("token-*.json")]:
        path.unlink()
    ServerKeys.load_or_create(keys, int(time.time()), server_lifetime=1, token_lifetime=1)
    fresh.wait_for(lambda: b"no server and no token key holds" in fresh.get("/readyz")[1], "not ready")
    assert fresh.get("/readyz")[0] == 503
    assert fresh.get("/livez")[0] == 200
    for kind in ("server", "token"):
        assert program("keys", "rotate", kind, "--data-dir", str(fresh.data_dir)).returncode == 0
    fresh.wait_ready(10)
