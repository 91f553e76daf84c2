"""Accounts, devices, rooms, broadcasts, expiry."""

import asyncio

import pytest

from im_service.storage.errors import StoreConflict, StoreFull, StoreMissing
from im_service.storage.records import (
    DEFAULT_BITS,
    FOREVER,
    HISTORY,
    AppendStatus,
    Limits,
    Logout,
    NewLogin,
    QueueItem,
    Role,
    Room,
    TagMute,
)
from im_service.storage.store import Store
from tests.support.store_kit import Kit, append, count, everything, login, message, send

DAY = 86_400_000


async def test_accounts(store: Store) -> None:
    assert not (await store.accounts(["a"]))["a"].known
    await store.set_account("a", 1, disabled_until_ms=FOREVER, mute_group_ms=77)
    account = await store.set_account("a", 2, disabled_until_ms=0, info=b"i")
    assert (account.known, account.disabled_until_ms) == (True, 0)
    assert (account.mute_group_ms, account.info) == (77, b"i")
    assert (await store.set_account("a", 3, shadow_until_ms=9)).shadow_until_ms == 9
    assert (await store.accounts(["a"]))["a"].shadow_until_ms == 9
    await store.set_profile("b", lambda _: b"one", 1)
    assert (await store.set_profile("b", lambda _: b"two", 2)).rev == 2
    assert [p.info for p in await store.profiles(["a", "b"])] == [b"two"]
    assert (await store.accounts(["b"]))["b"].known


async def test_devices(store: Store) -> None:
    first = await login(store, "a", "phone", 1, 10, b"", 5)
    assert (first.is_new, first.others) == (True, [])
    await login(store, "a", "web", 3, 11, b"", 6)
    again = await login(store, "a", "phone", 1, 12, b"x", 7)
    assert (again.is_new, [d.device for d in again.others]) == (False, ["web"])
    assert (again.device.first_login_ms, again.device.session_id) == (5, 12)
    ends = [Logout("a", "phone", 10), Logout("a", "phone", 12)]
    assert await store.logouts(ends, 8) == [False, True], "an older session's end is no news"
    assert [(d.device, d.online) for d in await store.devices("a")] == [("phone", False), ("web", True)]


async def test_rooms(store: Store) -> None:
    with pytest.raises(StoreMissing):
        await store.set_room_member("x", "a", 1, black=True)
    room = await store.create_room("x", "a", b"info", 1)
    with pytest.raises(StoreConflict):
        await store.create_room("x", "b", b"", 1)
    changed = await store.update_room("x", 2, info=b"new", mute_all=True, rev=room.rev)
    with pytest.raises(StoreConflict):
        await store.update_room("x", 2, closed=True, rev=room.rev)
    assert await store.rooms(["x", "y"]) == [changed]
    await store.set_room_member("x", "b", 1, role=Role.MANAGER, named=True)
    await store.set_room_member("x", "c", 1, muted_until_ms=500)
    assert [m.user for m in (await store.room_members("x")).items] == ["b", "c"]
    lifted = await store.set_room_member("x", "c", 1, muted_until_ms=0)
    assert lifted.muted_until_ms == 0
    assert [m.user for m in (await store.room_members("x")).items] == ["b"], "a row that says nothing goes"
    assert await store.mute_tag("x", "vip", 9) == [TagMute("vip", 9)]
    assert await store.mute_tag("x", "vip", 0) == await store.tag_mutes("x") == []
    assert (await send(store, "r/x", "b", "1")).seq == 1
    assert [m.seq for m in await everything(store, None, "r/x")] == [1]


async def test_rooms_of_an_owner_are_bounded(store: Store) -> None:
    """Those that are open, and those of the last day: closing them gives no ids to take."""
    made = await asyncio.gather(
        *(store.create_room(f"x{n}", "a", b"", DAY, 3) for n in range(8)), return_exceptions=True
    )
    taken = [each.room for each in made if isinstance(each, Room)]
    assert len(taken) == 3
    assert sum(isinstance(each, StoreFull) for each in made) == 5
    await store.create_room("y", "b", b"", DAY, 3)
    await store.create_room("z", "a", b"", DAY)
    await store.update_room("z", DAY, closed=True)
    await store.update_room(taken[0], DAY, closed=True)
    with pytest.raises(StoreFull):
        await store.create_room("next", "a", b"", 2 * DAY - 1, 3)
    await store.create_room("next", "a", b"", 2 * DAY, 3)
    with pytest.raises(StoreFull):
        await store.create_room("last", "a", b"", 2 * DAY, 3)


