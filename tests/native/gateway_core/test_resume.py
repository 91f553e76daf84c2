"""A session outlives its connection: taken up again with a ticket, nothing lost and nothing twice."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable

import pytest
from msgspec.msgpack import encode

from crypto.noise import Initiator
from frame.constants import CloseCode, FrameType, Reject, ResumeFlag, ResumeReason
from gateway_core import EV_CALL, EV_CLOSED, EV_PARKED, EV_RESUMED, EV_TICKET, EV_TOPIC
from tests.support.gateway_client import SYNC_NIL, Gone, Rejected, Ticket, WireClient, uv, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]


@pytest.fixture
def gateway(start_gateway: Start) -> GatewayHarness:
    return start_gateway(loops=2, tickets=True)


def enter(gateway: GatewayHarness, user: str = "ann", **options: object) -> tuple[WireClient, Ticket]:
    client = gateway.login(user, **options)
    return client, client.take_ticket()


def say(gateway: GatewayHarness, *bodies: bytes, user: str = "ann") -> None:
    gateway.gateway.publish_many([(f"u/{user}", FrameType.MSG, body, 0, 0) for body in bodies])


def cut(client: WireClient) -> None:
    """The connection is reset: no CLOSE, no end of stream."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def parked(gateway: GatewayHarness, n: int = 1) -> None:
    wait_for(lambda: gateway.stats()["live"]["parked"] == n, what=f"{n} parked")


def back(gateway: GatewayHarness, ticket: Ticket, seen: int, **options: object) -> WireClient:
    client = gateway.connect(ticket=ticket, **options).resume(seen)
    client.frame(FrameType.ACK, ack=seen)
    return client


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("websocket", [False, True])
@pytest.mark.parametrize("suite", [1, 2, 3])
def test_a_lost_connection_loses_no_message(
    gateway: GatewayHarness, suite: int, websocket: bool, lite: bool
) -> None:
    client, ticket = enter(gateway, suite=suite, websocket=websocket)
    say(gateway, b"1", b"2")
    assert [client.expect(FrameType.MSG) for _ in range(2)] == [b"1", b"2"]
    cut(client)
    parked(gateway)
    say(gateway, b"3", b"4")
    again = back(gateway, ticket, 1, suite=suite, websocket=websocket, lite=lite)
    assert again.taken_up(2, 4) == [b"2", b"3", b"4"]
    newer = again.take_ticket()
    assert newer.psk != ticket.psk
    say(gateway, b"5")
    assert again.expect(FrameType.MSG) == b"5"
    assert again.ping() == uv(0)
    wait_for(lambda: gateway.of_kind(EV_RESUMED))
    assert gateway.of_kind(EV_CLOSED) == []
    conn = gateway.conn("ann")
    assert gateway.of_kind(EV_PARKED) == [(EV_PARKED, conn, "ann", "d1")]
    (told,) = gateway.of_kind(EV_RESUMED)
    assert told[:5] == (EV_RESUMED, conn, "ann", "d1", True)
    assert told[6] is websocket
    assert gateway.stats()["resumed_early"] == 1


def test_the_answer_comes_with_message_2_and_nothing_changes_before_the_first_record(
    gateway: GatewayHarness,
) -> None:
    client, ticket = enter(gateway)
    say(gateway, b"1")
    assert client.expect(FrameType.MSG) == b"1"
    early = gateway.connect(ticket=ticket).resume(0)
    assert early.taken_up(1, 1) == [b"1"]
    say(gateway, b"2")
    assert client.expect(FrameType.MSG) == b"2"
    assert client.ping() == uv(0)
    early.frame(FrameType.ACK, ack=1)
    assert client.close_code() == CloseCode.SUPERSEDED
    assert early.expect(FrameType.MSG) == b"2"
    early.take_ticket()
    assert gateway.closed_codes("ann") == []


