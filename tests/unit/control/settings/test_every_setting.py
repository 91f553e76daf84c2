"""Every setting there is: refused when misspelt or ill-typed before anything exists, documented, and read."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from click.testing import CliRunner, Result
from typer.main import get_command

from control.settings import SettingsError, load_settings
from control.settings.keys import Key, all_keys, nearest, tables, types, walk
from control.settings.sample import reference_table, sample_toml
from gateway_core import GatewayConfig
from program.cli.commands import program_of
from tests.support.tree import ROOT, sources, text

KEYS = all_keys()
# Numbers that choose, and bound nothing.
NO_VERDICT = {"gateway.core.compress_level", "im.service.blacklist_answer"}
COMMAND = get_command(program_of())
NAMES = [key.name for key in KEYS]


def plain(kind: Any) -> Any:
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def ill_typed(key: Key) -> str:
    """A value as TOML that looks much like what the key wants, and is not."""
    kind = plain(key.type)
    if kind in (int, float):
        return '"1"'
    return {bool: "1", str: "7"}.get(kind, '"everything"' if get_origin(kind) is tuple else "7")


def beyond_bounds(key: Key) -> list[str]:
    """Numbers outside of the bounds, and what is no number."""
    meta = [part for part in get_args(key.type)[1:] if hasattr(part, "ge")]
    found = [str(part.le + 1) for part in meta if part.le is not None]
    found += [str(part.ge - 1) for part in meta if part.ge is not None]
    return [*found, "nan", "inf"] if plain(key.type) is float else [*found, "1.5"]


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `serve` that is not refused fails the test instead of serving; what it makes lies in tmp_path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("control.process.run.run", lambda settings: pytest.fail("it starts"))


def toml(name: str, value: str) -> str:
    section, _, last = name.rpartition(".")
    return f"[{section}]\n{last} = {value}\n"


def run(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(COMMAND, words, env=environment)


def refused(folder: Path, words: list[str], content: str, **environment: str) -> str:
    """What the command says; it must leave with 2 and create nothing."""
    config = folder / "qianwan.toml"
    config.write_text(content)
    shown = run(*words, "--config", str(config), **environment)
    assert shown.exit_code == 2, (content, shown.output)
    assert list(folder.iterdir()) == [config], content
    return shown.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_or_ill_typed_key_is_refused_and_nothing_created(tmp_path: Path, name: str) -> None:
    key = KEYS[NAMES.index(name)]
    section, _, last = name.rpartition(".")
    misspelt = f"{section}.{last[:-1]}x{last[-1]}"
    said = refused(tmp_path, ["config", "check"], toml(misspelt, "1"))
    assert f"{misspelt}: unknown key, did you mean {name}?" in said
    for words in (["config", "check"], ["serve"]):
        assert f"{name}: " in refused(tmp_path, words, toml(name, ill_typed(key)))
    variable = f"QIANWAN_{misspelt.replace('.', '__').upper()}"
    said = refused(tmp_path, ["serve"], "", **{variable: "1"})
    assert f"{variable} is no setting" in said
    assert f"did you mean QIANWAN_{name.replace('.', '__').upper()}?" in said


@pytest.mark.parametrize("name", [key.name for key in KEYS if plain(key.type) in (int, float)])
def test_a_number_out_of_its_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    key = KEYS[NAMES.index(name)]
    assert key.bounds, "every number has two bounds"
    config = tmp_path / "qianwan.toml"
    for value in beyond_bounds(key):
        config.write_text(toml(name, value))
        with pytest.raises(SettingsError, match=f"{name}: "):
            load_settings(config)
        with monkeypatch.context() as patch:
            patch.setenv(f"QIANWAN_{name.replace('.', '__').upper()}", value)
            with pytest.raises(SettingsError, match=f"{name}: "):
                load_settings()


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    tree: dict[str, Any] = {}
    for key in KEYS:
        section, _, last = key.name.rpartition(".")
        tree.setdefault(section, []).append(f"{last} = {ill_typed(key)}\n{last}x = 1\n")
    content = "".join(f"[{section}]\n{''.join(lines)}" for section, lines in tree.items())
    said = refused(tmp_path, ["serve"], content, QIANWAN_BUZ__KIND="nats")
    for name in NAMES:
        assert f"{name}: " in said
        assert f"{name}x: unknown key, did you mean {name}?" in said
    assert "QIANWAN_BUZ__KIND" in said


def test_every_key_has_a_unit_a_reason_and_a_verdict() -> None:
    for key in KEYS:
        assert key.reason, key.name
        assert key.unit, key.name
        if plain(key.type) in (int, float) and key.name not in NO_VERDICT:
            assert key.beyond, f"{key.name}: what happens beyond it?"


def test_tree_sample_and_reference_name_the_same_keys() -> None:
    written: dict[str, Any] = {}
    section = ""
    for line in sample_toml().splitlines():
        if found := re.match(r"\[([\w.]+)\]", line):
            section = found[1]
        elif found := re.match(r"#([\w.]+) = (.*)", line):
            written[f"{section}.{found[1]}"] = tomllib.loads(f"x = {found[2]}")["x"]
    assert list(written) == NAMES
    page, listed = reference_table(), []
    for line in page.splitlines():
        if found := re.match(r"### \[([\w.]+)\]", line):
            section = found[1]
        elif found := re.match(r"\| `([\w.]+)` \|", line):
            listed.append(f"{section}.{found[1]}")
    assert listed == NAMES
    assert [name for name, _ in walk(load_settings())] == NAMES == list(types())
    assert page.strip() in (ROOT / "docs" / "OPERATIONS.md").read_text()


def test_the_program_prints_every_key_and_no_secret(tmp_path: Path) -> None:
    config = tmp_path / "qianwan.toml"
    config.write_text(
        '[bus]\nnats_url = "nats://bob:fjord@10.0.0.1:4222,nats://bob:f/j@rd@10.0.0.2"\n'
        'nats_token = "fjordember"\n'
        '[store]\nkind = "postgres"\nurl = "postgresql://ann:fjord@db/qianwan?password=fjord"\n'
        f'[auth]\nbootstrap_api_key = "qwk_{"0" * 12}_{"fjord" * 8}abc"\n'
    )
    for words in ((), ("--json",)):
        shown = run("config", "print", "--config", str(config), *words, COLUMNS="300")
        assert shown.exit_code == 0, shown.output
        assert "fjord" not in shown.output
        assert "f/j" not in shown.output
        assert "rd@" not in shown.output
        for name in NAMES:
            assert name in shown.output
    assert json.loads(shown.output)["store.url"]["value"] == "postgresql://********@db/qianwan?********"
    assert "fjord" not in repr(load_settings(config))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gateway.room_normal_per_s", "im.service.room_normal_per_s"),
        ("gateway.room_high_per_s", "im.service.room_high_per_s"),
        ("im.service.room_normal_rate", "im.service.room_normal_per_s"),
        ("im.service.roam_count", "im.service.retention.roam_count"),
        ("im.recall_window_ms", "im.service.recall_window_ms"),
        ("gateway.core.loops", "gateway.loops"),
        ("gateway.handshake_queue", "gateway.core.handshake_queue"),
        ("gatewya", "gateway"),
        ("im.servcie", "im.service"),
        ("nothing.like_it", ""),
    ],
)
def test_what_moved_or_is_misspelt_leads_to_the_name_it_has(old: str, new: str) -> None:
    assert nearest(old) == new


# How the code calls a table of settings that it has in hand.
HELD_AS = {
    "etcd": {"etcd", "section"},
    "callbacks": {"callbacks", "place"},
    "engines.text": {"text", "place"},
    "engines.media": {"media", "place"},
    "gateway.admission": {"settings"},
    "gateway.leaving": {"settings"},
    "gateway.overload": {"settings"},
    "gateway.core": {"core"},
    "control.lbs": {"lbs", "settings"},
    "control.policy": {"settings"},
    "im.service": {"settings", "rooms"},
    "im.service.retention": {"retention", "keep"},
    "im.service.login_policy": {"policy"},
    "im.service.copy": {"copy"},
    "im.service.push": {"limits"},
    "push": {"push"},
    "push.apns": {"apns"},
    "push.fcm": {"fcm"},
    "push.relay": {"relay"},
}


def test_every_setting_is_read_by_somebody() -> None:
    """A key that nothing reads is a promise that nobody keeps."""
    held: dict[str, set[str]] = {}  # attribute -> what it was read from
    readers = [
        path for path in sources("control", "im_service", "program") if "settings" not in path.parts[1:-1]
    ]
    for path in readers:
        if path.suffix != ".py" or path == Path("im_service/settings.py"):
            continue
        for node in ast.walk(ast.parse(text(path))):
            if isinstance(node, ast.Attribute):
                base = node.value
                name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
                held.setdefault(node.attr, set()).add(name.lstrip("_"))
    core = {
        name
        for path in sources("gateway_core", suffixes=(".pyx",))
        for name in re.findall(r"\bconfig\.(\w+)", text(path))
    }
    unread = []
    for name in NAMES:
        table, _, last = name.rpartition(".")
        if table.endswith("_rate"):  # read whole, by the limiter
            table, last = table.rpartition(".")[0], table.rpartition(".")[2]
        by = HELD_AS.get(table, {table})
        if not held.get(last, set()) & by and not (table == "gateway.core" and last in core):
            unread.append(name)
    assert unread == []
    taken = set(re.findall(r"\bconfig\.(\w+)", text(Path("gateway_core/engine/config.pyx"))))
    assert taken
    assert taken <= set(GatewayConfig.__struct_fields__) | {"proxy_networks"}, "the core takes what there is"
    assert set(HELD_AS) <= tables()