async def test_room_queue(store: Store) -> None:
    await store.create_room("x", "a", b"", 1)
    items = [QueueItem(key, "v" + key, owner, owner == "b", 0) for key, owner in ("1a", "2b", "3b")]
    await store.queue_put("x", items, 4)
    await store.queue_put("x", [QueueItem("0", "first", "a", False, 0)], 4, front=True)
    await store.queue_put("x", [QueueItem("2", "changed", "b", True, 0)], 4)
    with pytest.raises(StoreFull):
        await store.queue_put("x", [QueueItem("n1", "", "a", False, 0)], 4)
    assert [(i.key, i.value) for i in await store.queue("x")] == [
        ("0", "first"), ("1", "v1"), ("2", "changed"), ("3", "v3"),
    ]  # fmt: skip
    head, named, none = [await store.queue_poll("x", key) for key in (None, "3", "3")]
    assert head is not None
    assert named is not None
    assert (head.key, named.key, none) == ("0", "3", None)
    assert [i.key for i in await store.queue_clear("x", transient_of="b")] == ["2"]
    assert [i.key for i in await store.queue_clear("x")] == ["1"]
    assert await store.queue("x") == []


async def test_an_element_of_a_queue_is_its_owners(store: Store) -> None:
    await store.create_room("x", "a", b"", 1)
    (first,) = await store.queue_put("x", [QueueItem("k", "a", "a", True, 0)], 4, over=[])
    for over in ([], [first._replace(value="else")], [first._replace(key="j")]):
        with pytest.raises(StoreConflict):
            await store.queue_put("x", [QueueItem("k", "b", "b", True, 0)], 4, over=over)
    with pytest.raises(StoreConflict):
        await store.queue_poll("x", "k", "b")
    assert await store.queue("x") == [first]
    await store.queue_put("x", [QueueItem("k", "again", "a", True, 0)], 4, over=[])
    (held,) = await store.queue("x")
    await store.queue_put("x", [QueueItem("k", "b", "b", True, 0)], 4, over=[held])
    taken = await store.queue_poll("x", "k", "b")
    assert taken is not None
    assert (taken.value, taken.owner, await store.queue_poll("x", "k", "b")) == ("b", "b", None)


async def test_broadcasts_have_a_lifetime(store: Store) -> None:
    first = await store.add_broadcast(b"one", 0, 100, 200)
    second = await store.add_broadcast(b"two", 3, 100, 900)
    assert await store.broadcasts(0, 150) == [first, second]
    assert await store.broadcasts(first.id, 150) == [second]
    assert await store.broadcasts(0, 200) == [second]
    assert await store.expire(300, Limits(0, 0, 0)) == 1


async def sweep(store: Store, now_ms: int, limits: Limits) -> int:
    rounds = 0
    while await store.expire(now_ms, limits, 7):
        rounds += 1
    return rounds


