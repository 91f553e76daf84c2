"""Members of topics against a model, small and large; pending messages and their batches."""

from __future__ import annotations

import random

from tests.native.gateway_core.faces.conn import Crowd

from frame.frames import parse

JOINED, ALREADY, REFUSED = 1, 0, -1
MUST, HIGH, NORMAL, DECISION, NOTICE = range(5)
SECOND = 1_000_000_000
HALL = b"r/hall"


def crowded(n: int, **limits: int) -> Crowd:
    """A large topic with n members."""
    crowd = Crowd(**limits)
    for i in range(n):
        assert crowd.join(crowd.login(b"user-%d" % i), HALL) == JOINED
    assert crowd.is_large(HALL)
    return crowd


def bodies(data: bytes) -> list[bytes]:
    """The bodies of frames one after another."""
    out = []
    while data:
        consumed, frame = parse(data)
        assert frame is not None
        out.append(bytes(frame.body))
        data = data[consumed:]
    return out


def test_members_are_who_joined_and_did_not_leave() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    crowd = Crowd(cap=8192, large=16, joined=6)
    conns = [crowd.login(b"user-%d" % n) for n in range(3_000)]
    topics = [b"r/%d" % n for n in range(12)]
    model: dict[bytes, set[int]] = {topic: set() for topic in topics}
    joined: dict[int, set[bytes]] = {conn: set() for conn in conns}
    for _ in range(20_000):
        conn, topic = rng.choice(conns[:400] if rng.random() < 0.5 else conns), rng.choice(topics)
        if rng.random() < 0.45:
            crowd.leave(conn, topic)
            model[topic].discard(conn)
            joined[conn].discard(topic)
        else:
            verdict = crowd.join(conn, topic)
            full = len(joined[conn]) == 6
            assert verdict == (REFUSED if full else ALREADY if topic in joined[conn] else JOINED), (
                f"seed {seed}"
            )
            if not full:
                model[topic].add(conn)
                joined[conn].add(topic)
    for topic in topics:
        assert sorted(crowd.members(topic) or []) == sorted(crowd.slot(c) for c in model[topic]), (
            f"seed {seed}"
        )
    for conn in conns:
        assert set(crowd.joined(conn)) == joined[conn], f"seed {seed}"
    for conn in conns:
        crowd.logout(conn)
    assert [crowd.members(topic) for topic in topics] == [None] * len(topics)
    live = crowd.counts()["live"]
    assert (live["topics"], live["memberships"]) == (0, 0)


def test_first_and_last_member_are_announced() -> None:
    crowd = Crowd()
    ann, bob = crowd.login(b"ann"), crowd.login(b"bob")
    crowd.announced()
    crowd.join(ann, HALL)
    crowd.join(bob, HALL)
    crowd.leave(ann, HALL)
    assert crowd.announced() == [(HALL, True)]
    crowd.logout(bob)
    assert crowd.announced() == [(HALL, False), (b"u/bob", False)]


def test_a_name_that_is_too_long_or_empty_is_refused() -> None:
    crowd = Crowd()
    conn = crowd.login(b"ann")
    assert [crowd.join(conn, name) for name in (b"", b"r" * 81, b"r" * 80)] == [REFUSED, REFUSED, JOINED]


def test_the_longest_budget_wins_and_high_borrows_from_normal() -> None:
    crowd = crowded(8)
    crowd.budget(b"r/", 100, 0)
    crowd.budget(b"r/hall", 3, 2)
    at = 10 * SECOND
    assert [crowd.may_publish(HALL, NORMAL, at) for _ in range(4)] == [True, True, True, False]
    assert [crowd.may_publish(HALL, HIGH, at) for _ in range(6)] == [True] * 5 + [False]
    assert crowd.may_publish(HALL, MUST, at)
    at += SECOND
    assert [crowd.may_publish(HALL, HIGH, at) for _ in range(6)] == [True] * 5 + [False]
    assert not crowd.may_publish(HALL, NORMAL, at)
    counts = crowd.counts()
    assert (counts["dropped_budget_normal"], counts["dropped_budget_high"]) == (2, 2)


