"""The log: seq without gaps, one message per client_id, paging, placeholders."""

import asyncio
import random
from typing import Any

from im_service.storage.records import (
    BADGE,
    DEFAULT_BITS,
    FILTERED,
    HISTORY,
    PERSISTENT,
    RECEIVER_NO_SENSE,
    ROAM,
    SENDER_NO_SENSE,
    SENDER_SYNC,
    SESSION,
    Aim,
    AppendStatus,
    Mark,
    View,
)
from im_service.storage.store import Store
from tests.support.store_kit import EVERYTHING, Kit, append, everything, message, send

NEW, DUPLICATE, CONFLICT, MISSING = AppendStatus


async def test_seq_is_gapless_across_mixed_batches(store: Store) -> None:
    mixed = [message("s/a:b", "a", "1"), message("r/x", "c", "1"), message("s/a:b", "b", "1")]
    first = await append(store, mixed)
    second = await append(store, [message("r/x", "c", "2"), message("s/a:b", "a", "2")])
    assert [r.seq for r in first] == [1, 1, 2]
    assert [r.seq for r in second] == [2, 3]
    assert [m.seq for m in await everything(store, "a", "s/a:b")] == [1, 2, 3]


async def test_same_client_id_same_answer_other_content_conflict(store: Store) -> None:
    original = await send(store, "s/a:b", "a", "1", body=b"one", time_ms=5000)
    again, other, elsewhere, fresh = await append(
        store,
        [
            message("s/a:b", "a", "1", body=b"one", time_ms=9000),
            message("s/a:b", "a", "1", body=b"two"),
            message("s/a:c", "a", "1", body=b"one"),
            message("s/a:b", "b", "1", body=b"one"),
        ],
    )
    assert again == original._replace(status=DUPLICATE)
    assert (other.status, elsewhere.status) == (CONFLICT, CONFLICT)
    assert (fresh.status, fresh.seq) == (NEW, 2)
    assert [m.payload for m in await everything(store, "a", "s/a:b")] == [b"one", b"one"]


async def test_duplicate_inside_one_batch(store: Store) -> None:
    results = await append(
        store,
        [
            message("s/a:b", "a", "1", body=b"one"),
            message("s/a:b", "a", "1", body=b"one"),
            message("s/a:b", "a", "1", body=b"two"),
            message("s/a:b", "a", "2"),
        ],
    )
    assert [r.status for r in results] == [NEW, DUPLICATE, CONFLICT, NEW]
    assert [r.seq for r in results] == [1, 1, 0, 2]


async def test_a_batch_of_many_duplicates_keeps_order(store: Store) -> None:
    batch = [message(f"s/a:b{i % 7}", "a", str(i)) for i in range(400)]
    first = await append(store, batch)
    mixed = batch[::2] + [message(f"s/a:b{i % 7}", "a", f"new{i}") for i in range(300)] + batch[1::2]
    second = await append(store, mixed)
    assert [r.seq for r in second[:200]] == [r.seq for r in first[::2]]
    assert [r.status for r in second].count(NEW) == 300
    for peer in range(7):
        seqs = [m.seq for m in await everything(store, "a", f"s/a:b{peer}")]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_a_repeated_send_harms_nobody_it_shares_a_commit_with(store: Store) -> None:
    """What is written beside it stands once: people and conversations named for the first time, operations,
    and the order of every conversation, in this commit and in those that follow."""
    await append(store, [message(f"s/a:b{i}", "a", str(i)) for i in range(5)])
    for turn in range(3):
        again, _, beside, _ = await asyncio.gather(
            append(
                store,
                [
                    message(f"s/a:b{turn}", "a", f"before{turn}"),
                    message(f"s/a:b{turn}", "a", str(turn)),
                    message(f"s/a:n{turn}", f"n{turn}", "first"),
                ],
            ),
            store.create_group(f"g{turn}", f"o{turn}", b"", [], 10, 1),
            append(
                store,
                [message(f"s/a:b{turn}", f"b{turn}", "beside"), message(f"s/x{turn}:y", "y", f"{turn}")],
            ),
            store.ack("a", "phone", [Mark(f"s/a:b{turn}", 1)]),
        )
        assert [(r.status, r.seq) for r in again] == [(NEW, 2), (DUPLICATE, 1), (NEW, 1)]
        assert [(r.status, r.seq) for r in beside] == [(NEW, 3), (NEW, 1)]
        later = await append(
            store,
            [
                message(f"s/a:b{turn}", "a", f"later{turn}"),
                message(f"s/a:n{turn}", "a", f"reply{turn}"),
                message(f"s/x{turn}:y", f"x{turn}", "reply"),
                message(f"g/g{turn}", f"o{turn}", "hello"),
            ],
        )
        assert [(r.status, r.seq) for r in later] == [(NEW, 4), (NEW, 2), (NEW, 2), (NEW, 1)]
        assert [m.seq for m in await everything(store, "a", f"s/a:b{turn}")] == [1, 2, 3, 4]