async def test_expiry_by_class(kit: Kit) -> None:
    store = await kit.open()
    limits = Limits(offline_ms=7 * DAY, roam_ms=7 * DAY, history_ms=30 * DAY)
    short = DEFAULT_BITS & ~HISTORY
    rows = [(bits, day) for day in (0, 20, 38) for bits in (short, DEFAULT_BITS)]
    await append(
        store,
        [
            message("s/a:b", "a", str(number), bits=bits, time_ms=day * DAY)
            for number, (bits, day) in enumerate(rows)
        ],
    )
    await append(store, [message("s/a:c", "a", "brief", time_ms=20 * DAY, expires_ms=20 * DAY + 5)])
    for seq in range(1, 7):
        await store.react("s/a:b", seq, "b", "ok", "", True, 1)
    await store.edit("s/a:b", 1, "a", b"edited", 1)

    assert await sweep(store, 40 * DAY, limits) > 0
    left = await kit.query("SELECT conv, seq FROM message ORDER BY conv, seq")
    assert [seq for _, seq in left] == [4, 5, 6]
    assert len(await kit.query("SELECT 1 FROM reaction")) == 3
    assert await kit.query("SELECT 1 FROM message_version") == []
    assert [m.seq for m in await everything(store, "b", "s/a:b")] == [4, 5, 6]
    assert (await store.inbox("b", "", ["s/a:b"]))[0].min_seq == 4
    assert (await store.inbox("c", "", ["s/a:c"]))[0].min_seq == 2
    assert (await send(store, "s/a:b", "a", "next")).seq == 7

    await sweep(store, 60 * DAY, limits)
    assert [m.seq for m in await everything(store, "b", "s/a:b")] == [6, 7]
    await sweep(store, 90 * DAY, limits)
    assert await everything(store, "b", "s/a:b") == []
    assert (await send(store, "s/a:b", "a", "last")).seq == 8


async def test_a_send_repeated_within_a_day_finds_its_row(store: Store) -> None:
    limits = Limits(1, 1, 1)
    await send(store, "s/a:b", "a", "1", time_ms=5 * DAY, expires_ms=5 * DAY + 1)
    await send(store, "s/a:b", "a", "2", time_ms=5 * DAY, bits=DEFAULT_BITS & ~HISTORY)
    await sweep(store, 6 * DAY, limits)
    assert [(await send(store, "s/a:b", "a", n)).status for n in "12"] == [AppendStatus.DUPLICATE] * 2
    await sweep(store, 6 * DAY + 2, limits)
    assert [(await send(store, "s/a:b", "a", n)).status for n in "12"] == [AppendStatus.NEW] * 2


async def test_expiry_goes_in_small_bites_beside_sends(kit: Kit) -> None:
    """Each call removes a bounded number of rows, and sends are served between the calls."""
    store = await kit.open()
    short = DEFAULT_BITS & ~HISTORY
    await append(store, [message(f"s/a:b{n % 9}", "a", f"old{n}", bits=short) for n in range(400)])
    limits = Limits(offline_ms=DAY, roam_ms=DAY, history_ms=0)
    sent = 0
    while True:
        before = await count(store)
        worked, result = await asyncio.gather(
            store.expire(9 * DAY, limits, 30), send(store, "s/a:c", "c", f"new{sent}", time_ms=9 * DAY)
        )
        sent += 1
        assert result.seq == sent
        assert before + 1 - await count(store) <= 30
        if not worked:
            break
    assert sent >= 400 // 30
    assert await count(store) == sent


async def test_many_logins_are_as_good_as_one_after_the_other(store: Store) -> None:
    """The same devices, numbers and answers, also where a user is in the batch more than once."""
    await store.create_group("team", "u01", b"", ["u02"], 10, 1)
    await store.set_account("u02", 1, mute_room_ms=9)
    new = [NewLogin(f"u{n % 90:02}", f"device{n % 3}", 1, n) for n in range(200)]
    taken = await store.logins(new, 5)
    assert [(t.device.user, t.device.device, t.device.session_id) for t in taken] == [
        (n.user, n.device, n.session_id) for n in new
    ]
    assert [t.is_new for t in taken] == [n < 90 for n in range(200)], "90 is a multiple of 3: the same device"
    assert [t.groups for t in taken[:4]] == [[], ["team"], ["team"], []]
    assert (taken[2].account.mute_room_ms, taken[3].account.known) == (9, True)
    more = await store.logins([NewLogin("u05", "desk", 4, 900), NewLogin("u05", "pad", 2, 901)], 7)
    assert [[d.device for d in login.others] for login in more] == [["device2"], ["desk", "device2"]]
    over = [Logout("u05", "desk", 900), Logout("u05", "pad", 1), Logout("nobody", "pad", 1)]
    assert await store.logouts(over, 8) == [True, False, False]
    assert [(d.device, d.online, d.last_logout_ms) for d in await store.devices("u05")] == [
        ("desk", False, 8), ("pad", True, 0), ("device2", True, 0)
    ]  # fmt: skip
    assert await store.logins([], 9) == []
