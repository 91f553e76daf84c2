"""What an endpoint is given, and what waits for what: order is kept, nobody waits for one that is stuck."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from random import Random, getrandbits

from im_service.outbox.ports import Event
from im_service.outbox.window import Held, Rules, Window

HOUR = 3_600_000


def event(number: int, subject: str) -> tuple[Event, int]:
    return Event(f"e{number}", "message.single", number, subject, None, {}, f"c{number}"), 10


def ids(batch: list[Held]) -> list[str]:
    return [item.event.event_id for item in batch if item.event is not None]


def window(*subjects: str, batch: int = 10, **rules: int) -> Window:
    made = Window("c0", batch, Rules(**rules))
    made.add([event(number, subject) for number, subject in enumerate(subjects, 1)], f"c{len(subjects)}")
    return made


def test_a_batch_has_several_conversations_and_the_place_moves_when_the_oldest_is_done() -> None:
    made = window("a", "b", "a", batch=2)
    first = made.take(0)
    assert ids(first) == ["e1", "e3"]
    second = made.take(0)
    assert ids(second) == ["e2"]
    made.delivered(second)
    assert made.low == "c0", "e1 is not done"
    made.delivered(first)
    assert (made.low, made.open, made.busy) == ("c3", 0, 0)


def test_what_follows_in_a_conversation_waits_for_what_is_under_way() -> None:
    made = window("a", "a", batch=1)
    first = made.take(0)
    assert made.take(0) == []
    made.delivered(first)
    assert ids(made.take(0)) == ["e2"]


def test_what_the_filter_left_out_moves_the_place_too() -> None:
    made = Window("c0", 10)
    made.add([], "c50")
    assert made.low == "c50"


def test_an_endpoint_that_is_down_is_left_alone_longer_each_time_then_asked_with_one_event() -> None:
    made = window("a", "a", "b", batch=10)
    now, waits = 0, []
    for _ in range(14):
        batch = made.take(now)
        assert batch
        assert made.take(now) == [], "one at a time"
        assert len(batch) == 1 or not waits
        assert not made.failed(batch, now)
        wakes = made.wakes_at()
        assert wakes is not None
        assert made.take(wakes - 1) == []
        waits.append(wakes - now)
        now = wakes
    assert waits[:3] == [1_000, 2_000, 4_000]
    assert waits[-1] == HOUR
    made.delivered(made.take(now))
    assert len(made.take(now)) >= 1
    assert not made.doubtful
    assert made.failing_since is None


def test_it_is_not_asked_before_the_time_it_named() -> None:
    made = window("a")
    made.failed(made.take(0), 0, after_ms=60_000)
    assert made.wakes_at() == 60_000
    assert made.take(59_999) == []
    assert made.take(60_000)


def test_one_refused_conversation_waits_alone_and_the_others_go_on() -> None:
    made = window("a", "b", "a", "c", batch=10)
    whole = made.take(0)
    assert len(whole) == 4
    assert not made.refused(whole, 0)
    now, got = 0, []
    for _ in range(40):
        batch = made.take(now)
        if not batch:
            now = made.wakes_at() or now
            continue
        assert len(batch) == 1, "each alone, to find which it is"
        if batch[0].key == "a":
            assert not made.refused(batch, now)
        else:
            got += ids(batch)
            made.delivered(batch)
    assert got == ["e2", "e4"]
    assert not made.doubtful
    assert made.low == "c0"
    made.add([event(5, "b")], "c5")
    assert ids(made.take(now)) == ["e5"]


def test_a_refused_event_is_given_up_after_its_time_and_the_next_of_the_conversation_follows() -> None:
    made = window("a", "a", batch=1)
    now = 0
    while not made.refused(batch := made.take(now), now):
        now = made.wakes_at() or now
    assert 24 * HOUR <= now <= 26 * HOUR
    assert ids(batch) == ["e1"]
    made.buried(batch[0])
    assert made.low == "c1"
    assert ids(made.take(now)) == ["e2"]


def test_days_on_which_nothing_was_asked_are_no_days_without_a_good_answer() -> None:
    made = window("a", batch=1, give_up_ms=0)
    batch = made.take(0)
    assert made.refused(batch, 0)
    assert made.failing_since == 0
    made.buried(batch[0])
    assert made.failing_since is None
    made.add([event(2, "a")], "c2")
    made.failed(made.take(200 * HOUR), 200 * HOUR)
    assert made.failing_since == 200 * HOUR


def test_an_event_that_alone_kills_the_receiver_is_found_out_among_others() -> None:
    """It hangs with `a`, each time: the endpoint is not down, as the others are taken."""
    made = window(*(["a"] + [f"k{n}" for n in range(50)]), batch=5, give_up_ms=60_000)
    now, gone = 0, ""
    number = 51
    while not gone and now < HOUR:
        now += 500
        batch = made.take(now)
        if not batch:
            continue
        if any(item.key == "a" for item in batch):
            if made.failed(batch, now):
                gone = batch[0].key
                made.buried(batch[0])
        else:
            made.delivered(batch)
            number += 1
            made.add([event(number, f"k{number % 50}")], f"c{number}")
    assert gone == "a", f"at {now}"
    assert made.delivered_total > 50


def test_when_the_room_is_used_up_behind_one_that_waits_it_is_given_up_at_once() -> None:
    made = window(*(["a"] + ["b"] * 9), batch=20, events=1_000, spread=10)
    made.refused(made.take(0), 0)
    while batch := made.take(0):
        if batch[0].key == "a":
            made.refused(batch, 0)
        else:
            made.delivered(batch)
    assert made.room == 0
    assert made.open == 1
    item = made.in_the_way(0)
    assert item is not None
    assert item.key == "a"
    made.buried(item)
    assert made.room == 10
    assert made.low == "c10"


def played(
    made: Window,
    log: list[tuple[Event, int]],
    poisoned: set[str],
    until: int,
    away: Callable[[int], bool] = lambda _: False,
) -> tuple[int, int]:
    """Delivers this log to a receiver that refuses those keys, and is not there for the requests (0, 1, ...)
    that are `away`; how many it took, how many were given up."""
    read, now, got, gone, asked = 0, 0, 0, 0, 0
    wanted = sum(found.subject not in poisoned for found, _ in log)
    while got < wanted and now < until:
        if room := min(made.room, 200, len(log) - read):
            made.add(log[read : read + room], log[read + room - 1][0].cursor)
            read += room
        if batch := made.take(now):
            asked += 1
            if away(asked - 1):
                lost = made.failed(batch, now)
            elif any(item.key in poisoned for item in batch):
                lost = made.refused(batch, now)
            else:
                got += len(batch)
                made.delivered(batch)
                continue
            if lost:
                gone += 1
                made.buried(batch[0])
        elif (item := made.in_the_way(now)) is not None:
            gone += 1
            made.buried(item)
        else:
            wakes = made.wakes_at()
            assert wakes is not None, "nothing will ever wake it"
            now = max(now + 1, wakes)
    return got, gone


def test_one_refused_conversation_however_long_stops_nobody_else() -> None:
    subjects = ["bad"] * 1_100 + [f"s{n % 5}" for n in range(200)]
    log = [event(number, subject) for number, subject in enumerate(subjects, 1)]
    got, gone = played(Window("c0", 100), log, {"bad"}, HOUR)
    assert got == 200
    assert 100 <= gone < 300, "no more than was in the way"


def test_an_answer_ends_that_it_was_away_though_it_refuses_all_that_was_read() -> None:
    """What it would take lies behind what it refuses: nothing is taken before that is out of the way."""
    random = Random(getrandbits(32))
    for bad in (1, 3, 7):
        subjects = [f"bad{n % bad}" for n in range(1_100)] + [f"s{n % 5}" for n in range(200)]
        log = [event(number, subject) for number, subject in enumerate(subjects, 1)]
        poisoned = set(subjects[:bad])
        for first in (1, 2, 8):
            got, gone = played(Window("c0", 100), log, poisoned, HOUR, lambda n, first=first: n < first)
            assert got == 200, f"{bad} refused, away for {first} requests first"
            assert 100 <= gone < 300
        away = {n for n in range(1_000) if random.random() < 0.3}
        got, _ = played(Window("c0", 100), log, poisoned, HOUR, away.__contains__)
        assert got == 200, f"{bad} refused, away in the midst of it"


def test_one_that_refuses_everything_and_is_away_in_between_costs_nothing() -> None:
    log = [event(number, f"k{number % 20}") for number in range(1, 1_201)] + [event(1_201, "behind")]
    everything = {f"k{n}" for n in range(20)}
    made = Window("c0", 100)
    assert played(made, log, everything, 20 * HOUR, lambda n: n % 5 == 0) == (0, 0)
    assert made.doubtful
    assert made.failing_since is not None


def test_fewer_refused_conversations_than_make_it_the_endpoint_stop_nobody_else() -> None:
    random = Random(getrandbits(32))
    poisoned = {f"bad{n}" for n in range(random.randrange(1, 8))}
    subjects = random.choices([*poisoned, "s1", "s2", "s3"], k=3_000)
    log = [event(number, subject) for number, subject in enumerate(subjects, 1)]
    wanted = sum(subject not in poisoned for subject in subjects)
    got, _ = played(Window("c0", random.choice((1, 7, 100, 500))), log, poisoned, HOUR)
    assert got == wanted


def test_others_have_room_for_whole_batches_beside_one_that_is_refused_for_long() -> None:
    made = window(*["bad"] * 100, batch=10, events=100)
    made.refused(made.take(0), 0)
    made.refused(made.take(0), 0)
    while (item := made.in_the_way(0)) is not None:
        made.buried(item)
        made.refused(made.take(0), 0)
    assert made.room == 10


def test_the_event_in_the_way_is_given_up_once_however_long_that_takes() -> None:
    made = window(*["bad"] * 10, batch=1, events=10)
    made.refused(made.take(0), 0)
    item = made.in_the_way(0)
    assert item is not None
    assert made.in_the_way(0) is None, "its burial is under way"
    assert made.in_the_way(HOUR) is None
    assert made.take(HOUR) == []
    made.unburied(item, HOUR + 5)
    assert made.take(HOUR) == []
    assert made.take(HOUR + 5) == [item]


def test_nothing_is_given_up_early_when_everything_is_refused() -> None:
    made = window(*(f"k{n}" for n in range(20)), events=20, batch=1)
    now = 0
    for _ in range(2_000):
        batch = made.take(now)
        if batch:
            assert not made.refused(batch, now)
        else:
            now = made.wakes_at() or now
        assert made.in_the_way(now) is None or not made.doubtful
    assert made.doubtful
    assert made.failing_since is not None


def test_a_dead_letter_that_could_not_be_kept_is_tried_again() -> None:
    made = window("a", batch=1, give_up_ms=0)
    batch = made.take(1)
    assert made.refused(batch, 1)
    made.unburied(batch[0], 5_000)
    assert made.low == "c0"
    assert made.take(4_999) == []
    assert ids(made.take(5_000)) == ["e1"]


def test_everything_is_delivered_in_order_whatever_the_endpoint_answers() -> None:
    """A random endpoint: down, slow, refusing; each conversation's events come in order, and the place is
    never beyond what was delivered."""
    random = Random(getrandbits(32))
    made = Window("c0", 7, Rules(events=50, spread=120, at_once=3), random.random)
    total, number, now = 600, 0, 0
    seen: dict[str, list[int]] = defaultdict(list)
    done: set[int] = set()
    under_way: list[list[Held]] = []
    while len(done) < total:
        room = min(made.room, random.randrange(8), total - number)
        if room:
            new = [event(number + n + 1, f"k{random.randrange(12)}") for n in range(room)]
            made.add(new, f"c{number + room}")
            number += room
        if batch := made.take(now):
            under_way.append(batch)
        if under_way and random.random() < 0.6:
            batch = under_way.pop(random.randrange(len(under_way)))
            fate = random.random()
            if fate < 0.6:
                for item in batch:
                    assert item.event is not None
                    seen[item.key].append(item.event.time_ms)
                    done.add(item.event.time_ms)
                made.delivered(batch)
            elif fate < 0.8:
                assert not made.failed(batch, now)
            else:
                assert not made.refused(batch, now)
        else:
            now += random.randrange(3_000)
        low = int(made.low[1:])
        assert set(range(1, low + 1)) <= done
    for times in seen.values():
        assert times == sorted(times)
        assert len(times) == len(set(times))
