"""Watermarks, the sync cursor, receipts, and unread counts against a simple model."""

import asyncio
import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from im_service.storage.errors import StoreMissing
from im_service.storage.records import BADGE, DEFAULT_BITS, RECEIPT, Aim, Mark, ReceiptCount
from im_service.storage.store import Store
from tests.support.store_kit import EVERYTHING, Kit, append, count, last_seq, login, message, send


async def test_marks_only_rise_and_never_pass_the_end(store: Store) -> None:
    await append(store, [message("s/a:b", "a", str(i)) for i in range(5)])
    await login(store, "b", "phone", 1, 7, b"", 1)
    assert await store.read("b", [Mark("s/a:b", 3)]) == [Mark("s/a:b", 3)]
    assert await store.read("b", [Mark("s/a:b", 2), Mark("s/x:y", 5)]) == []
    assert await store.read("b", [Mark("s/a:b", 99)]) == [Mark("s/a:b", 5)]
    for seq in (4, 2, 99):
        await store.ack("b", "phone", [Mark("s/a:b", seq)])
    (row,) = await store.inbox("b", "phone", ["s/a:b"])
    assert (row.read_seq, row.acked_seq, row.last_seq) == (5, 5, 5)
    assert (await store.inbox("b", "other", ["s/a:b"]))[0].acked_seq == 0
    assert await store.read_marks("s/a:b", ["a", "b"]) == {"a": 0, "b": 5}
    assert [await last_seq(store, talk) for talk in ("s/a:b", "s/x:y")] == [5, 0]


async def test_acknowledging_what_one_does_not_have_keeps_nothing(store: Store) -> None:
    """Other people's conversations, groups one is not in, and none at all."""
    await store.create_group("x", "a", b"", [], 10, 1)
    await append(store, [message(talk, "a", talk) for talk in ("s/a:c", "g/x", "s/a:b")])
    await login(store, "b", "phone", 1, 7, b"", 1)
    await store.ack("b", "phone", [Mark(talk, 1) for talk in ("s/a:c", "g/x", "s/no:one", "s/a:b")])
    assert await count(store, "device_mark") == 1
    assert (await store.inbox("b", "phone", ["s/a:b"]))[0].acked_seq == 1


async def test_settings_reach_other_devices(store: Store) -> None:
    await send(store, "s/a:b", "a", "1")
    since = (await store.changed("b", "", 0, 10)).cursor
    assert (await store.set_inbox("b", "s/a:b", lambda _: b"pinned")).settings == b"pinned"
    assert [r.settings for r in (await store.changed("b", "", since, 10)).rows] == [b"pinned"]
    assert (await store.changed("a", "", since, 10)).rows == []
    with pytest.raises(StoreMissing):
        await store.set_inbox("b", "s/a:c", lambda _: b"")


async def test_cursor_tells_what_changed_and_nothing_else(store: Store) -> None:
    await append(store, [message(f"s/a:b{i}", "a", str(i)) for i in range(30)])
    seen: list[str] = []
    cursor, more = 0, True
    while more:
        page = await store.changed("a", "", cursor, 7)
        seen += [row.conversation for row in page.rows]
        cursor, more = page.cursor, page.more
    assert sorted(set(seen)) == sorted(f"s/a:b{i}" for i in range(30))
    assert (await store.changed("a", "", cursor, 7)).rows == []
    await send(store, "s/a:b3", "b3", "x")
    page = await store.changed("a", "", cursor, 7)
    assert [(row.conversation, row.last_seq) for row in page.rows] == [("s/a:b3", 2)]