async def test_time_never_runs_backwards_along_seq(store: Store) -> None:
    times = [50, 40, 60]
    results = await append(store, [message("s/a:b", "a", str(t), time_ms=t) for t in times])
    late = await send(store, "s/a:b", "b", "x", time_ms=10)
    assert [r.time_ms for r in [*results, late]] == [50, 50, 60, 60]


async def test_group_must_exist(store: Store) -> None:
    assert (await send(store, "g/none", "a", "1")).status == MISSING
    await store.create_group("none", "a", b"", [], 10, 1)
    assert (await send(store, "g/none", "a", "1")).status == NEW
    await store.dismiss_group("none", 2)
    assert (await send(store, "g/none", "a", "2")).status == MISSING


async def test_concurrent_writers_keep_seq_gapless(kit: Kit) -> None:
    """Two stores on one database, many conversations in common, and the same sends racing on both."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    stores = [await kit.open(), await kit.open()]
    racing = [message(f"s/a:b{i % 5}", "a", f"same{i}") for i in range(60)]

    async def writer(number: int) -> list[tuple[str, AppendStatus, int]]:
        seen: list[tuple[str, AppendStatus, int]] = []
        mine = [message(f"s/a:b{rng.randrange(5)}", f"b{number}", f"{number}.{i}") for i in range(200)]
        for at in range(0, 200, 20):
            part = mine[at : at + 20] + racing[at * 60 // 200 : (at + 20) * 60 // 200]
            rng.shuffle(part)
            for sent, result in zip(part, await append(stores[number % 2], part), strict=True):
                seen.append((sent.conversation, result.status, result.seq))
        return seen

    answers = [a for part in await asyncio.gather(*(writer(n) for n in range(4))) for a in part]
    fresh = [(conversation, seq) for conversation, status, seq in answers if status == NEW]
    assert len(fresh) == len(set(fresh)) == 4 * 200 + 60
    for peer in range(5):
        seqs = [m.seq for m in await everything(stores[0], None, f"s/a:b{peer}")]
        assert seqs == list(range(1, len(seqs) + 1))
        assert sorted(seq for conversation, seq in fresh if conversation == f"s/a:b{peer}") == seqs


async def test_pull_pages_both_ways(store: Store) -> None:
    await append(store, [message("s/a:b", "a", str(i)) for i in range(25)])
    page = await store.pull("b", "s/a:b", 3, 20, 5, EVERYTHING)
    assert ([m.seq for m in page.items], page.more) == ([3, 4, 5, 6, 7], True)
    page = await store.pull("b", "s/a:b", 3, 20, 5, EVERYTHING, reverse=True)
    assert ([m.seq for m in page.items], page.more) == ([20, 19, 18, 17, 16], True)
    page = await store.pull("b", "s/a:b", 24, None, 5, EVERYTHING)
    assert ([m.seq for m in page.items], page.more) == ([24, 25], False)
    assert (await store.pull("stranger", "s/a:b", 1, None, 5, EVERYTHING)).items == []
    assert (await store.pull("b", "s/none:b", 1, None, 5, EVERYTHING)).items == []


async def test_views_follow_option_bits_and_time(store: Store) -> None:
    sets = [HISTORY, ROAM, PERSISTENT, HISTORY | ROAM, 0]
    await append(
        store, [message("s/a:b", "a", str(i), bits=bits, time_ms=1000 + i) for i, bits in enumerate(sets)]
    )

    async def shown(view: View, user: str | None = "b") -> list[int]:
        page = await store.pull(user, "s/a:b", 1, None, 10, view)
        assert [m.seq for m in page.items] == [1, 2, 3, 4, 5], "hidden messages leave no gap"
        return [m.seq for m in page.items if not m.flags & FILTERED]

    assert await shown(View(((HISTORY, 0),), 2000)) == [1, 4]
    assert await shown(View(((ROAM, 0),), 2000)) == [2, 4]
    assert await shown(View(((PERSISTENT, 0), (ROAM, 0)), 2000)) == [2, 3, 4]
    assert await shown(View(((HISTORY, 1001),), 2000)) == [4]
    assert await shown(View(((HISTORY, 0),), 2000), None) == [1, 4]


async def test_who_sees_what(store: Store) -> None:
    for user in "abc":
        await store.set_account(user, 1)
    await store.create_group("x", "a", b"", ["b", "c"], 10, 1)
    rows: list[dict[str, Any]] = [
        {"bits": DEFAULT_BITS & ~SENDER_SYNC},
        {"bits": DEFAULT_BITS | SENDER_NO_SENSE},
        {"bits": DEFAULT_BITS | RECEIVER_NO_SENSE},
        {"target": Aim(("b",), True, False)},
        {"target": Aim(("b",), False, True)},
        {"expires_ms": 1500},
        {},
    ]
    await append(store, [message("g/x", "a", str(i), **row) for i, row in enumerate(rows)])
    await store.add_members("x", ["d"], 2, history=True)
    await store.hide("c", "g/x", [7], 3)

    async def shown(user: str | None, now_ms: int = 1400, sync: bool = True) -> list[int]:
        page = await store.pull(user, "g/x", 1, None, 10, View(((PERSISTENT, 0),), now_ms, sync))
        assert [m.seq for m in page.items] == [1, 2, 3, 4, 5, 6, 7]
        return [m.seq for m in page.items if not m.flags & FILTERED]

    assert await shown("a") == [3, 4, 5, 6, 7]
    assert await shown("a", sync=False) == [1, 3, 4, 5, 6, 7]
    assert await shown("b") == [1, 2, 4, 6, 7]
    assert await shown("c") == [1, 2, 5, 6]
    assert await shown("d") == [1, 2, 5, 6, 7]
    assert await shown("b", now_ms=1500) == [1, 2, 4, 7]
    assert await shown(None) == [1, 2, 3, 4, 5, 6, 7]
    assert (await store.unread("b", None, 1400)).counts == {"g/x": 5}
    assert (await store.unread("c", ["g/x"], 1400)).counts == {"g/x": 4}


async def test_session_list(store: Store) -> None:
    await send(store, "s/a:b", "b", "1", body=b"first")
    await send(store, "s/a:c", "c", "1", body=b"second")
    await send(store, "s/a:c", "c", "2", body=b"quiet", bits=DEFAULT_BITS & ~SESSION & ~BADGE)
    newest = {row.conversation: row.server_id for row in await store.find("s/a:c", [1])}
    places = {place.conversation: place.latest for place in (await store.listed("a")).rows}
    assert places.keys() == {"s/a:b", "s/a:c"}
    assert places["s/a:c"] == newest["s/a:c"]
    lines = await store.sessions("a", ["s/a:c", "s/a:b"], EVERYTHING)
    assert [(s.inbox.conversation, s.unread) for s in lines] == [("s/a:c", 1), ("s/a:b", 1)]
    assert [s.last.payload for s in lines if s.last] == [b"second", b"first"]
    older = await store.sessions("a", ["s/a:b", "s/none:x"], EVERYTHING)
    assert [s.inbox.conversation for s in older] == ["s/a:b"]


async def test_a_refused_first_message_begins_no_conversation(store: Store) -> None:
    await send(store, "s/a:b", "a", "1", body=b"one")
    refused, missing = await append(
        store, [message("s/a:c", "a", "1", body=b"one"), message("g/none", "a", "2")]
    )
    assert (refused.status, missing.status) == (CONFLICT, MISSING)
    for user in ("a", "c"):
        page = await store.changed(user, "phone", 0, 10)
        assert [row.conversation for row in page.rows] == (["s/a:b"] if user == "a" else [])
    assert not await store.is_conversation("s/a:c")
    refused, begun = await append(
        store, [message("s/a:c", "a", "1", body=b"one"), message("s/a:c", "a", "3", body=b"three")]
    )
    assert (refused.status, begun.status, begun.seq) == (CONFLICT, NEW, 1)
    assert [m.payload for m in await everything(store, "c", "s/a:c")] == [b"three"]
