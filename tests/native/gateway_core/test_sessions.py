"""Login, refusal, requests and answers, kicks, policy, keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control.gateway.topics import HELD
from crypto.handshake import generate_keypair
from frame import frames
from frame.constants import CloseCode, FrameType, Reject
from gateway_core import (
    EV_AUTH,
    EV_CALL,
    EV_CLOSED,
    EV_SEND,
    EV_SESSION,
    EV_TOPIC,
    Gateway,
    GatewayConfig,
    NotRunning,
)
from tests.support.gateway_client import Gone, Rejected, WireClient, auth_body, uv, uv_get, wait_for
from tests.support.gateway_harness import IGNORED, REFUSED, GatewayHarness

Start = Callable[..., GatewayHarness]


@pytest.mark.parametrize("websocket", [False, True])
@pytest.mark.parametrize("suite", [1, 2, 3])
def test_login_ping_and_answers_over_every_suite_and_carrier(
    gateway: GatewayHarness, suite: int, websocket: bool
) -> None:
    client = gateway.login("ann", suite=suite, websocket=websocket)
    assert client.ping() == uv(0)
    conn = gateway.conn("ann")
    client.send(
        frames.build(FrameType.SEND, uv(7) + b"\x05u/bobhello"),
        frames.build(FrameType.CALL, uv(8) + b"\x04timeX"),
    )
    wait_for(lambda: gateway.of_kind(EV_CALL))
    assert gateway.of_kind(EV_SEND) == [(EV_SEND, conn, "ann", "d1", 7, "u/bob", b"hello")]
    assert gateway.of_kind(EV_CALL) == [(EV_CALL, conn, "ann", "d1", 8, "time", b"X")]
    gateway.gateway.reply(conn, FrameType.SEND_ACK, 7, 0, b"ok")
    gateway.gateway.reply_many([(conn, FrameType.RETURN, 8, 404, b"no")])
    assert client.expect(FrameType.SEND_ACK) == uv(7) + uv(0) + b"ok"
    assert client.expect(FrameType.RETURN) == uv(8) + uv(404) + b"no"


def test_auth_event_carries_what_the_client_said(gateway: GatewayHarness) -> None:
    client = gateway.login("eve", "phone", suite=3)
    (event,) = gateway.of_kind(EV_AUTH)
    assert client.channel is not None
    host, _, port = event[9].partition(":")
    assert event[2:9] == (3, client.channel.handshake_hash, 1, "eve", b"b" * 32, "phone", 6)
    assert (host, int(port)) == ("127.0.0.1", client.sock.getsockname()[1])
    assert event[10] is False
    gateway.login("eve", "tablet", websocket=True)
    assert gateway.of_kind(EV_AUTH)[-1][10] is True, "over WebSocket"


def test_refused_login_is_told_why_and_closed(gateway: GatewayHarness) -> None:
    client = gateway.connect().handshake()
    client.frame(FrameType.AUTH, auth_body(REFUSED.encode()))
    body = client.expect(FrameType.CLOSE)
    assert (uv_get(body)[0], body[2:]) == (CloseCode.AUTH_FAILED, b"no")
    with pytest.raises(Gone):
        client.next()
    assert gateway.of_kind(EV_CLOSED) == []


def test_websocket_close_code_is_the_application_code(gateway: GatewayHarness) -> None:
    client = gateway.connect(websocket=True).handshake()
    client.frame(FrameType.AUTH, auth_body(REFUSED.encode()))
    assert client.close_code() == CloseCode.AUTH_FAILED
    assert client.ws_close == CloseCode.AUTH_FAILED


def test_no_authentication_in_time_closes(start_gateway: Start) -> None:
    gateway = start_gateway(auth_timeout_s=1)
    silent = gateway.connect()
    half = gateway.connect()
    half.write(half.prologue)
    shaken = gateway.connect().handshake()
    asked = gateway.connect().handshake()
    asked.frame(FrameType.AUTH, auth_body(IGNORED.encode()))
    assert shaken.close_code() == asked.close_code() == CloseCode.AUTH_TIMEOUT
    for client in (silent, half):
        with pytest.raises(Gone):
            client.stream(1)
    assert gateway.reasons()["auth_timeout"] == 4


def test_idle_sessions_are_closed_and_announced_intervals_honoured(start_gateway: Start) -> None:
    gateway = start_gateway(ping_interval_s=1, grace_s=0)
    idle = gateway.login("idle")
    patient = gateway.login("patient")
    patient.frame(FrameType.PING, b"\x00" + uv(600))
    patient.expect(FrameType.PONG)
    assert idle.close_code() == CloseCode.IDLE_TIMEOUT
    wait_for(lambda: gateway.closed_codes("idle") == [CloseCode.IDLE_TIMEOUT])
    assert patient.ping() == uv(0)


def test_reject_codes(gateway: GatewayHarness) -> None:
    for prologue, code, data in (
        (b"QW\x02\x01\x01\x00\x00\x01", Reject.BAD_VERSION, b""),
        (b"QW\x01\x02\x01\x00\x00\x01", Reject.UNSUPPORTED, b""),
        (b"QW\x01\x01\x09\x00\x00\x01", Reject.UNSUPPORTED, b""),
        (b"QW\x01\x01\x01\x04\x00\x01", Reject.UNSUPPORTED, b""),
        (b"QW\x01\x01\x01\x00\x00\x63", Reject.UNKNOWN_KEY, b"KEYSET"),
    ):
        client = gateway.connect()
        client.prologue = prologue
        with pytest.raises(Rejected) as caught:
            client.handshake()
        assert (caught.value.code, caught.value.data) == (code, data)
        with pytest.raises(Gone):
            client.stream(1)


def test_rotated_keys_serve_old_and_new_clients(gateway: GatewayHarness) -> None:
    private, public = generate_keypair()
    gateway.gateway.set_keys([(1, gateway.private, gateway.public), (2, private, public)], b"NEXT")
    wait_for(lambda: gateway.stats()["commands"] >= 4)
    old = gateway.login("old")
    new = WireClient(gateway.gateway.port, public, key_id=2)
    gateway.clients.append(new)
    new.handshake().auth("new")
    assert old.ping() == new.ping()


def test_kick_spares_newer_sessions_and_other_devices(gateway: GatewayHarness) -> None:
    phone, tablet, laptop = (gateway.login("ann", device) for device in ("phone", "tablet", "laptop"))
    gateway.gateway.kick("ann", "phone", 99, CloseCode.SUPERSEDED, "again")
    assert phone.close_code() == CloseCode.SUPERSEDED
    gateway.gateway.kick("ann", None, 3, CloseCode.KICKED, "out")
    assert tablet.close_code() == CloseCode.KICKED
    assert laptop.ping() == uv(0)
    wait_for(lambda: sorted(gateway.closed_codes("ann")) == [CloseCode.SUPERSEDED, CloseCode.KICKED])


def test_policy_rides_with_the_next_pong(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    gateway.gateway.set_policy(1, 300, 120, b"POLICY")
    gateway.gateway.set_policy_rows(0, [(1, 1, 0, 0)])
    wait_for(lambda: gateway.stats()["commands"] >= 7)
    client.frame(FrameType.PING)
    assert client.expect(FrameType.POLICY) == b"POLICY"
    assert client.expect(FrameType.PONG) == uv(300)
    assert client.ping() == uv(300)
    late = gateway.login("bob")
    late.frame(FrameType.PING)
    assert late.expect(FrameType.POLICY) == b"POLICY"


def test_commands_to_a_dead_connection_hit_nobody(gateway: GatewayHarness) -> None:
    first = gateway.login("first")
    dead = gateway.conn("first")
    first.close()
    gateway.wait_sessions(0)
    seconds = [gateway.login(f"n{i}") for i in range(8)]
    assert dead & 0xFFFFFFFF in {gateway.conn(f"n{i}") & 0xFFFFFFFF for i in range(8)}
    gateway.gateway.send(dead, FrameType.MSG, b"for the dead")
    gateway.gateway.refuse(dead, CloseCode.KICKED)
    gateway.gateway.join(dead, "r/x")
    gateway.gateway.login(dead, "ghost", "d1", 0, 1, b"")
    wait_for(lambda: gateway.closed_codes("ghost") == [0])
    assert gateway.stats()["stale_commands"] == 4
    for client in seconds:
        client.ping()
        assert not client.frames


def test_client_close_code_reaches_the_application(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    client.frame(FrameType.CLOSE, uv(CloseCode.NORMAL) + b"bye")
    wait_for(lambda: gateway.closed_codes("ann") == [CloseCode.NORMAL])
    client.close()


def test_topics_are_announced_with_their_first_and_last_member(start_gateway: Start) -> None:
    gateway = start_gateway(announce_topics=True)
    client = gateway.login("ann")
    gateway.gateway.join(gateway.conn("ann"), "r/1")
    gateway.gateway.leave(gateway.conn("ann"), "r/1")
    wait_for(lambda: len(gateway.of_kind(EV_TOPIC)) == 3)
    client.close()
    gateway.wait_sessions(0)
    wait_for(lambda: len(gateway.of_kind(EV_TOPIC)) == 4)
    assert [event[1:] for event in gateway.of_kind(EV_TOPIC)] == [
        ("u/ann", 0, True),
        ("r/1", 0, True),
        ("r/1", 0, False),
        ("u/ann", 0, False),
    ]


def test_who_was_told_of_a_user_or_topic_hears_that_nobody_is_here(start_gateway: Start) -> None:
    """A login and a join that come after the end of their connection were announced by whoever gave them."""
    gateway = start_gateway(announce_topics=True)
    gateway.login("bob")
    peer = gateway.connect().handshake()
    peer.frame(FrameType.AUTH, auth_body(IGNORED.encode()))
    wait_for(lambda: len(gateway.of_kind(EV_AUTH)) == 2)
    gone = gateway.of_kind(EV_AUTH)[-1][1]
    peer.close()
    wait_for(lambda: gateway.stats()["live"]["connections"] == 1)
    for user in ("ann", "bob"):
        gateway.gateway.login(gone, user, "d1", 1, 7, b"")
    for topic in ("r/1", "r/2"):
        gateway.gateway.join(gateway.conn("bob"), "r/2")
        gateway.gateway.join(gone, topic)
    wait_for(lambda: len(gateway.of_kind(EV_TOPIC)) == 6)
    assert [event[1:] for event in gateway.of_kind(EV_TOPIC)] == [
        ("u/bob", 0, True),
        ("u/ann", 0, True),
        ("u/ann", 0, False),
        ("r/2", 0, True),
        ("r/1", 0, True),
        ("r/1", 0, False),
    ]


def test_drain_says_goaway_and_takes_nobody_new(gateway: GatewayHarness) -> None:
    clients = [gateway.login(f"u{i}") for i in range(6)]
    gateway.gateway.drain(CloseCode.DRAINING, 500, 1000, "moving", 0.05)
    for client in clients:
        assert client.expect(FrameType.GOAWAY) == uv(3000) + uv(500) + uv(1000) + b"\0moving"
    with pytest.raises(OSError, match="refused"):
        gateway.connect()


def test_start_and_stop_repeat_in_one_process() -> None:
    private, public = generate_keypair()
    gateway = Gateway(GatewayConfig(port=0, loops=3, max_connections=1000), [(1, private, public)])
    with pytest.raises(NotRunning):
        gateway.publish("r/1", FrameType.EVENT, b"")
    for _ in range(3):
        gateway.start()
        with WireClient(gateway.port, public) as client:
            client.handshake()
            wait_for(lambda: gateway.stats()["handshakes"] == 1)
        gateway.stop()
        gateway.stop()
        assert not any(gateway.stats()["live"].values())


def test_sessions_alive_at_stop_are_reported_closed() -> None:
    gateway = GatewayHarness(loops=1).start()
    gateway.login("ann")
    gateway._stop.set()
    gateway._pump.join()
    gateway.gateway.stop()
    last: list[tuple[Any, ...]] = gateway.gateway.take_events()
    assert [(event[0], event[2], event[4]) for event in last] == [(EV_CLOSED, "ann", CloseCode.DRAINING)]
    assert not any(gateway.stats()["live"].values())


def test_bodies_above_the_protocol_limit_are_an_error_here(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    conn = gateway.conn("ann")
    with pytest.raises(ValueError, match="61440"):
        gateway.gateway.send(conn, FrameType.MSG, bytes(61_441))
    with pytest.raises(ValueError, match="61440"):
        gateway.gateway.publish("u/ann", FrameType.MSG, bytes(61_441))
    gateway.gateway.publish("u/ann", FrameType.MSG, bytes(61_440))
    assert client.expect(FrameType.MSG) == bytes(61_440)


def test_all_topics_and_sessions_can_be_told_again(start_gateway: Start) -> None:
    gateway = start_gateway(loops=2)
    for user, device in (("ann", "d1"), ("ann", "d2"), ("bob", "d1")):
        gateway.login(user, device)
        gateway.gateway.join_user(user, "g/1")
    gateway.joined(3)
    gateway.gateway.tell(0, False)
    gateway.gateway.tell(1, True)
    wait_for(lambda: [event[1:] for event in gateway.of_kind(EV_TOPIC)].count(("", 0, False)) == 1)
    wait_for(lambda: [event[1:] for event in gateway.of_kind(EV_TOPIC)].count(("", 1, False)) == 1)
    told = {event[1] for event in gateway.of_kind(EV_TOPIC) if event[3] == HELD}
    assert told == {"u/ann", "u/bob", "g/1"}
    gateway.gateway.tell(0, True)
    wait_for(lambda: len(gateway.of_kind(EV_SESSION)) == 3)
    names = {gateway.conns[event[2], event[3]]: event[1:] for event in gateway.of_kind(EV_SESSION)}
    assert all(conn == told[0] for conn, told in names.items())
    assert sorted(told[1:3] for told in names.values()) == [("ann", "d1"), ("ann", "d2"), ("bob", "d1")]
    assert {told[3] for told in names.values()} == {6}
    assert sorted(told[4] for told in names.values()) == [1, 2, 3]
    assert {told[5] for told in names.values()} == {""}
    gateway.gateway.leave_user("ann", "g/1")
    gateway.joined(1)


def test_the_rooms_of_a_session_are_told_with_it_and_what_it_wears_there(start_gateway: Start) -> None:
    gateway = start_gateway()
    for user, topics in (
        ("ann", ("r/hall", "r/hall#red", "g/1", "r/yard", "r/hall#blue")),
        ("bob", ("r/hallway",)),
    ):
        gateway.login(user, "d1")
        for topic in topics:
            gateway.gateway.join_user(user, topic)
    gateway.joined(6)
    gateway.gateway.leave_user("ann", "r/yard")
    gateway.joined(5)
    gateway.gateway.tell(0, True)
    wait_for(lambda: [event[1:] for event in gateway.of_kind(EV_TOPIC)].count(("", 0, False)) == 1)
    told = [(event[2], event[6]) for event in gateway.of_kind(EV_SESSION)]
    assert next(line for line in told if line[0] == "ann") == ("ann", "")
    assert {(user, *sorted(room.split("#"))) for user, room in told} == {
        ("ann", ""),
        ("bob", ""),
        ("ann", "blue", "r/hall", "red"),
        ("bob", "r/hallway"),
    }
    assert len(told) == 4