async def test_cursor_misses_nothing_while_others_write(kit: Kit) -> None:
    """A reader that pages all the time ends with the true last seq of every conversation."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    stores = [await kit.open(), await kit.open()]
    writing = True
    known: dict[str, int] = {}

    async def write(number: int) -> None:
        for i in range(60):
            await append(
                stores[number],
                [
                    message(f"s/a:b{rng.randrange(40)}", "a", f"{number}.{i}.{k}")
                    for k in range(rng.randrange(1, 9))
                ],
            )

    async def follow() -> None:
        cursor, idle = 0, False
        while not idle:
            ended = not writing
            page = await stores[0].changed("a", "", cursor, 5)
            for row in page.rows:
                known[row.conversation] = row.last_seq
            cursor = page.cursor
            idle = ended and not page.more

    following = asyncio.create_task(follow())
    await asyncio.gather(write(0), write(1))
    writing = False
    await following
    assert known == {name: await last_seq(stores[0], name) for name in known}
    assert len(known) == 40


async def test_group_receipts(store: Store) -> None:
    await store.create_group("x", "a", b"", ["b", "c", "d"], 10, 1)
    asking = DEFAULT_BITS | RECEIPT
    await append(
        store,
        [
            message("g/x", "a", "1", bits=asking),
            message("g/x", "a", "2"),
            message("g/x", "a", "3", bits=asking, target=Aim(("b",), True, False)),
        ],
    )
    await store.add_members("x", ["e"], 5, history=True)
    assert await store.report("b", "g/x", [1, 2, 3, 9], 10) == [ReceiptCount(1, 1, 2), ReceiptCount(3, 1, 0)]
    assert await store.report("b", "g/x", [1, 3], 11) == []
    assert await store.report("e", "g/x", [1], 12) == []
    assert await store.report("a", "g/x", [1], 12) == []
    await store.report("c", "g/x", [1], 13)
    assert await store.receipt_list("g/x", 1) == (["b", "c"], ["d"])
    assert await store.receipt_counts("g/x", [1, 2, 3]) == [ReceiptCount(1, 2, 1), ReceiptCount(3, 1, 0)]
    await store.remove_members("x", ["d"], 20)
    assert await store.receipt_list("g/x", 1) == (["b", "c"], [])
    with pytest.raises(StoreMissing):
        await store.receipt_list("g/x", 2)


_numbers = itertools.count(1)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("recall"), st.integers(1, 12), st.just(False)),
        st.tuples(st.just("erase"), st.integers(1, 12), st.just(False)),
        st.tuples(st.just("hide"), st.integers(1, 12), st.just(False)),
        st.tuples(st.just("read"), st.integers(1, 14), st.just(False)),
        st.tuples(st.just("clear"), st.integers(1, 4), st.just(False)),
        st.tuples(st.just("aimed"), st.sampled_from("bc"), st.booleans()),
    ),
    max_size=25,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
@given(steps=STEPS)
async def test_unread_is_exact(store: Store, steps: list[tuple[str, str | int, bool]]) -> None:
    """b's unread of a group, after any story, is what a naive count over b's own view gives."""
    group = f"x{next(_numbers)}"
    talk = "g/" + group
    await store.create_group(group, "a", b"", ["b", "c"], 10, 1)
    counted: dict[int, bool] = {}  # seq -> still counts for b, the read watermark apart
    read = last = 0
    for what, value, flag in steps:
        if what == "send":
            last += 1
            bits = DEFAULT_BITS if flag else DEFAULT_BITS & ~BADGE
            await send(store, talk, str(value), f"{group}.{last}", bits=bits)
            counted[last] = flag and value != "b"
        elif what == "aimed":
            last += 1
            target = Aim((str(value),), flag, False)
            await send(store, talk, "a", f"{group}.{last}", target=target)
            counted[last] = (value == "b") == flag
        elif what == "read":
            read = max(read, min(int(value), last))
            await store.read("b", [Mark(talk, int(value))])
        elif what == "clear":
            read = max(read, min(int(value), last))
            await store.clear("b", talk, int(value))
        elif int(value) <= last:
            seq = int(value)
            counted[seq] = False
            if what == "recall":
                await store.recall(talk, seq, b"", 5)
            elif what == "erase":
                await store.erase(talk, [seq], 5)
            else:
                await store.hide("b", talk, [seq], 5)
    expected = sum(1 for seq, counts in counted.items() if counts and seq > read)
    found = (await store.unread("b", [talk], 10)).counts
    assert found == ({talk: expected} if expected else {})
    lines = {line.inbox.conversation: line.unread for line in await store.sessions("b", [talk], EVERYTHING)}
    assert lines[talk] == expected