def test_a_topic_has_its_own_budget_while_it_has_members() -> None:
    crowd = Crowd()
    crowd.budget(b"r/", 3, 2, 1)
    ann, bob = crowd.login(b"ann"), crowd.login(b"bob")
    at = 10 * SECOND

    def normal_ones() -> int:
        return sum(crowd.may_publish(HALL, NORMAL, at) for _ in range(20))

    assert crowd.join(ann, HALL, (7, 0), at) == JOINED
    assert normal_ones() == 7
    assert crowd.join(bob, HALL, (7, 0), at) == JOINED
    assert normal_ones() == 0, "who joins brings no tokens"
    crowd.own_budget(HALL, (4, 0), at)
    crowd.budget(b"r/", 9, 2, 1, at)
    assert normal_ones() == 4, "it is the topic's own, whatever others have"
    assert sum(crowd.may_publish(HALL, NOTICE, at) for _ in range(9)) == 1
    crowd.own_budget(HALL, None, at)
    assert normal_ones() == 9
    crowd.own_budget(b"r/nobody", (4, 0), at)
    assert crowd.members(b"r/nobody") is None


def test_all_tags_of_a_room_share_its_budget() -> None:
    crowd = Crowd()
    crowd.budget(b"r/", 3, 0)
    ann = crowd.login(b"ann")
    for topic in (HALL, b"r/hall#red", b"r/hall#blue", b"r/other"):
        crowd.join(ann, topic)
    at = 10 * SECOND
    topics = (HALL, b"r/hall#red", b"r/hall#blue", b"r/hall#red", HALL)
    assert [crowd.may_publish(topic, NORMAL, at) for topic in topics] == [True] * 3 + [False] * 2
    assert crowd.may_publish(b"r/other", NORMAL, at)
    assert crowd.dropped(at) == [(HALL, 2, 0, 0)]


def test_what_was_dropped_is_told_by_kind_and_not_at_every_drop() -> None:
    crowd = Crowd()
    crowd.budget(b"r/", 1, 1, 1)
    ann = crowd.login(b"ann")
    crowd.join(ann, HALL)
    at = 10 * SECOND
    assert crowd.tells_in(at) == (1 << 64) - 1
    for cls, times in ((NORMAL, 3), (HIGH, 5), (DECISION, 2), (NOTICE, 4)):
        for _ in range(times):
            crowd.may_publish(HALL, cls, at)
    assert crowd.tells_in(at) == 0
    assert crowd.dropped(at) == [(HALL, 2, 3, 4)]
    assert crowd.dropped(at) == []
    crowd.may_publish(HALL, NORMAL, at)
    assert crowd.dropped(at + 1) == []
    later = at + 1 + crowd.tells_in(at + 1)
    assert at < later < at + SECOND
    assert crowd.dropped(later) == [(HALL, 1, 0, 0)]
    crowd.may_publish(HALL, NORMAL, at)
    crowd.logout(ann)
    assert crowd.dropped(later + 1) == [(HALL, 1, 0, 0)], "what is told last when nobody is left"


def test_an_event_that_several_loops_drop_counts_once() -> None:
    crowd = Crowd()
    crowd.budget(b"r/", 1, 1)
    ann = crowd.login(b"ann")
    halls = [HALL, b"r/second"]
    for topic in halls:
        crowd.join(ann, topic)
    at = 10 * SECOND
    assert [crowd.may_all_publish(halls, NORMAL, at) for _ in range(3)] == [[True] * 2] + [[False] * 2] * 2
    assert crowd.dropped(at) == [(HALL, 2, 0, 0)]
    assert crowd.counts()["dropped_budget_normal"] == 2