def test_who_says_no_age_is_answered_behind_the_first_record(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    cut(client)
    parked(gateway)
    again = gateway.connect(ticket=ticket).resume(0, age_ms=60_000)
    assert again.quiet(0.1)
    again.frame(FrameType.ACK, ack=0)
    assert again.taken_up(1, 0) == []
    assert gateway.stats()["resumed_late"] == 1


def test_what_the_connection_before_asked_is_not_answered_on_this_one(gateway: GatewayHarness) -> None:
    """Both ask under one number: an answer to the first would be taken for one to the second."""
    client, ticket = enter(gateway)
    client.frame(FrameType.CALL, uv(101) + b"\x04time")
    wait_for(lambda: gateway.of_kind(EV_CALL))
    cut(client)
    parked(gateway)
    again = back(gateway, ticket, 0)
    assert again.taken_up(1, 0) == []
    again.frame(FrameType.CALL, uv(101) + b"\x04time")
    wait_for(lambda: len(gateway.of_kind(EV_CALL)) == 2)
    old, new = (event[4] for event in gateway.of_kind(EV_CALL))
    assert old != new
    conn, stale = gateway.conn("ann"), gateway.stats()["stale_commands"]
    gateway.gateway.reply(conn, FrameType.RETURN, old, 0, b"old")
    gateway.gateway.reply_many(
        [(conn, FrameType.RETURN, old, 0, b"old"), (conn, FrameType.RETURN, new, 0, b"new")]
    )
    again.take_ticket()
    assert again.expect(FrameType.RETURN) == uv(101) + uv(0) + b"new"
    assert again.ping() == uv(0)
    assert gateway.stats()["stale_commands"] == stale + 2


def test_numbers_of_requests_leave_room_for_the_connection(gateway: GatewayHarness) -> None:
    client, _ = enter(gateway)
    client.frame(FrameType.CALL, uv((1 << 56) - 1) + b"\x04time")
    wait_for(lambda: gateway.of_kind(EV_CALL))
    gateway.gateway.reply(gateway.conn("ann"), FrameType.RETURN, gateway.of_kind(EV_CALL)[0][4], 0, b"")
    assert client.expect(FrameType.RETURN) == uv((1 << 56) - 1) + uv(0)
    client.frame(FrameType.CALL, uv(1 << 56) + b"\x04time")
    with pytest.raises(Gone):
        client.next()
    assert gateway.reasons()["frame_body"] == 1


def test_a_repeated_first_flight_changes_nothing(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    say(gateway, b"1")
    client.expect(FrameType.MSG)
    first = gateway.connect(ticket=ticket).resume(0)
    first.taken_up(1, 1)
    for _ in range(3):
        echo = gateway.connect()
        echo.write(first.flight)
        length = struct.unpack(">H", echo.stream(2))[0]
        echo.stream(length)
        assert echo.quiet(0.05), "no answer to a repetition"
        echo.write(bytes(20))
        with pytest.raises(Gone):
            echo.stream(1)
    assert gateway.stats()["replays"] == 3
    assert client.ping() == uv(0)
    first.frame(FrameType.ACK, ack=1)
    first.take_ticket()
    assert gateway.stats()["resumed"] == 1


def test_a_ticket_serves_for_a_login(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    client.frame(FrameType.CLOSE, uv(1000))
    with pytest.raises(Gone):
        client.next()
    wait_for(lambda: gateway.closed_codes("ann") == [1000])
    again = gateway.connect(ticket=ticket).handshake()
    again.auth_with_ticket()
    assert again.expect(FrameType.AUTH_OK) == b"again"
    again.take_ticket()
    ((_, conn, suite, user, device, platform, rev, until, issued, session, peer, websocket),) = (
        gateway.of_kind(EV_TICKET)
    )
    assert (suite, user, device, platform, rev) == (1, "ann", "d1", 6, 5)
    assert 0 <= gateway.until - until < 128
    assert (conn, session, websocket) == (gateway.conn("ann"), 1, False)
    assert 0 <= gateway.until - 3600 - issued <= 2
    assert peer.startswith("127.0.0.1:")


def test_after_a_refused_resume_the_ticket_logs_in(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    client.frame(FrameType.CLOSE, uv(1000))
    wait_for(lambda: gateway.closed_codes("ann") == [1000])
    again = back(gateway, ticket, 0)
    assert again.expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.EXPIRED])
    again.auth_with_ticket()
    assert again.expect(FrameType.AUTH_OK) == b"again"


def test_a_wrong_proof_is_refused(gateway: GatewayHarness) -> None:
    _, ticket = enter(gateway)
    liar = gateway.connect(ticket=ticket).handshake()
    liar.ticket = ticket._replace(psk=bytes(32))
    liar.auth_with_ticket()
    assert liar.close_code() == CloseCode.AUTH_FAILED


def test_rejected_tickets(gateway: GatewayHarness) -> None:
    _, ticket = enter(gateway)
    flipped = bytearray(ticket.sealed)
    for sealed in (
        ticket.sealed[:-1],
        ticket.sealed + b"x",
        bytes(len(ticket.sealed)),
        b"x",
        bytes(flipped[:40]) + bytes([flipped[40] ^ 1]) + bytes(flipped[41:]),
    ):
        with pytest.raises(Rejected) as caught:
            gateway.connect(ticket=ticket._replace(sealed=sealed)).handshake()
        assert caught.value.code == Reject.TICKET_REFUSED
    thief = gateway.connect(ticket=ticket._replace(psk=bytes(32)))
    with pytest.raises(Gone):
        thief.resume(0)
    gateway.gateway.set_ticket_keys([(8, b"n" * 32)], 1)
    with pytest.raises(Rejected) as caught:
        gateway.connect(ticket=ticket).handshake()
    assert caught.value.code == Reject.TICKET_REFUSED


def test_events_are_missed_and_rooms_are_left(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    conn = gateway.conn("ann")
    gateway.gateway.join(conn, "r/hall")
    gateway.gateway.join(conn, "r/hall#vip")
    gateway.gateway.join(conn, "g/team")
    gateway.joined(3)
    cut(client)
    parked(gateway)
    gateway.joined(1)
    gateway.gateway.join(conn, "r/hall")
    gateway.gateway.join_user("ann", "g/more")
    gateway.joined(2)
    gateway.gateway.publish("g/team", FrameType.MSG, b"m")
    gateway.gateway.publish("u/ann", FrameType.EVENT, b"\x02x")
    gateway.gateway.publish("u/ann", FrameType.EVENT, b"\x03\x92\xa1c\x05")
    again = back(gateway, ticket, 0)
    assert again.taken_up(1, 1, ResumeFlag.EVENTS_LOST | ResumeFlag.ROOMS_LEFT) == [b"m"]
    assert again.expect(FrameType.EVENT) == SYNC_NIL
    again.take_ticket()


def test_more_than_is_kept_is_said(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True, ring_messages=4)
    client, ticket = enter(gateway)
    cut(client)
    parked(gateway)
    say(gateway, *(b"%d" % n for n in range(6)))
    again = back(gateway, ticket, 1)
    assert again.expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.OVERFLOW])
    more = back(gateway, ticket, 2)
    assert more.taken_up(3, 6) == [b"2", b"3", b"4", b"5"]


ERASES = -3
OVERFLOW = ResumeReason.OVERFLOW


def said(talk: str, seq: int) -> bytes:
    return encode([talk, seq, "text"])


@pytest.mark.parametrize("connected", [False, True])
def test_what_was_taken_back_meanwhile_is_not_sent_again(gateway: GatewayHarness, connected: bool) -> None:
    client, ticket = enter(gateway)
    if not connected:
        cut(client)
        parked(gateway)
    say(gateway, said("s/ann:bob", 1), said("g/one", 1))
    gateway.gateway.publish("u/ann", FrameType.MSG, said("s/ann:bob", 2), ERASES)
    refused = back(gateway, ticket, 0)
    assert refused.expect(FrameType.RESUME_FAIL)[0] == OVERFLOW
    refused.close()
    again = back(gateway, ticket, 1)  # it has seen what was taken back
    assert again.taken_up(2, 3) == [said("g/one", 1), said("s/ann:bob", 2)]


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("by_user", [False, True])
def test_messages_of_a_group_are_not_sent_again_to_who_was_put_out_of_it(
    gateway: GatewayHarness, by_user: bool, connected: bool
) -> None:
    client, ticket = enter(gateway)
    gateway.gateway.join_user("ann", "g/team")
    gateway.joined(1)
    if not connected:
        cut(client)
        parked(gateway)
    say(gateway, said("s/ann:bob", 1))
    gateway.gateway.publish("g/team", FrameType.MSG, said("g/team", 1))
    say(gateway, said("s/ann:bob", 2))
    if by_user:
        gateway.gateway.leave_user("ann", "g/team")
    else:
        gateway.gateway.leave(gateway.conn("ann"), "g/team")
    gateway.joined(0)
    refused = back(gateway, ticket, 0)
    assert refused.expect(FrameType.RESUME_FAIL)[0] == OVERFLOW
    refused.close()
    assert back(gateway, ticket, 2).taken_up(3, 3) == [said("s/ann:bob", 2)]


def test_who_declines_tickets_gets_none_and_is_not_waited_for(gateway: GatewayHarness) -> None:
    client = gateway.connect().handshake()
    client.auth("ann", extras={"later": [{"tickets": False}, "tickets"], "tickets": False})
    assert client.ping() == b"\x00"  # nothing came before
    cut(client)
    gateway.wait_sessions(0)
    assert gateway.stats()["live"]["parked"] == 0
    for extras in ({}, {"tickets": True}, {"tickets": None}, {"ticket": False}, {"more": {"tickets": False}}):
        other = gateway.connect().handshake()
        other.auth("bob", extras=extras)
        other.take_ticket()
        other.close()


def test_an_event_that_takes_back_lets_go_of_all(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    cut(client)
    parked(gateway)
    say(gateway, said("g/one", 1))
    gateway.gateway.publish_many([("u/ann", FrameType.EVENT, b"\x01cleared", ERASES, 0)])
    say(gateway, said("g/one", 2))
    assert back(gateway, ticket, 0).expect(FrameType.RESUME_FAIL)[0] == OVERFLOW
    assert back(gateway, ticket, 1).taken_up(2, 2) == [said("g/one", 2)]


def test_acknowledged_messages_are_let_go(gateway: GatewayHarness) -> None:
    client, _ = enter(gateway)
    say(gateway, *(b"%d" % n for n in range(20)))
    for _ in range(20):
        client.expect(FrameType.MSG)
    assert gateway.stats()["live"]["unacked"] == 20
    client.frame(FrameType.PING, ack=15)
    client.expect(FrameType.PONG)
    assert gateway.stats()["live"]["unacked"] == 5


def test_a_session_waits_so_long_and_no_longer(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True, park_s=1)
    client, ticket = enter(gateway)
    cut(client)
    wait_for(lambda: gateway.closed_codes("ann") == [0])
    assert back(gateway, ticket, 0).expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.EXPIRED])


