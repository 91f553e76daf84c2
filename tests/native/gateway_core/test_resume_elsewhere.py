"""A session taken up where it is not: on another loop of the process, and at another node."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from frame.constants import CloseCode, FrameType, ResumeFlag, ResumeReason
from gateway_core import EV_CLOSED, EV_ELSEWHERE, EV_TAKEN
from tests.native.gateway_core.test_resume import back, cut, enter, parked, say
from tests.support.gateway_client import Ticket, WireClient, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]


@pytest.mark.parametrize("websocket", [False, True])
def test_whichever_loop_accepts_the_session_s_loop_takes_it(start_gateway: Start, websocket: bool) -> None:
    gateway = start_gateway(loops=3, tickets=True)
    client, ticket = enter(gateway, websocket=websocket)
    for n in range(30):
        cut(client)
        say(gateway, b"%d" % n)
        client = back(gateway, ticket, n, websocket=websocket)
        assert client.taken_up(n + 1, n + 1) == [b"%d" % n]
        ticket = client.take_ticket()
        client.frame(FrameType.ACK, ack=n + 1)
    assert client.ping()
    assert gateway.stats()["handed_over"] > 0
    assert gateway.of_kind(EV_CLOSED) == []


def test_many_come_back_at_once_while_they_are_written_to(start_gateway: Start) -> None:
    gateway = start_gateway(loops=2, tickets=True, handshake_budget_us=1)
    rng = random.Random(5)
    people = {f"u{n}": enter(gateway, f"u{n}") for n in range(20)}
    heard: dict[str, list[bytes]] = {user: [] for user in people}
    for turn in range(3):
        say(gateway, *(b"%d" % (10 * turn + n) for n in range(5)), user="u0")
        for user, (client, ticket) in list(people.items()):
            say(
                gateway,
                *(b"%s %d %d" % (user.encode(), turn, n) for n in range(rng.randint(0, 3))),
                user=user,
            )
            if rng.random() < 0.5:
                cut(client)
            else:  # the older one still stands
                gateway.clients.append(client)
            again = back(gateway, ticket, len(heard[user]))
            body = again.expect(FrameType.RESUME_OK)
            assert body[0] == len(heard[user]) + 1
            for _ in range(body[1] - body[0] + 1):
                heard[user].append(again.expect(FrameType.MSG))
            frame = again.next()
            while frame.type != FrameType.TICKET:
                assert frame.type == FrameType.MSG
                heard[user].append(frame.body)
                frame = again.next()
            again.frames.appendleft(frame)
            people[user] = (again, again.take_ticket())
    assert gateway.stats()["resumed"] == 60
    for user, bodies in heard.items():
        own = [body for body in bodies if body.startswith(user.encode() + b" ")]
        assert own == sorted(own, key=lambda body: [int(part) for part in body.split()[1:]])
        assert len(set(bodies)) == len(bodies)


def test_another_node_gets_what_was_missed_and_the_session_ends(start_gateway: Start) -> None:
    old, new = start_gateway(tickets=True), start_gateway(tickets=True, node=2)
    client, ticket = enter(old)
    say(old, b"1", b"2", b"3")
    client.expect(FrameType.MSG)
    cut(client)
    parked(old)
    _, again, asked = elsewhere(new, ticket, seen=1)
    _, conn, suite, user, device, platform, rev, until, _, session, _, websocket, node, epoch, there, seen = (
        asked
    )
    assert (suite, user, device, platform, rev, websocket) == (1, "ann", "d1", 6, 5, False)
    assert 0 <= old.until - until < 128
    assert (node, epoch, there, session, seen) == (1, old.gateway.epoch, old.conn("ann"), 1, 1)
    bodies = taken(old, there, session, epoch, seen, token=99)
    wait_for(lambda: old.closed_codes("ann") == [CloseCode.SUPERSEDED])
    new.gateway.resume_with(
        conn, user, device, platform, 77, seen, bodies, ResumeFlag.ROOMS_LEFT, until=until, rev=rev
    )
    assert again.expect(FrameType.RESUME_OK) == bytes([2, 3, ResumeFlag.ROOMS_LEFT])
    newer = again.take_ticket()
    assert [again.expect(FrameType.MSG) for _ in range(2)] == [b"2", b"3"]
    say(new, b"4")
    assert again.expect(FrameType.MSG) == b"4"
    cut(again)
    parked(new)
    third = back(new, newer, 3)
    assert third.taken_up(4, 4) == [b"4"]


def elsewhere(new: GatewayHarness, ticket: Ticket, seen: int) -> tuple[int, WireClient, tuple[Any, ...]]:
    before = len(new.of_kind(EV_ELSEWHERE))
    again = back(new, ticket, seen)
    wait_for(lambda: len(new.of_kind(EV_ELSEWHERE)) > before)
    asked = new.of_kind(EV_ELSEWHERE)[-1]
    return asked[1], again, asked


def taken(
    old: GatewayHarness, conn: int, session: int, epoch: int, seen: int, token: int, reason: int = 0
) -> list[bytes]:
    old.gateway.take_session(conn, session, epoch, seen, token)
    wait_for(lambda: [event for event in old.of_kind(EV_TAKEN) if event[2] == token])
    (found,) = (event for event in old.of_kind(EV_TAKEN) if event[2] == token)
    assert found[3] == reason
    bodies = found[5]
    assert isinstance(bodies, list)
    return bodies


def test_what_cannot_be_taken_is_refused_and_the_ticket_logs_in(start_gateway: Start) -> None:
    old, new = start_gateway(tickets=True), start_gateway(tickets=True, node=2)
    client, ticket = enter(old)
    conn, again, asked = elsewhere(new, ticket, seen=0)
    there, epoch = asked[14], asked[13]
    taken(old, there, 1, epoch + 1 & (1 << 64) - 1, 0, 1, ResumeReason.EPOCH)
    taken(old, there + 1, 1, epoch, 0, 2, ResumeReason.EXPIRED)
    taken(old, there, 2, epoch, 0, 3, ResumeReason.EXPIRED)
    taken(old, there, 1, epoch, 5, 4, ResumeReason.OVERFLOW)
    taken(old, 200 << 56, 1, epoch, 0, 5, ResumeReason.EXPIRED)
    assert client.ping()
    new.gateway.resume_fail(conn, ResumeReason.ELSEWHERE, "no answer")
    assert again.expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.ELSEWHERE]) + b"no answer"
    again.auth_with_ticket()
    assert again.expect(FrameType.AUTH_OK) == b"again"
    new.gateway.resume_fail(conn, ResumeReason.ELSEWHERE)  # too late: it changes nothing
    again.take_ticket()
    assert again.ping()


def test_a_revoked_one_needs_a_token(start_gateway: Start) -> None:
    old, new = start_gateway(tickets=True), start_gateway(tickets=True, node=2)
    _, ticket = enter(old)
    conn, again, _ = elsewhere(new, ticket, seen=0)
    new.gateway.resume_fail(conn, ResumeReason.REVOKED)
    assert again.expect(FrameType.RESUME_FAIL) == bytes([ResumeReason.REVOKED])
    assert again.auth("ann") == b"welcome"
    conn, liar, _ = elsewhere(new, ticket, seen=0)
    new.gateway.resume_fail(conn, ResumeReason.REVOKED)
    liar.expect(FrameType.RESUME_FAIL)
    liar.auth_with_ticket()
    assert liar.until_closed() == []
