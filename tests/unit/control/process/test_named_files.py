"""Files that settings name are looked at before anything is created, by the roles that read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.process.named_files import FILES, problems
from control.settings import Settings
from control.settings.build import build
from control.settings.environment import put
from control.settings.keys import all_keys

APNS = {"key_id": "K", "team_id": "T", "topics": ["a.b"]}


def naming(key: str, file: Path, roles: list[str]) -> Settings:
    many = key in ("control.lbs.mmdb", "push.fcm.accounts")
    tree: dict[str, object] = {
        "server": {"roles": roles},
        "bus": {"kind": "nats"},
        "push": {"apns": dict(APNS)},
    }
    put(tree, key, [str(file)] if many else str(file))
    if key.startswith("etcd."):
        put(tree, "etcd.endpoints", ["https://127.0.0.1:2379"])
        for other in ("etcd.cert", "etcd.key") if key != "etcd.ca" else ():
            put(tree, other, str(file))
    return build(tree)


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
@pytest.mark.parametrize("key", FILES)
def test_a_file_that_cannot_be_used_is_told_with_its_name(
    tmp_path: Path, key: str, content: bytes | None
) -> None:
    file = tmp_path / "named"
    if content is not None:
        file.write_bytes(content)
    role = FILES[key] or "gateway"
    told = list(problems(naming(key, file, [role])))
    assert len(told) == 1
    assert str(file) in told[0]
    assert told[0].startswith(("etcd.", "control.lbs", key))
    if FILES[key]:
        assert list(problems(naming(key, file, ["gateway"]))) == [], "it may not be on that machine"


def test_all_are_told_at_once(tmp_path: Path) -> None:
    tree = {
        "outgoing": {"ca": str(tmp_path / "a")},
        "push": {"apns": {**APNS, "key": str(tmp_path / "b")}, "fcm": {"accounts": [str(tmp_path / "c")]}},
    }
    told = list(problems(build(tree)))
    assert [line.split(":")[0] for line in told] == ["outgoing.ca", "push.apns.key", "push.fcm.accounts"]


def test_every_setting_that_names_a_file_is_known() -> None:
    named = {key.name for key in all_keys() if "File (" in key.reason or "File with" in key.reason}
    named |= {key.name for key in all_keys() if "Files (" in key.reason or "MaxMind files" in key.reason}
    assert named == set(FILES)