def test_the_one_that_waited_longest_gives_way(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True, park_most=10)
    for n in range(30):
        cut(enter(gateway, f"u{n}")[0])
        wait_for(lambda n=n: gateway.stats()["parked"] == n + 1)
    parked(gateway, 10)
    wait_for(lambda: len(gateway.of_kind(EV_CLOSED)) == 20)
    assert [event[2] for event in gateway.of_kind(EV_CLOSED)] == [f"u{n}" for n in range(20)]
    gateway.gateway.end_parked(CloseCode.DRAINING)
    parked(gateway, 0)


def test_who_waits_for_a_client_makes_room_for_those_who_come(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True, max_connections=8)
    for n in range(8):
        cut(enter(gateway, f"u{n}")[0])
        parked(gateway, n + 1)
    newcomer, _ = enter(gateway, "new")
    assert newcomer.ping() == uv(0)
    wait_for(lambda: gateway.closed_codes("u0") == [0])


def test_a_kick_reaches_who_has_no_connection(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    cut(client)
    parked(gateway)
    gateway.gateway.kick("ann", None, 99, CloseCode.KICKED, "out")
    wait_for(lambda: gateway.closed_codes("ann") == [CloseCode.KICKED])
    assert back(gateway, ticket, 0).expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.EXPIRED])


