"""Workers: what each one is told, how often a dying one is started, how reports add up."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.settings import Settings, SettingsError
from control.settings.build import build
from control.settings.values import parse_address
from control.workers.children import RESTART_WINDOW_S, RESTARTS, Board, Child
from control.workers.plan import worker_settings
from control.workers.reports import merged


def settings(tmp_path: Path, **gateway: object) -> Settings:
    return build(
        {
            "server": {"data_dir": str(tmp_path), "roles": ["gateway"], "node_id": 7},
            "gateway": {"processes": 3, "listen": "127.0.0.1:7801", **gateway},
            "bus": {"kind": "nats"},
        }
    )


def test_each_worker_has_its_own_number_port_and_share(tmp_path: Path) -> None:
    plans = [worker_settings(settings(tmp_path), index) for index in range(3)]
    assert [plan.server.node_id for plan in plans] == [7, 8, 9]
    assert [plan.node_name for plan in plans] == ["node-7", "node-8", "node-9"]
    assert [parse_address(plan.gateway.listen)[1] for plan in plans] == [7801, 7802, 7803]
    assert all(plan.gateway.loops == 1 and plan.gateway.processes == 1 for plan in plans)


def test_further_addresses_count_up_too_but_what_ends_tls_is_one_for_all(tmp_path: Path) -> None:
    given = ["192.0.2.1:7801;isp=ct", "ws://[2001:db8::1]:80/deep", "wss://chat.example/qw1"]
    plan = worker_settings(settings(tmp_path, addresses=given), 2)
    assert plan.gateway.addresses == (
        "tcp://192.0.2.1:7803;isp=ct",
        "ws://[2001:db8::1]:82/deep",
        "wss://chat.example/qw1",
    )
    assert worker_settings(settings(tmp_path, addresses=given), 0).gateway.addresses == tuple(given)


def test_settings_of_the_operator_win_over_those_of_workers(tmp_path: Path) -> None:
    plan = worker_settings(settings(tmp_path, same_port=True, loops=2, core={"mailbox": 64}), 2)
    assert plan.gateway.listen == "127.0.0.1:7801"
    assert plan.gateway.loops == 2
    assert plan.gateway.core.mailbox == 64


@pytest.mark.parametrize(
    "gateway", [{"listen": "127.0.0.1:0"}, {"listen": "127.0.0.1:65535"}, {"addresses": ["192.0.2.1:65535"]}]
)
def test_ports_that_cannot_be_counted_up_are_refused(tmp_path: Path, gateway: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="port"):
        settings(tmp_path, **gateway)


def test_processes_need_the_gateway_role_and_a_bus(tmp_path: Path) -> None:
    for wrong in ({"bus": {"kind": "memory"}}, {"server": {"roles": ["gateway", "im", "control"]}}):
        with pytest.raises(SettingsError, match="processes"):
            build({"gateway": {"processes": 2}, "bus": {"kind": "nats"}} | wrong)


def test_a_child_that_keeps_dying_waits_for_its_window() -> None:
    child = Child("worker", lambda: 0)
    for number in range(RESTARTS):
        assert child.died(float(number))
        assert child.again_at == pytest.approx(number, abs=1.0)
    assert not child.died(float(RESTARTS))
    assert child.again_at == RESTART_WINDOW_S
    assert child.died(RESTARTS + RESTART_WINDOW_S + 10)


def test_the_board_holds_what_was_written_last() -> None:
    board = Board(3)
    board.set(1, 4711, 2)
    board.set(1, 4712, 3)
    assert board.all() == [(0, 0), (4712, 3), (0, 0)]


def test_reports_add_up() -> None:
    one = {"stats": {"logins": 2, "max_turn_ms": 7.0, "live": {"sessions": 1}, "k": {1: 5}}, "up": True}
    two = {"stats": {"logins": 3, "max_turn_ms": 3.0, "live": {"sessions": 2}, "k": {2: 1}}, "up": False}
    assert merged([one, two]) == {
        "stats": {"logins": 5, "max_turn_ms": 7.0, "live": {"sessions": 3}, "k": {1: 5, 2: 1}},
        "up": False,
    }
    assert merged([]) == {}
