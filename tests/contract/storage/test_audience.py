"""Who may see a message, and what a notice about it inherits."""

from im_service.storage.records import DEFAULT_BITS, SENDER_NO_SENSE, SENDER_SYNC, Aim
from im_service.storage.store import Store
from tests.support.store_kit import EVERYTHING, send

TEAM = "g/team"


async def make_team(store: Store) -> None:
    await store.create_group("team", "olga", b"", ["bob", "carl"], 100, 1)


async def test_the_audience_is_everybody_or_named(store: Store) -> None:
    await make_team(store)
    plain = (await send(store, TEAM, "bob", "1")).seq
    aimed = (await send(store, TEAM, "bob", "2", target=Aim(("bob", "carl"), True, False))).seq
    assert (await store.audience(TEAM, plain, 1)).everybody
    found = await store.audience(TEAM, aimed, 1)
    assert (found.users, found.everybody) == (["bob", "carl"], False)
    await store.add_members("team", ["late"], 1, history=False)
    found = await store.audience(TEAM, plain, 1)
    assert (found.users, found.everybody) == (["bob", "carl", "olga"], False)
    await store.hide("carl", TEAM, [plain], 1)
    assert (await store.audience(TEAM, plain, 1)).users == ["bob", "olga"]
    assert await store.sees("carl", TEAM, [plain, aimed, 99], 1) == {aimed}
    assert await store.sees("late", TEAM, [plain, aimed], 1) == set()
    assert (await store.audience(TEAM, 99, 1)).users == []


async def test_the_senders_side_counts_for_content_only(store: Store) -> None:
    await send(store, "s/a:b", "a", "1", bits=DEFAULT_BITS & ~SENDER_SYNC)
    await send(store, "s/a:b", "a", "2", bits=DEFAULT_BITS & ~SENDER_SYNC | SENDER_NO_SENSE)
    assert (await store.audience("s/a:b", 1, 1)).users == ["a", "b"]
    assert (await store.audience("s/a:b", 1, 1, sync=True)).users == ["b"]
    assert (await store.audience("s/a:b", 2, 1)).users == ["b"]


async def test_a_notice_is_judged_as_if_it_stood_at_its_message(store: Store) -> None:
    await make_team(store)
    aim = Aim(("bob",), True, False)
    seq = (await send(store, TEAM, "carl", "1", target=aim)).seq
    (row,) = await store.find(TEAM, [seq])
    assert row.target == aim
    await store.add_members("team", ["dora"], 1, history=True)
    note = Aim(("bob", "dora"), True, False, seq)
    told = (await send(store, TEAM, "carl", "n", target=note)).seq
    assert [u for u in ("olga", "bob", "dora") if await store.sees(u, TEAM, [told], 1)] == ["bob"]
    everybody = (await send(store, TEAM, "carl", "m", target=Aim((), False, True, seq))).seq
    assert await store.sees("dora", TEAM, [everybody], 1) == {everybody}
    await store.clear("olga", TEAM, seq)
    assert await store.sees("olga", TEAM, [everybody], 1) == set()


async def test_what_is_withdrawn_stays_with_its_sender(store: Store) -> None:
    await make_team(store)
    seq = (await send(store, TEAM, "carl", "1")).seq
    assert (await store.unread("bob", None, 1)).counts == {TEAM: 1}
    assert (await store.withdraw(TEAM, seq)).value
    assert not (await store.withdraw(TEAM, seq)).value
    assert (await store.unread("bob", None, 1)).counts == {}
    assert [u for u in ("olga", "bob", "carl") if await store.sees(u, TEAM, [seq], 1)] == ["carl"]
    page = await store.pull("carl", TEAM, seq, seq, 1, EVERYTHING)
    assert page.items[0].payload == b"hello"