def test_who_ends_in_the_turn_in_which_all_are_told_again_is_told_as_gone_before_that_ends(
    start_gateway: Start,
) -> None:
    """Else what was told again and what is counted differ, and whoever listens believes the first."""
    gateway = start_gateway(tickets=True, announce_topics=True)
    for n in range(20):
        client, _ = enter(gateway)
        cut(client)
        parked(gateway)
        before = len(gateway.of_kind(EV_TOPIC))
        gateway.gateway.end_parked(2000)
        gateway.gateway.tell(0, False)
        wait_for(lambda n=n: [event[1] for event in gateway.of_kind(EV_TOPIC)].count("") > n)
        told = [event[1:] for event in gateway.of_kind(EV_TOPIC)[before:]]
        assert told[: told.index(("", 0, 0))][-1:] == [("u/ann", 0, 0)]


def test_an_idle_one_is_told_and_waits(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True, ping_interval_s=1, grace_s=0)
    client, ticket = enter(gateway)
    assert client.close_code() == CloseCode.IDLE_TIMEOUT
    parked(gateway)
    again = back(gateway, ticket, 0)
    assert again.taken_up(1, 0) == []


def test_random_first_flights_with_a_true_ticket_open_nothing(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    rng = random.Random(3)
    for _ in range(200):
        stranger = gateway.connect()
        message = rng.randbytes(rng.randint(48, 304))
        head = b"QW\x01\x02" + rng.choice([b"\x01", b"\x02", b"\x03"]) + b"\x00\x00\x01"
        stranger.write(
            head + bytes([len(ticket.sealed)]) + ticket.sealed + struct.pack(">H", len(message)) + message
        )
        with pytest.raises(Gone):
            stranger.stream(1)
        stranger.close()
    assert client.ping() == uv(0)
    assert gateway.stats()["resumed"] == 0


def test_a_reader_that_was_slow_gets_the_rest_on_its_new_connection(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True, send_buffer=8192, unsent_bytes=4096, ring_bytes=1 << 20)
    client, ticket = enter(gateway, rcvbuf=4096)
    bodies = [bytes([n]) * 8000 for n in range(60)]
    say(gateway, *bodies)
    wait_for(lambda: gateway.stats()["live"]["tails"] == 1)
    assert client.expect(FrameType.MSG) == bodies[0]
    again = back(gateway, ticket, 1)
    assert again.taken_up(2, 60) == bodies[1:]
    again.take_ticket()
    again.frame(FrameType.ACK, ack=60)
    assert again.ping() == uv(0)


def test_older_tickets_are_dead_once_a_newer_one_was_used(gateway: GatewayHarness) -> None:
    client, first = enter(gateway)
    cut(client)
    again = back(gateway, first, 0)
    again.taken_up(1, 0)
    second = again.take_ticket()
    cut(again)
    third = back(gateway, first, 0)
    third.taken_up(1, 0)  # the second one may have been lost
    cut(third)
    fourth = back(gateway, second, 0)
    fourth.taken_up(1, 0)
    assert back(gateway, first, 0).expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.EXPIRED])