def test_pending_messages_leave_in_batches_oldest_first() -> None:
    crowd = crowded(8, batch_messages=8)
    sent = [b"%d" % n for n in range(20)]
    for body in sent:
        crowd.pend(HALL, body)
    got = []
    for more in (True, True, False):
        plain, cuts, full = crowd.batch(HALL)
        got += bodies(plain)
        assert (cuts, full) == ([len(plain)], more)
        crowd.served(HALL)
    assert got == sent
    assert crowd.batch(HALL) is None
    assert crowd.counts()["live"]["batches"] == 0


def test_a_batch_is_cut_into_records_between_frames() -> None:
    crowd = crowded(8, batch_messages=64, batch_bytes=64_000, pending=64)
    for n in range(9):
        crowd.pend(HALL, b"%d" % n * 7_000)
    plain, cuts, _ = crowd.batch(HALL)
    records = [plain[at:end] for at, end in zip([0, *cuts[:-1]], cuts, strict=True)]
    assert [[len(body) for body in bodies(record)] for record in records] == [[7_000, 7_000]] * 4 + [[7_000]]
    crowd.served(HALL)


def test_notices_give_way_to_messages_that_wait_and_never_the_other_way() -> None:
    crowd = crowded(8, pending=4)
    crowd.budget(b"r/", 100, 100, 100)
    for n, cls in enumerate((NOTICE, DECISION, NORMAL, HIGH)):
        crowd.pend(HALL, b"%d" % n, cls)
    crowd.pend(HALL, b"4", NOTICE)
    assert crowd.waiting(HALL) == [b"1", b"2", b"3", b"4"]
    crowd.pend(HALL, b"5", NORMAL)
    assert crowd.waiting(HALL) == [b"1", b"2", b"3", b"5"]
    crowd.pend(HALL, b"6", NORMAL)
    assert crowd.waiting(HALL) == [b"2", b"3", b"5", b"6"]
    crowd.pend(HALL, b"7", DECISION)
    assert crowd.waiting(HALL) == [b"2", b"3", b"5", b"6"]
    assert crowd.dropped(SECOND) == [(HALL, 0, 0, 4)]
    assert crowd.counts()["dropped_pending_notice"] == 4


def test_above_the_limit_events_drop_and_what_must_arrive_stalls_the_commands() -> None:
    crowd = crowded(8, pending=4)
    for n, cls in enumerate((NORMAL, HIGH, NORMAL, HIGH, NORMAL)):
        crowd.pend(HALL, b"%d" % n, cls)
    assert crowd.waiting(HALL) == [b"1", b"2", b"3", b"4"]
    for n in range(5, 9):
        crowd.pend(HALL, b"%d" % n, MUST)
    assert crowd.waiting(HALL) == [b"5", b"6", b"7", b"8"]
    assert not crowd.stalled()
    crowd.pend(HALL, b"9", HIGH)
    assert crowd.waiting(HALL) == [b"5", b"6", b"7", b"8"]
    crowd.pend(HALL, b"10", MUST)
    assert crowd.waiting(HALL) == [b"5", b"6", b"7", b"8", b"10"], "nothing that must arrive is lost"
    assert crowd.stalled()


def test_who_leaves_a_room_is_out_of_its_tags_and_of_nothing_else() -> None:
    crowd = Crowd(joined=16)
    ann, bob = crowd.login(b"ann"), crowd.login(b"bob")
    others = [b"r/hall2", b"r/hal", b"r/hall2#vip", b"r/hal#vip", b"g/hall", b"r/hal#l"]
    for conn in (ann, bob):
        for topic in (HALL, b"r/hall#vip", b"r/hall#l", *others):
            assert crowd.join(conn, topic) == JOINED
    crowd.leave(ann, b"r/hall#l")
    assert {HALL, b"r/hall#vip"} <= set(crowd.joined(ann))
    crowd.leave(ann, HALL)
    assert sorted(crowd.joined(ann)) == sorted(others)
    assert sorted(crowd.joined(bob)) == sorted([HALL, b"r/hall#vip", b"r/hall#l", *others])
    assert crowd.members(b"r/hall#vip") == [crowd.slot(bob)]
