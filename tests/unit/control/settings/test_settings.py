"""Settings: who wins, what is refused, and a sample file that cannot drift."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from control.settings import SettingsError, load, load_settings
from control.settings.build import build
from control.settings.environment import ignored
from control.settings.keys import walk
from control.settings.live import overlaid
from control.settings.sample import sample_toml
from control.settings.values import SecretUrl
from program.cli.commands import program_of

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
    settings, where = load(config, overrides)
    assert settings.gateway.listen == "127.0.0.1:1003"
    assert settings.gateway.ping_interval_s == 31
    assert settings.gateway.loops == 3
    assert where["gateway.listen"] == "command line"
    assert where["gateway.ping_interval_s"] == "QIANWAN_GATEWAY__PING_INTERVAL_S"
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
        ("[server]\nnode_name = 'ééééééééééééééééééééééééééééééééé'\n", "longer than 64 bytes"),
        ("[gateway]\nlisten = 'localhost:7801'\n", "no literal IP address"),
        ("[gateway]\nlisten = ''\n", "gateway.listen"),
        ("[gateway]\nadvertise = 'here'\n", "is not host:port"),
        ("[gateway]\nadvertise = '0.0.0.0:7801'\n", "nothing that a client can connect to"),
        ("[gateway]\nlisten = '[::]:7801'\n[bus]\nkind = 'nats'\n", "gateway.advertise: LBS cannot tell"),
        ("[control]\ngateways = ['[::]:7801']\n", "nothing that a client can connect to"),
        ("[gateway]\nproxy_from = ['10.0.0.0/40']\n", "gateway.proxy_from"),
        ("[gateway.core]\nmailbox = 1000\n", "power of two"),
        ("[gateway.core]\nunsent_bytes = 5\n", "0 or at least 4096"),
        ("[gateway.core]\nmax_topics = 512\n", "less than the 602 topics"),
        ("[im.service]\ngroups_per_user = 1000\n", "less than the 1102 topics"),
        ("[control]\nhttp = '7800'\n", "is not host:port"),
        ("[control]\ngateways = ['nowhere']\n", "is not host:port"),
        ("[control.lbs]\nhttp = '7800'\n", "control.lbs.http: '7800' is not host:port"),
        ("[control.lbs]\nkeep_s = 60\n", "control.lbs.keep_s: must not be below ttl_s"),
        ("[control.lbs]\nproxies = ['10.0.0.0/40']\n", "control.lbs.proxies"),
        ("[control.lbs]\norigins = ['app.example']\n", "'app.example' is no origin"),
        ("[control.lbs]\norigins = ['https://app.example/']\n", "is no origin"),
        ("[gateway]\naddresses = ['http://x:1']\n", "neither tcp://, ws:// nor wss://"),
        ("[gateway]\naddresses = ['tcp://x:1/path']\n", "a path are all there is"),
        ("[gateway]\naddresses = ['x:1;zone=a']\n", "no such attribute: zone"),
        ("[gateway]\naddresses = ['0.0.0.0:1']\n", "nothing that a client can connect to"),
        ("[control]\ngateways = ['10.0.0.1:1;colour=red']\n", "no such attribute: colour"),
        ("[auth]\nbootstrap_api_key = 'qwk_1'\n", "does not look like"),
        ("[auth]\ntoken_ttl_s = 1000000\n", "above token_max_ttl_s"),
        ("[store]\nurl = 'mysql://x'\n", "postgresql://"),
        ("[im.service]\nrecall_window_ms = 700000000\n", "above recall_window_max_ms"),
        ("[im.service]\nlogin_policy = [3, 10, []]\n", "im.service.login_policy: expected a table"),
        ("[im.service.login_policy]\nexclusive = [['mobile', 'fridge']]\n", "fridge"),
        ("[gateway]\ncore = 5\n", "gateway.core: expected a table"),
        ("gateway = 5\n", "gateway: expected a table"),
        ("[callbacks]\nurl = 'https://app.example/'\n", "callbacks.secret: is missing"),
        (
            "[callbacks]\nurl = 'http://app.example/'\nsecret = 'whsec_" + "A" * 40 + "'\n",
            "callbacks.url: must begin with https:// (http:// only where outgoing.plain_http is true)",
        ),
        (
            "[callbacks]\nurl = 'https://app.example/'\nsecret = 'whsec_" + "A" * 40 + "'\n"
            "secret_before = 'whsec_YQ=='\n",
            "callbacks.secret_before: whsec_... has 1 bytes",
        ),
        ("[push.relay]\nurl = 'https://app.example/'\nvendors = ['x']\n", "push.relay.secret: is missing"),
        ("[push.relay]\nurl = 'ftp://app.example/'\n", "push.relay.url: must begin with https://"),
        ("[push.relay]\nvendors = ['huawei']\n", "push.relay.url: is missing"),
        ("[engines.text]\ntypes = [999]\n", "engines.text.types: Expected `int` <= 255"),
        (
            "[engines.media]\nurl = 'https://10.0.0.1/'\nsecret = 'whsec_" + "A" * 40 + "'\n",
            "no public address",
        ),
        (
            "[engines.text]\nsecret = 'x'\nurl = 'https://app.example/'\n",
            "engines.text.secret: a secret begins with",
        ),
        ("[outgoing]\nnetworks = ['10.0.0.0/40']\n", "outgoing.networks"),
        ("[gateway\n", "is not TOML"),
    ],
)
def test_what_cannot_work_is_refused_with_the_key_and_the_reason(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(write(tmp_path, text))
    assert expected in str(refused.value)


def test_all_faults_are_told_at_once_whatever_they_hang_on() -> None:
    with pytest.raises(SettingsError) as refused:
        build(
            {
                "callbacks": {"url": "ftp://x/", "budget_ms": 1},
                "outgoing": {"networks": ["10.0.0.0/40"]},
                "gateway": {"listen": "here", "same_port": True, "processes": 2, "addresses": ["?"]},
                "bus": {"kind": "nats"},
            }
        )
    assert [line.split(": ")[0] for line in refused.value.lines] == [
        "callbacks.budget_ms",
        "callbacks.secret",
        "outgoing.networks",
        "gateway.listen",
        "gateway.addresses",
        "gateway.processes",
        "callbacks.url",
    ]


def test_an_unknown_variable_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANWAN_GATEWAY__LISTNE", "127.0.0.1:1")
    with pytest.raises(SettingsError, match="QIANWAN_GATEWAY__LISTNE is no setting"):
        load_settings()


def test_a_variable_of_any_depth_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANWAN_IM__SERVICE", '{"friend_only": true, "recall_window_ms": 1}')
    monkeypatch.setenv("QIANWAN_IM__SERVICE__RECALL_WINDOW_MS", "5000")
    monkeypatch.setenv("QIANWAN_IM__SERVICE__ACCOUNT_RATE__PER_S", "2.5")
    monkeypatch.setenv("QIANWAN_IM__SERVICE__LOGIN_POLICY__EXCLUSIVE", '[["mobile", "web"]]')
    monkeypatch.setenv("QIANWAN_GATEWAY__CORE__COMPRESS", "false")
    monkeypatch.setenv("QIANWAN_SERVER__ZONE", "7")
    settings, where = load()
    service = settings.im.service
    assert (service.friend_only, service.recall_window_ms) == (True, 5000)
    assert (service.account_rate.per_s, service.account_rate.burst) == (2.5, 2000), "the rest stays"
    assert service.login_policy.exclusive == (("mobile", "web"),)
    assert settings.gateway.core.compress is False
    assert settings.server.zone == "7"
    assert where["im.service.recall_window_ms"] == "QIANWAN_IM__SERVICE__RECALL_WINDOW_MS"
    assert where["im.service.friend_only"] == "QIANWAN_IM__SERVICE"
    assert where["im.service.edit_window_ms"] == "default"


def test_a_variable_that_cannot_be_read_says_how_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANWAN_SERVER__ROLES", "gateway,im")
    monkeypatch.setenv("QIANWAN_IM__SERVICE", "recall_window_ms=5")
    monkeypatch.setenv("QIANWAN_GATEWAY__LOOPS", "many")
    with pytest.raises(SettingsError) as refused:
        load()
    for name in ("QIANWAN_SERVER__ROLES", "QIANWAN_IM__SERVICE"):
        assert any("written as JSON" in line and name in line for line in refused.value.lines)
    assert any(line.startswith("gateway.loops: ") for line in refused.value.lines)


def test_what_kubernetes_sets_for_a_service_is_no_setting_and_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    links = {
        "QIANWAN_SERVICE_HOST": "10.96.0.7",
        "QIANWAN_SERVICE_PORT": "7800",
        "QIANWAN_SERVICE_PORT_HTTP_API": "7800",
        "QIANWAN_PORT": "tcp://10.96.0.7:7800",
        "QIANWAN_PORT_7800_TCP": "tcp://10.96.0.7:7800",
        "QIANWAN_PORT_7800_TCP_PROTO": "tcp",
        "QIANWAN_PORT_7800_TCP_PORT": "7800",
        "QIANWAN_PORT_7800_TCP_ADDR": "10.96.0.7",
        "QIANWAN_GATEWAY_PORT": "tcp://10.96.0.8:7801",
        "QIANWAN_GATEWAY_EDGE_SERVICE_HOST": "10.96.0.8",
    }
    for name, value in links.items():
        monkeypatch.setenv(name, value)
    load()
    assert ignored() == sorted(links)
    shown = CliRunner().invoke(program_of(["config"]), ["config", "check"])
    assert shown.exit_code == 0
    assert all(name in shown.stderr for name in links), "it is said, not hidden"


def test_files_of_the_lbs_that_serve_would_refuse_are_refused(tmp_path: Path) -> None:
    tables, config = tmp_path / "tables.csv", tmp_path / "q.toml"
    config.write_text(f'[control.lbs]\ntables = "{tables}"\n')
    for content in (None, "10.0.0.0/99 zone=east\n"):
        if content:
            tables.write_text(content)
        shown = CliRunner().invoke(program_of(["config"]), ["config", "check", "--config", str(config)])
        assert (shown.exit_code, str(tables) in shown.stderr) == (2, True)


def test_who_is_closed_before_it_pings_would_never_stay() -> None:
    for interval, longest in ((240, 60), (20, 6), (3600, 3600)):
        with pytest.raises(SettingsError, match="closed before its ping is here"):
            build({"gateway": {"ping_interval_s": interval, "core": {"max_timeout_s": longest}}})
    build({"gateway": {"ping_interval_s": 45, "core": {"max_timeout_s": 60}}})


@pytest.mark.parametrize(
    "name",
    ["QIANWAN_PORT", "QIANWAN_SERVICE", "QIANWAN_CONTROL__PORT", "QIANWAN_LISTEN", "QIANWAN_X__SERVICE_HOST"],
)
def test_what_only_resembles_such_a_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7800")
    with pytest.raises(SettingsError, match=f"{name} is no setting"):
        load()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://token@host:4222", "nats://********@host:4222"),
        ("tls://u:p@a:1,tls://u:p@b:2", "tls://********@b:2"),
        ("nats://u:p,x@y/z?w@host", "nats://********"),
        ("postgresql://u@h/d?password=x&sslmode=require", "postgresql://********@h/d?********"),
        ("postgresql://u@h/d?password=x@y", "postgresql://********"),
        ("postgresql://h/d?password=xy", "postgresql://h/d?********"),
        ("u:p@host", "********@host"),
        ("", ""),
    ],
)
def test_urls_are_shown_without_what_opens_them(url: str, shown: str) -> None:
    assert str(SecretUrl(url)) == shown


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path / "absent.toml")


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "[bus]\nnats_token = 'fjord-ember-91'\n"))
    assert "fjord" not in str(dict(walk(settings)))


def test_an_untouched_sample_changes_nothing(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, sample_toml()))
    assert settings == load_settings()


def test_every_line_of_the_sample_can_be_uncommented(tmp_path: Path) -> None:
    lines = [
        line.removeprefix("#")
        for line in sample_toml().splitlines()
        if line.startswith("[") or (line.startswith("#") and not line.startswith("# ") and " = " in line)
    ]
    settings = load_settings(write(tmp_path, "\n".join(lines)))
    assert settings == load_settings()


def test_the_sample_in_deploy_is_fresh() -> None:
    assert (ROOT / "deploy" / "qianwan.toml").read_text() == sample_toml(), (
        "write it anew: python -m program config sample > deploy/qianwan.toml"
    )


def test_live_settings_are_checked_also_where_etcd_gave_the_node_id() -> None:
    typed = build({"bus": {"kind": "nats"}, "etcd": {"endpoints": ["127.0.0.1:2379"]}})
    base = replace(typed, server=replace(typed.server, node_id=7))
    found = overlaid(base, {"log.level": "debug"})
    assert (found.log.level, found.server.node_id) == ("debug", 7)
    with pytest.raises(SettingsError, match=r"log\.level"):
        overlaid(base, {"log.level": "loud"})