def test_a_node_that_began_anew_says_so(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True)
    client, ticket = enter(gateway)
    gateway.gateway.stop()
    client.until_closed()
    gateway.gateway.start()
    gateway.gateway.set_ticket_keys(gateway.ticket_keys, gateway.node)
    again = back(gateway, ticket, 0)
    assert again.expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.EPOCH])
    again.auth_with_ticket()
    assert again.expect(FrameType.AUTH_OK) == b"again"


def test_events_lost_between_an_early_answer_and_the_take_over_are_said(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    gateway.gateway.join(gateway.conn("ann"), "r/hall")
    gateway.joined(1)
    early = gateway.connect(ticket=ticket).resume(0)
    assert early.taken_up(1, 0) == []  # the older connection stands, in its room
    cut(client)
    parked(gateway)
    gateway.gateway.publish("u/ann", FrameType.EVENT, b"\x02x")
    say(gateway, b"1")
    wait_for(lambda: gateway.stats()["live"]["unacked"] == 1)
    early.frame(FrameType.ACK, ack=0)
    assert early.expect(FrameType.MSG) == b"1"
    assert early.expect(FrameType.EVENT) == SYNC_NIL
    early.take_ticket()
    assert gateway.stats()["resumed_early"] == 1


def test_nothing_is_said_where_nothing_was_lost_since_the_early_answer(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    cut(client)
    parked(gateway)
    gateway.gateway.publish("u/ann", FrameType.EVENT, b"\x02x")
    gateway.gateway.publish("u/ann", FrameType.MSG, b"1")
    wait_for(lambda: gateway.stats()["live"]["unacked"] == 1)
    early = gateway.connect(ticket=ticket).resume(0)
    assert early.taken_up(1, 1, ResumeFlag.EVENTS_LOST) == [b"1"]
    early.frame(FrameType.ACK, ack=1)
    early.take_ticket()


def test_what_was_promised_early_and_ended_since_closes_and_the_ticket_logs_in(
    gateway: GatewayHarness,
) -> None:
    client, ticket = enter(gateway)
    cut(client)
    parked(gateway)
    early = gateway.connect(ticket=ticket).resume(0)
    assert early.taken_up(1, 0) == []
    gateway.gateway.kick("ann", None, 99, CloseCode.NORMAL, "out")
    wait_for(lambda: gateway.closed_codes("ann") == [CloseCode.NORMAL])
    early.frame(FrameType.ACK, ack=0)
    assert early.close_code() == CloseCode.NORMAL
    assert gateway.reasons()["resume_lost"] == 1
    assert gateway.stats()["resumed"] == 0
    again = back(gateway, ticket, 0)
    assert again.expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.EXPIRED])
    again.auth_with_ticket()
    assert again.expect(FrameType.AUTH_OK) == b"again"


