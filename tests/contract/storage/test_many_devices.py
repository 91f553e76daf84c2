"""However many device ids a user's clients invent, the store keeps few, and a login reads few."""

from im_service.storage.records import Logout, Mark, NewLogin
from im_service.storage.store import Store
from tests.support.store_kit import Kit, count, send

KEEP = 10


async def invented(store: Store, user: str, first: int, many: int, keep: int = 0) -> None:
    for start in range(first, first + many, 100):
        wanted = [NewLogin(user, f"d{n:05}", 1, n + 1) for n in range(start, min(start + 100, first + many))]
        await store.logins(wanted, 1_000_000 + start, keep)


async def names(store: Store, user: str) -> list[str]:
    return sorted(device.device for device in await store.devices(user))


async def test_the_device_that_logged_in_longest_ago_gives_way_with_its_marks(store: Store) -> None:
    await send(store, "s/a:b", "b", "hello")
    for number in range(KEEP + 3):
        name = f"d{number:02}"
        (login,) = await store.logins([NewLogin("a", name, 1, number)], 1000 + number, KEEP)
        assert login.is_new
        assert len(login.others) <= KEEP
        await store.ack("a", name, [Mark("s/a:b", 1)])
    assert await names(store, "a") == [f"d{number:02}" for number in range(3, KEEP + 3)]
    assert await count(store, "device_mark") == KEEP
    (again,) = await store.logins([NewLogin("a", "d00", 1, 99)], 2000, KEEP)
    assert again.is_new
    assert (await store.inbox("a", "d00", ["s/a:b"]))[0].acked_seq == 0
    (known,) = await store.logins([NewLogin("a", "d05", 1, 100)], 2001, KEEP)
    assert not known.is_new
    assert await names(store, "a") == sorted(["d00", *(f"d{number:02}" for number in range(4, KEEP + 3))])


async def test_a_device_that_is_online_gives_way_last(store: Store) -> None:
    await store.logins([NewLogin("a", "mine", 1, 1)], 1, KEEP)
    for number in range(3 * KEEP):
        await store.logins([NewLogin("a", f"d{number}", 1, 10 + number)], 1000 + number, KEEP)
        await store.logouts([Logout("a", f"d{number}", 10 + number)], 1000 + number)
    assert "mine" in await names(store, "a")
    assert await count(store, "device") == KEEP


async def test_a_batch_of_logins_keeps_to_the_number_for_each_user(store: Store) -> None:
    wanted = [NewLogin(user, f"d{n}", 1, n) for n in range(3 * KEEP) for user in ("a", "b")]
    await store.logins([*wanted, NewLogin("c", "only", 1, 1)], 1, KEEP)
    assert [len(await store.devices(user)) for user in "abc"] == [KEEP, KEEP, 1]


async def test_a_login_of_a_user_with_very_many_devices_reads_few(kit: Kit) -> None:
    store = await kit.open()
    await invented(store, "a", 0, 500)
    (login,) = await store.logins([NewLogin("a", "new", 1, 9999)], 2_000_000, KEEP)
    assert len(login.others) <= 100 + KEEP, "those of one moment at the edge"


async def test_devices_of_an_earlier_version_are_removed_in_small_steps(store: Store) -> None:
    """Also where one user has more than a step takes, and where nobody ever logged them out."""
    await send(store, "s/a:b", "b", "hello")
    for user, many in (("a", 130), ("b", 3), ("c", 11), ("d", 40), ("e", 1)):
        await invented(store, user, 0, many)
    await store.ack("a", "d00000", [Mark("s/a:b", 1)])
    await store.ack("a", "d00129", [Mark("s/a:b", 1)])
    await store.logouts([Logout("d", f"d{n:05}", n + 1) for n in range(20)], 1)
    after: int | None = 0
    steps, before = 0, await count(store, "device")
    while after is not None:
        after = await store.trim_devices(after, KEEP, 25)
        left = await count(store, "device")
        assert before - left <= 25
        before, steps = left, steps + 1
        assert steps < 50
    assert [len(await store.devices(user)) for user in "abcde"] == [KEEP, 3, KEEP, KEEP, 1]
    assert await names(store, "c") == [f"d{n:05}" for n in range(1, 11)]
    assert await count(store, "device_mark") == 1
    assert (await store.inbox("a", "d00129", ["s/a:b"]))[0].acked_seq == 1
