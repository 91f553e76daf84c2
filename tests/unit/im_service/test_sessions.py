"""The table of sessions, the outbox, and the matrix of login policies."""

from __future__ import annotations

from typing import Any

from im_service.accounts.login_policy import class_of, must_go
from im_service.live.sessions import Sessions
from im_service.live.users import GONE
from im_service.ports import Session
from im_service.sending.publish_batch import PublishBatch
from im_service.settings import LoginPolicy
from im_service.storage.records import Device
from tests.support.im_downlink import RecordingDownlink


def device(name: str, platform: int, login_ms: int) -> Device:
    return Device("u", name, platform, 1, True, login_ms, login_ms, 0, b"")


def test_sessions_are_found_by_connection_and_user_and_removed_once() -> None:
    sessions = Sessions()
    phone, desk = Session(1, 7, "ann", "phone"), Session(2, 7, "ann", "desk")
    sessions.add(phone, 1, 10)
    sessions.add(desk, 4, 11)
    assert sessions.count == 2
    assert sorted(sessions.devices_here("ann")) == [("desk", 4), ("phone", 1)]
    assert sessions.remove(phone) is not None
    assert sessions.remove(phone) is None
    assert sessions.online("ann")
    sessions.remove(desk)
    assert (sessions.count, sessions.online("ann")) == (0, False)


def test_a_reused_connection_number_is_another_session() -> None:
    sessions = Sessions()
    old, new = Session(1, 7, "ann", "phone"), Session(1, 7, "ben", "phone")
    sessions.add(old, 1, 10)
    sessions.remove(old)
    sessions.add(new, 1, 11)
    assert sessions.remove(old) is None
    assert sessions.online("ben")


def test_a_stray_session_is_not_online_and_gives_way_to_a_login() -> None:
    sessions = Sessions()
    session = Session(1, 7, "ann", "phone")
    sessions.stray(session)
    assert (sessions.count, sessions.online("ann")) == (0, False)
    sessions.add(session, 1, 5)
    assert (sessions.count, sessions.online("ann")) == (1, True)


def test_who_waits_for_their_client_is_here_and_not_online() -> None:
    sessions = Sessions()
    phone, desk = Session(1, 7, "ann", "phone"), Session(2, 7, "ann", "desk")
    first, second = sessions.add(phone, 1, 10), sessions.add(desk, 4, 11)
    first.away = GONE
    assert (sessions.online("ann"), sessions.away("ann")) == (True, False)
    assert sessions.devices_here("ann") == [("desk", 4)]
    second.away = GONE
    assert (sessions.online("ann"), sessions.away("ann"), sessions.here("ann")) == (False, True, True)
    assert (sessions.away_here(), sessions.devices_kept("ann")) == (["ann"], {"phone", "desk"})
    sessions.remove(phone)
    sessions.remove(desk)
    assert (sessions.away("ann"), sessions.here("ann")) == (False, False)


def test_others_tell_who_is_away_until_their_words_are_lost() -> None:
    sessions = Sessions()
    sessions.heard_away("ben", True)
    assert (sessions.away("ben"), sessions.away("eve")) == (True, False)
    sessions.heard_away("ben", False)
    assert not sessions.away("ben")
    sessions.heard_away("ben", True)
    sessions.forget_away()
    assert not sessions.away("ben")


def test_publications_keep_their_order_over_nodes() -> None:
    downlink = RecordingDownlink()
    box = PublishBatch()
    box.publish(1, "u/a", 6, b"\x01", 0, 11)
    box.publish(2, "u/a", 6, b"\x02", 0, 12)
    box.publish(1, "u/a", 6, b"\x03")
    box.publish(1, "u/a", 6, b"\x04", 0, 11)
    box.flush(downlink)
    assert [item[2] for item in downlink.published] == [b"\x01", b"\x02", b"\x03", b"\x04"]


def test_classes_of_platforms() -> None:
    assert [class_of(n) for n in range(9)] == [
        "other", "mobile", "mobile", "web", "desktop", "desktop", "desktop", "other", "other",
    ]  # fmt: skip


def test_policies_choose_who_goes() -> None:
    others = [device("phone", 1, 1), device("tablet", 2, 2), device("page", 3, 3)]
    assert must_go(LoginPolicy(mode="one"), ("desk", 4), others) == ["phone", "tablet", "page"]
    assert must_go(LoginPolicy(mode="one_per_class"), ("desk", 4), others) == ["page"]
    assert must_go(LoginPolicy(mode="one_per_class"), ("new", 1), others) == ["phone", "tablet"]
    assert must_go(LoginPolicy(max_devices=3), ("desk", 4), others) == ["phone"]
    assert must_go(LoginPolicy(max_devices=10), ("desk", 4), others) == []
    apart = LoginPolicy(mode="exclusive", exclusive=(("web", "desktop"),))
    assert must_go(apart, ("desk", 4), others) == ["page"]


def test_the_same_device_never_counts_as_another() -> None:
    others = [device("phone", 1, 1)]
    modes: tuple[Any, ...] = ("one", "one_per_class", "newest", "exclusive")
    for mode in modes:
        policy = LoginPolicy(mode=mode, max_devices=1, exclusive=(("mobile", "mobile"),))
        assert must_go(policy, ("phone", 1), others) == []
