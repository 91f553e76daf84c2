"""What waits for one connection: in order, within its limits, and counted to the byte."""

from __future__ import annotations

import random

from tests.native.gateway_core.faces.leaf import buffers_alive
from tests.native.gateway_core.faces.net import Queue

OK, DROPPED, FULL = 1, 0, -1
MUST, HIGH, NORMAL, DECISION, NOTICE = range(5)
HEADER = 2  # of a small frame
BODY = b"%098d"  # with its header 100 bytes


def test_frames_leave_in_the_order_they_came() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    queue, model, n = Queue(), [], 0
    for _ in range(3000):
        if rng.random() < 0.55:
            assert queue.push(b"%d" % n) == OK
            model.append(b"%d" % n)
            n += 1
        elif model:
            assert queue.peek() == model[0], f"seed {seed}"
            assert queue.pop() == model.pop(0), f"seed {seed}"
        if not model and n:
            assert queue.bytes() in (0, None)
    assert [queue.pop() for _ in model] == model, f"seed {seed}"


def test_normal_events_make_room_for_high_ones_and_both_for_what_must_arrive() -> None:
    queue = Queue(events=500, hard=700)
    for n in range(5):
        assert queue.push(BODY % n, NORMAL if n % 2 else HIGH) == OK
    assert queue.push(BODY % 5, HIGH) == OK  # instead of 1
    assert queue.push(BODY % 6, NORMAL) == OK  # instead of 3
    assert queue.push(BODY % 7, HIGH) == OK  # instead of 6
    assert queue.push(BODY % 8, NORMAL) == DROPPED
    assert queue.push(BODY % 9, HIGH) == OK  # instead of 0
    assert [queue.push(BODY % n, MUST) for n in (10, 11)] == [OK, OK]
    assert queue.push(BODY % 12, MUST) == OK  # above the hard limit events give way
    for n in range(13, 19):
        queue.push(BODY % n, MUST)
    assert queue.push(BODY % 19, MUST) == FULL
    left = [int(body) for body in iter(queue.pop, None)]
    assert left == [*range(10, 17)]
    counts = queue.counts()
    assert (counts["dropped_normal"], counts["dropped_high"]) == (4, 6)
    assert counts["live"]["queued_bytes"] == 0


def test_notices_make_room_for_messages_and_are_never_taken_for_their_place() -> None:
    queue = Queue(events=500, hard=700)
    for n, cls in enumerate((NORMAL, NOTICE, DECISION, NOTICE, HIGH)):
        assert queue.push(BODY % n, cls) == OK
    assert queue.push(BODY % 5, NORMAL) == OK  # instead of 1
    assert queue.push(BODY % 6, DECISION) == OK  # instead of 3
    assert queue.push(BODY % 7, NOTICE) == DROPPED
    assert [queue.push(BODY % n, HIGH) for n in (8, 9)] == [OK, OK]  # instead of 2, 6
    assert queue.push(BODY % 10, DECISION) == DROPPED
    assert [int(body) for body in iter(queue.pop, None)] == [0, 4, 5, 8, 9]
    counts = queue.counts()
    assert (counts["dropped_normal"], counts["dropped_high"], counts["dropped_notice"]) == (0, 0, 6)


def test_the_soft_limit_is_counted_once_until_the_queue_is_empty() -> None:
    queue = Queue(soft=150)
    for turn in (1, 2):
        for n in range(5):
            queue.push(BODY % n)
        assert queue.counts()["soft_limit"] == turn
        while queue.pop() is not None:
            pass
        assert queue.settle()


def test_a_sealed_tail_keeps_the_queue_and_goes_with_the_end() -> None:
    before = buffers_alive()
    queue = Queue()
    queue.push(b"waits")
    assert queue.tail(b"sealed")
    assert not queue.settle()
    assert not queue.clear(False), "the tail is sealed: it must leave or the connection must end"
    live = queue.counts()["live"]
    assert (live["out_queues"], live["tails"], live["queued_bytes"]) == (1, 1, 0)
    queue.tail_done()
    assert queue.settle()
    queue.push(b"waits")
    queue.tail(b"sealed")
    assert queue.clear(True)
    live = queue.counts()["live"]
    assert (live["out_queues"], live["tails"]) == (0, 0)
    assert queue.counts()["dropped_at_close"] == 2
    assert buffers_alive() == before


def test_idle_queues_are_used_again() -> None:
    queue = Queue()
    for _ in range(3):
        queue.push(b"one")
        assert queue.idle() == 0
        queue.pop()
        assert queue.settle()
        assert queue.idle() == 1
