"""A client tells its server how it fares; it goes by the policy of the server and by what the app says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from qianwan import FileCursor, Policy, SettingError

from tests.support.qw1_responder import frame
from tests.support.scripted_gateway import ScriptedGateway, pack
from tests.support.sdk_client import client, until

QUICK = Policy(pong_min_s=0.1, pong_max_s=0.1, connect_timeout_s=1.0)


async def test_the_first_thing_after_a_login_is_a_report_and_a_changed_one_follows() -> None:
    async with ScriptedGateway() as gateway, client(gateway, version="9.1") as me:
        await until(lambda: gateway.reports)
        assert gateway.seen[:2] == [4, 24]
        assert gateway.reports[0]["version"] == "9.1"
        assert "last" not in gateway.reports[0]
        me.app_state(foreground=False)
        await until(lambda: len(gateway.reports) == 2)
        assert gateway.reports[1]["app"] == 1
        assert "last" not in gateway.reports[1]


async def test_another_network_means_a_new_connection_at_once_whatever_was_waited_for() -> None:
    async def never(seconds: float) -> None:
        await asyncio.sleep(3600)

    async with ScriptedGateway() as gateway, client(gateway, sleep=never) as me:
        me.network_changed("4g", carrier="460-00", region="bj")
        await until(lambda: gateway.logins == 2)
        await until(lambda: len(gateway.reports) == 2)
        said = gateway.reports[1]
        assert (said["net"], said["carrier"], said["region"]) == ("4g", "460-00", "bj")
        assert said["last"]["cause"] == 4
        assert me.quality.network == "4g/460-00"
        me.app_state(foreground=False)
        await until(lambda: len(gateway.reports) == 3)
        assert "last" not in gateway.reports[2]  # it is told once
        me.network_changed("4g", carrier="460-00")  # the same: nothing happens
        with pytest.raises(SettingError, match="a network is one of"):
            me.network_changed("carrier pigeon")
        assert gateway.logins == 2
        assert me.quality.reconnects == 1


async def test_how_a_connection_died_is_told_at_the_next_login() -> None:
    async with ScriptedGateway() as gateway, client(gateway, policy=QUICK) as me:
        gateway.deaf = True
        me.app_state(foreground=True)  # somebody looks: the connection is asked
        await until(lambda: me.engine._link is None)
        gateway.deaf = False
        await until(lambda: len(gateway.reports) >= 2, 30)  # who came back to deaf ears gives up after ten
        last = gateway.reports[-1]["last"]
        assert last["cause"] == 1
        assert 0 <= last["gap_ms"] <= last["lived_ms"]


async def test_a_policy_is_obeyed_announced_and_remembered(tmp_path: Path) -> None:
    told = {
        "rev": 7,
        "ping_interval_s": 30,
        "stagger_s": 1.0,
        "backoff_base_s": 9.0,
        "ceiling_s": 1e9,
        "new": 1,
    }
    async with ScriptedGateway() as gateway:
        store = FileCursor(tmp_path / "cursor")
        async with client(gateway, store=store) as me:
            next(iter(gateway.peers)).say(frame(12, pack(told)))
            await until(lambda: any(said["policy_rev"] == 7 for said in gateway.reports))
            assert me.quality.interval_s == 30
            dialer, waits = me.engine._dialer, me.engine._supervisor._reconnector
            assert dialer._settings.stagger_s == 1.0
            assert waits._backoff.base_s == 0.01  # the application chose that itself
        async with client(gateway, store=store) as me:
            assert me.quality.interval_s == 30
            assert me.engine.steering.vitals.policy.ceiling_s == 3600
            assert gateway.reports[-1]["policy_rev"] == 7
        position = store.load()
        position.policy_at -= 8 * 86_400
        store.save(position)
        async with client(gateway, store=store) as me:
            assert me.quality.interval_s == gateway.ping_interval_s


async def test_what_was_learned_of_a_network_is_there_after_a_restart(tmp_path: Path) -> None:
    policy = Policy(adaptive=True, floor_s=0.1, ping_interval_s=0.1, step_s=0.1, ceiling_s=0.4, successes=1)
    async with ScriptedGateway() as gateway:
        gateway.ping_interval_s = 1
        store = FileCursor(tmp_path / "cursor")
        async with client(gateway, store=store, policy=policy) as me:
            me.network_changed("wifi", name="home")
            await until(lambda: me.quality.settled)
            learned = me.quality.interval_s
            assert learned > 0.3
        async with client(gateway, store=store, policy=policy) as me:
            me.network_changed("wifi", name="home")
            assert (me.quality.settled, me.quality.interval_s) == (True, learned)
