"""Commands: bounded, in each producer's order, and no wake-up is lost between a look and a sleep."""

from __future__ import annotations

import select
import threading

from tests.native.gateway_core.faces.leaf import Mail


def readable(mail: Mail) -> bool:
    return bool(select.select([mail.fileno()], [], [], 0)[0])


def test_a_full_mailbox_says_so_and_forgets_nothing() -> None:
    mail = Mail(4)
    for turn in range(5):  # the ring goes round
        assert [mail.push(turn * 10 + n) for n in range(5)] == [1, 1, 1, 1, 0]
        assert [mail.pop() for _ in range(5)] == [(turn * 10 + n, 0) for n in range(4)] + [None]


def test_many_producers_keep_their_own_order() -> None:
    mail, each, producers = Mail(16), 20_000, 4
    threads = [threading.Thread(target=mail.push_many, args=(p, each)) for p in range(producers)]
    for thread in threads:
        thread.start()
    got = mail.pop_many(each * producers)
    for thread in threads:
        thread.join()
    for producer in range(producers):
        assert [x for p, x in got if p == producer] == list(range(each))
    assert mail.pop() is None


def test_who_sleeps_is_woken_and_who_does_not_costs_no_call() -> None:
    mail = Mail(8)
    mail.push(1)
    assert not readable(mail), "nobody slept"
    assert not mail.may_sleep(), "a command is there"
    assert mail.pop() == (1, 0)
    assert mail.may_sleep()
    mail.push(2)
    assert readable(mail)
    mail.awake()


def test_a_quiet_command_waits_for_the_wake() -> None:
    mail = Mail(8)
    assert mail.may_sleep()
    assert mail.put(1)
    assert not readable(mail)
    assert mail.waiting()
    mail.wake()
    assert readable(mail)
