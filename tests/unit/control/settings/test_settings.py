"""Settings: who wins, what is refused, and a sample file that cannot drift."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.settings import SettingsError, load_settings, sources
from control.settings.load import walk
from control.settings.sample import sample_toml

ROOT = Path(__file__).resolve().parents[4]


def write(folder: Path, text: str) -> Path:
    path = folder / "qianwan.toml"
    path.write_text(text)
    return path


def test_command_line_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(
        tmp_path,
        '[gateway]\nlisten = "127.0.0.1:1001"\nping_interval_s = 30\nloops = 3\n[log]\nlevel = "debug"\n',
    )
    monkeypatch.setenv("QIANWAN_GATEWAY__LISTEN", "127.0.0.1:1002")
    monkeypatch.setenv("QIANWAN_GATEWAY__PING_INTERVAL_S", "31")
    overrides = {"gateway.listen": "127.0.0.1:1003"}
    settings = load_settings(config, overrides)
    assert settings.gateway.listen == "127.0.0.1:1003"
    assert settings.gateway.ping_interval_s == 31
    assert settings.gateway.loops == 3
    where = sources(config, overrides)
    assert where["gateway.listen"] == "command line"
    assert where["gateway.ping_interval_s"] == "environment"
    assert where["gateway.loops"] == str(config)
    assert where["bus.kind"] == "default"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[gateway]\nlistne = 'x'\n", "gateway.listne: unknown key"),
        ("[gatewya]\nlisten = 'x'\n", "gatewya: unknown key"),
        ("[gateway]\nlisten = 'nowhere'\n", "is not host:port"),
        ("[auth]\nbootstrap_api_key = 'change-me'\n", "sample secret"),
        ("[bus]\nnats_token = 'secret'\n", "sample secret"),
        ("[store]\nkind = 'postgres'\n", "needs store.url"),
        ("[bus]\nbeacon_s = 5.0\ndead_after_s = 6.0\n", "three beacons"),
        ("[server]\nroles = ['im']\n", 'bus.kind = "nats"'),
        ("[server]\nroles = []\n", "at least one"),
        ("[server]\nnode_id = 256\n", "server.node_id"),
        ("[gateway\n", "is not TOML"),
    ],
)
def test_what_cannot_work_is_refused_with_the_key_and_the_reason(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(write(tmp_path, text))
    assert expected in str(refused.value)


def test_an_unknown_variable_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANWAN_GATEWAY__LISTNE", "127.0.0.1:1")
    with pytest.raises(SettingsError, match="QIANWAN_GATEWAY__LISTNE is no setting"):
        load_settings()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path / "absent.toml")


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "[bus]\nnats_token = 'fjord-ember-91'\n"))
    assert "fjord" not in str(dict(walk(settings)))


def test_an_untouched_sample_changes_nothing(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, sample_toml()))
    assert dict(walk(settings)) == dict(walk(load_settings()))


def test_every_line_of_the_sample_can_be_uncommented(tmp_path: Path) -> None:
    lines = [
        line.removeprefix("#")
        for line in sample_toml().splitlines()
        if line.startswith("[") or (line.startswith("#") and not line.startswith("# ") and " = " in line)
    ]
    lines = [line for line in lines if not line.endswith(' = ""') or "node_name" in line]
    settings = load_settings(write(tmp_path, "\n".join(lines)))
    assert dict(walk(settings)) == dict(walk(load_settings()))


def test_the_sample_in_deploy_is_fresh() -> None:
    assert (ROOT / "deploy" / "qianwan.toml").read_text() == sample_toml(), (
        "write it anew: python -m program config sample > deploy/qianwan.toml"
    )