def test_a_full_queue_asks_for_the_lighter_handshake_and_takes_it(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True, handshake_budget_us=1, lite_queue=1)
    client, ticket = enter(gateway)
    say(gateway, b"1")
    client.expect(FrameType.MSG)
    cut(client)
    parked(gateway)
    for _ in range(50):
        crowd = [gateway.connect() for _ in range(40)]
        for one in crowd:  # all at once, none of which is waited for
            noise = Initiator(one.suite, one.prologue, one.server_pub, b"")
            one.write(one.prologue + struct.pack(">H", len(noise.message)) + noise.message)
        # One that comes when the queue is empty is answered; only its first record would move the session.
        with contextlib.suppress(Rejected):
            gateway.connect(ticket=ticket).resume(0)
        if gateway.stats()["reject_lite"]:
            break
    assert gateway.stats()["reject_lite"] == 1
    assert gateway.stats()["live"]["parked"] == 1
    light = back(gateway, ticket, 0, lite=True)
    assert light.taken_up(1, 1) == [b"1"]


def test_a_ping_brings_a_new_ticket_when_half_of_the_old_one_s_life_is_over(start_gateway: Start) -> None:
    gateway = start_gateway(tickets=True, ticket_s=4)
    client, first = enter(gateway)
    assert first.lifetime_s == 4
    wait_for(lambda: time.monotonic() - first.came > 2.1, what="half of its life")
    assert client.ping() == uv(0)
    newer = client.take_ticket()
    assert newer.psk != first.psk
    assert client.ping() == uv(0)
    cut(client)
    parked(gateway)
    assert back(gateway, newer, 0).taken_up(1, 0) == []


def test_a_ping_brings_none_while_the_ticket_is_young(gateway: GatewayHarness) -> None:
    client, ticket = enter(gateway)
    assert ticket.lifetime_s > 1800
    client.frame(FrameType.PING)
    client.expect(FrameType.PONG)
    assert gateway.stats()["tickets"] == 1
