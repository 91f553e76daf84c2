"""A client that knows the page alone takes its session up again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conformance.stranger.stranger_client import Closed, Rejected
from tests.conformance.stranger.stranger_ticket import EXPIRED, Returning, Ticket


class Home:
    """Where a stranger comes from and goes back to."""

    def __init__(self, realm: Any, suite: int = 1, websocket: bool = False) -> None:
        self.realm, self.suite, self.websocket = realm, suite, websocket
        self.key = realm.keys.current(int(time.time()))

    def first(self, user: str) -> tuple[Returning, Ticket]:
        one: Any = Returning.connect(
            self.realm.host, self.realm.port, self.realm.root, suite=self.suite, websocket=self.websocket
        )
        one.login(self.realm.token(user), device="stranger")
        return one, one.wait_for_ticket()

    def back(self, ticket: Ticket, seen: int | None, *, lite: bool = False) -> Returning:
        one = Returning(self.realm.host, self.realm.port, websocket=self.websocket)
        one.come(self.key.key_id, self.key.public, ticket, seen, suite=self.suite, lite=lite)
        return one


@pytest.mark.parametrize(("suite", "websocket"), [(1, False), (2, False), (1, True)])
def test_what_was_missed_comes_behind_resume_ok(realm: Any, suite: int, websocket: bool) -> None:
    home, user = Home(realm, suite, websocket), f"back-{suite}-{websocket}"
    friend = realm.meet(f"friend-{suite}-{websocket}")
    one, ticket = home.first(user)
    friend.send(f"u/{user}", "one", "c1")
    assert one.next()[7] == {"text": "one"}
    one.stream.close()
    for number in (2, 3, 4):
        friend.send(f"u/{user}", str(number), f"c{number}")
    again = home.back(ticket, 1)
    assert again.resume()[:2] == (2, 4)
    assert [again.next()[7]["text"] for _ in range(3)] == ["2", "3", "4"]
    assert again.call("time")
    newer = again.ticket or again.wait_for_ticket()
    assert newer.ticket != ticket.ticket
    friend.send(f"u/{user}", "5", "c5")
    assert again.next()[7] == {"text": "5"}
    assert again.received == 5
    again.stream.close()
    third = home.back(newer, 5)
    assert third.resume()[:2] == (6, 5)


def test_a_ticket_is_a_login_too_and_its_session_is_over_then(realm: Any) -> None:
    home = Home(realm)
    one, ticket = home.first("bylogin")
    second = home.back(ticket, None)
    assert second.login_by_ticket(ticket)[1] == "bylogin"
    with pytest.raises(Closed) as caught:
        one.next()
    assert caught.value.code == 4003
    third = home.back(ticket, 0)
    assert third.refused() == EXPIRED
    assert third.login_by_ticket(ticket)[1] == "bylogin"


def test_the_old_connection_lives_until_the_first_record_of_the_new_one(realm: Any) -> None:
    home = Home(realm)
    one, ticket = home.first("overlap")
    new = home.back(ticket, 0)
    assert one.call("time")
    assert new.resume()[:2] == (1, 0)
    with pytest.raises(Closed) as caught:
        one.next()
    assert caught.value.code == 4003


def test_a_first_flight_that_is_repeated_changes_nothing(realm: Any) -> None:
    home = Home(realm)
    one, ticket = home.first("replayed")
    flight = home.back(ticket, 0).flight
    for _ in range(3):
        thief = Returning(realm.host, realm.port)
        thief.stream.write(flight)
        thief._take(2)
    assert one.call("time")


def test_a_ticket_that_nobody_made_is_refused(realm: Any) -> None:
    home = Home(realm)
    _, ticket = home.first("forged")
    for wrong in (ticket.ticket[:-1] + bytes([ticket.ticket[-1] ^ 1]), b"x", bytes(255)):
        with pytest.raises((Rejected, Closed)) as caught:
            home.back(ticket._replace(ticket=wrong), 0)
        assert not isinstance(caught.value, Rejected) or caught.value.code == 6


def test_a_ticket_without_its_secret_opens_nothing(realm: Any) -> None:
    home = Home(realm)
    _, ticket = home.first("stolen")
    with pytest.raises(Closed) as caught:
        home.back(ticket._replace(psk=bytes(32)), 0)
    assert caught.value.code == 0


def test_after_a_close_of_ones_own_the_session_is_over(realm: Any) -> None:
    home = Home(realm)
    one, ticket = home.first("closed")
    one.close()
    again = home.back(ticket, 0)
    assert again.refused() == EXPIRED
    assert again.login_by_ticket(ticket)[1] == "closed"


def test_a_revoked_user_needs_a_token(realm: Any) -> None:
    home = Home(realm)
    one, ticket = home.first("revoked")
    one.stream.close()
    assert realm.server.post("/v1/tokens/revoke", {"user": "revoked"})[0] == 200
    again = home.back(ticket, 0)
    assert again.refused() == EXPIRED
    with pytest.raises(Closed) as caught:
        again.login_by_ticket(ticket)
    assert caught.value.code == 4002


def test_a_disabled_account_comes_back_to_no_session_and_hears_4005(realm: Any) -> None:
    home = Home(realm)
    one, ticket = home.first("disabled")
    one.stream.close()
    assert realm.server.post("/v1/users/disabled/disable", {"seconds": 60})[0] == 200
    again = home.back(ticket, 0)
    assert again.refused() == EXPIRED
    again.login_by_ticket(ticket)
    with pytest.raises(Closed) as caught:
        again.next()
    assert caught.value.code == 4005


def test_a_ticket_frame_is_for_servers_only(realm: Any) -> None:
    one, _ = Home(realm).first("backwards")
    one.write(b"\x0e\x01\x00")
    with pytest.raises(Closed) as caught:
        one.call("time")
    assert caught.value.code == 4000
