"""Groups, requests, relations: every change whole, guarded by rev and limits, told to those concerned."""

import asyncio

import asyncpg
import pytest

from im_service.storage.errors import StoreConflict, StoreFull, StoreMissing
from im_service.storage.records import FOREVER, AppendStatus, Ask, Relation, Role
from im_service.storage.store import Store
from tests.support.store_kit import Kit, everything, message, send


@pytest.fixture
async def club(store: Store) -> Store:
    made = await store.create_group("x", "a", b"info", ["b", "c"], 4, 1, [message("g/x", "a", "made")])
    assert (made.value.owner, made.value.member_count, made.value.last_seq) == ("a", 3, 1)
    return store


async def who(store: Store) -> dict[str, Role]:
    return {member.user: member.role for member in (await store.members("x")).items}


async def test_create_once(club: Store) -> None:
    assert await who(club) == {"a": Role.OWNER, "b": Role.MEMBER, "c": Role.MEMBER}
    with pytest.raises(StoreConflict):
        await club.create_group("x", "z", b"", [], 4, 1)
    with pytest.raises(StoreFull):
        await club.create_group("y", "z", b"", list("abcd"), 4, 1)
    assert await club.groups(["x", "y"]) == await club.groups_of("b")
    assert await club.groups_of("z") == []


async def test_rev_guards_every_change(club: Store) -> None:
    (group,) = await club.groups(["x"])
    changed = (await club.update_group("x", 2, info=b"new", mute_all=True, rev=group.rev)).value
    assert (changed.info, changed.mute_all, changed.rev) == (b"new", True, group.rev + 1)
    for stale in (
        club.update_group("x", 2, info=b"old", rev=group.rev),
        club.add_members("x", ["d"], 2, rev=group.rev),
        club.remove_members("x", ["b"], 2, rev=group.rev),
        club.update_members("x", ["b"], 2, nick="n", rev=group.rev),
        club.transfer_group("x", "b", False, 2, rev=group.rev),
        club.dismiss_group("x", 2, rev=group.rev),
    ):
        with pytest.raises(StoreConflict):
            await stale
    assert await club.groups(["x"]) == [changed]
    with pytest.raises(StoreMissing):
        await club.update_group("none", 2)


async def test_new_member_sees_nothing_from_before(club: Store) -> None:
    notice = message("g/x", "a", "welcome")
    done = await club.add_members("x", ["d", "b"], 5, notices=[notice])
    assert (done.value, done.notices[0].seq) == (["d"], 2)
    assert [m.seq for m in await everything(club, "d", "g/x")] == [2]
    assert (await club.members("x")).items[-1].joined_seq == 1
    with pytest.raises(StoreFull):
        await club.add_members("x", ["e"], 5, notices=[message("g/x", "a", "no")])
    assert sorted(await who(club)) == ["a", "b", "c", "d"]
    assert len(await everything(club, "a", "g/x")) == 2


async def test_who_left_keeps_what_was_theirs(club: Store) -> None:
    done = await club.remove_members("x", ["c", "a", "z"], 5, notices=[message("g/x", "a", "bye c")])
    assert done.value == ["c"]
    await send(club, "g/x", "a", "later")
    assert [m.client_id for m in await everything(club, "c", "g/x")] == ["made", "bye c"]
    (row,) = await club.inbox("c", "", ["g/x"])
    assert (row.active, row.last_seq) == (False, 2)
    assert (await club.unread("c", None, 1)).counts == {}, "who left has nothing to read there"
    await club.add_members("x", ["c"], 6)
    await send(club, "g/x", "a", "again")
    assert [m.client_id for m in await everything(club, "c", "g/x")] == ["again"]


async def test_member_changes(club: Store) -> None:
    done = await club.update_members("x", ["b"], 2, role=Role.MANAGER, nick="Bee", muted_until_ms=FOREVER)
    (member,) = done.value
    assert (member.role, member.nick, member.muted_until_ms) == (Role.MANAGER, "Bee", FOREVER)
    assert await club.member_states([("x", "b"), ("x", "z"), ("y", "b")]) == {("x", "b"): member}
    with pytest.raises(StoreConflict):
        await club.update_members("x", ["b"], 2, role=Role.OWNER)
    with pytest.raises(StoreConflict):
        await club.update_members("x", ["a"], 2, role=Role.MEMBER)
    with pytest.raises(StoreMissing):
        await club.update_members("x", ["z"], 2, nick="")


async def test_a_change_of_several_members_is_whole_or_nothing(club: Store) -> None:
    rev = (await club.groups(["x"]))[0].rev
    notice = message("g/x", "a", "raised")
    done = await club.update_members("x", ["c", "b"], 2, role=Role.MANAGER, notices=[notice])
    assert [(m.user, m.role) for m in done.value] == [("b", Role.MANAGER), ("c", Role.MANAGER)]
    assert (done.notices[0].seq, (await club.groups(["x"]))[0].rev) == (2, rev + 1)
    lowered = {"role": Role.MEMBER, "notices": [message("g/x", "a", "lowered")]}
    for others, error in ((["b", "z"], StoreMissing), (["b", "a"], StoreConflict)):
        with pytest.raises(error):
            await club.update_members("x", others, 3, **lowered)
    with pytest.raises(StoreMissing):
        await club.update_members("x", ["b"], 3, role=Role.MEMBER, notices=[message("g/none", "a", "n")])
    assert (await who(club))["b"] == Role.MANAGER
    assert (await club.groups(["x"]))[0].rev == rev + 1
    assert len(await everything(club, "a", "g/x")) == 2


async def test_requests_of_several_users_are_opened_together_or_not_at_all(club: Store) -> None:
    done = await club.open_requests("g/x", 2, ["z", "y", "z"], "a", "come", 1)
    assert [request.user for request in done.value] == ["y", "z"]
    with pytest.raises(StoreMissing):
        await club.open_requests("g/x", 2, ["w", "z"], "a", "late", 2, notices=[message("g/none", "a", "n")])
    found = (await club.requests("g/x", 0)).items
    assert [(request.user, request.text) for request in found] == [("y", "come"), ("z", "come")]


async def test_nobody_asks_for_what_they_have(club: Store) -> None:
    done = await club.open_requests("g/x", 2, ["b", "z"], "a", "", 1)
    assert [request.user for request in done.value] == ["z"]
    await club.befriend("a", "b", 1)
    assert not (await club.open_requests("u/b", 3, ["a"], "a", "", 1)).value
    with pytest.raises(StoreConflict):
        await club.open_requests("g/x", 1, ["y"], "y", "", 2, 99)
    await club.dismiss_group("x", 2)
    for group in ("x", "none"):
        with pytest.raises(StoreMissing):
            await club.open_requests("g/" + group, 1, ["y"], "y", "", 3)


async def test_a_refused_request_lets_nobody_in(club: Store) -> None:
    (asked,) = (await club.open_requests("g/x", 1, ["z"], "z", "", 1)).value
    (friend,) = (await club.open_requests("u/b", 3, ["z"], "z", "", 1)).value
    await club.decide_request("g/x", asked.id, 2, 2)
    await club.decide_request("u/b", friend.id, 2, 2)
    with pytest.raises(StoreConflict):
        await club.add_members("x", ["z"], 3, request=asked.id)
    with pytest.raises(StoreConflict):
        await club.befriend("b", "z", 3, request=friend.id)
    assert "z" not in await who(club)
    assert not (await club.relation_pairs([("b", "z")]))["b", "z"].friend


async def test_no_request_outlives_its_answer(kit: Kit) -> None:
    """Two processes: one asks, the other lets in, at the same moment; whoever is in is not asked for."""
    stores = [await kit.open(), await kit.open()]
    users = [f"u{n}" for n in range(40)]
    await stores[0].create_group("x", "a", b"", [], 100, 1)
    tries = [
        change
        for user in users
        for change in (
            stores[0].open_requests("g/x", 1, [user], user, "", 2), stores[1].add_members("x", [user], 2),
            stores[0].open_requests("u/a", 3, [user], user, "", 2), stores[1].befriend("a", user, 2),
        )
    ]  # fmt: skip
    await asyncio.gather(*tries)
    assert set(users) < {member.user for member in (await stores[0].members("x")).items}
    for scope in ("g/x", "u/a"):
        assert (await stores[1].requests(scope, 0)).items == []


@pytest.mark.parametrize("scope", ["g/x", "u/a"])
async def test_an_answer_waits_for_the_request_being_opened(postgres_kit: Kit, scope: str) -> None:
    """One process has looked and is held up before it writes the request; the other lets in meanwhile."""
    stores = [await postgres_kit.open(), await postgres_kit.open()]
    await stores[0].create_group("x", "a", b"", [], 9, 1)
    await stores[0].open_requests("u/z", 3, ["z1"], "z1", "", 1)
    holder = await asyncpg.connect(postgres_kit.where)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    async def held_up(count: int, task: asyncio.Future[object]) -> None:
        for _ in range(3000):
            if task.done() or await postgres_kit.query(waiting) == [(count,)]:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("neither done nor waiting for a lock")

    try:
        held = holder.transaction()
        await held.start()
        await holder.execute(
            "INSERT INTO request (scope, kind, usr, asker, text, time_ms)"
            f" SELECT '{scope}', 1, id, id, '', 1 FROM account WHERE name = 'z'"
        )
        asking = asyncio.ensure_future(stores[0].open_requests(scope, 1, ["z"], "z", "", 2))
        await held_up(1, asking)
        assert not asking.done()
        way = stores[1].add_members("x", ["z"], 3) if scope == "g/x" else stores[1].befriend("a", "z", 3)
        letting_in = asyncio.ensure_future(way)
        await held_up(2, letting_in)
        await held.rollback()
        assert [request.user for request in (await asking).value] == ["z"]
        await letting_in
    finally:
        await holder.close()
    assert (await stores[0].requests(scope, 0)).items == []


async def test_one_answer_counts(kit: Kit) -> None:
    """Two processes answer the same requests differently at the same moment."""
    stores = [await kit.open(), await kit.open()]
    users = [f"u{n}" for n in range(20)]
    await stores[0].create_group("x", "a", b"", [], 100, 1)
    asked = (await stores[0].open_requests("g/x", 1, users, "a", "", 2)).value
    friends = (await stores[0].open_requests("u/a", 3, users, "a", "", 2)).value
    yes = [stores[0].add_members("x", [r.user], 3, request=r.id) for r in asked]
    yes_friend = [stores[0].befriend("a", r.user, 3, request=r.id) for r in friends]
    no = [stores[1].decide_request(r.scope, r.id, 2, 3) for r in [*asked, *friends]]
    done = await asyncio.gather(*yes, *yes_friend, *no, return_exceptions=True)
    for at, request in enumerate([*asked, *friends]):
        losers = [answer for answer in (done[at], done[40 + at]) if isinstance(answer, StoreConflict)]
        assert len(losers) == 1, (request, done[at], done[40 + at])
        state = (await stores[0].request(request.scope, request.id)).state
        assert state == (2 if losers == [done[at]] else 1)
    inside = {member.user for member in (await stores[0].members("x")).items}
    let_in = {r.user for at, r in enumerate(asked) if not isinstance(done[at], StoreConflict)}
    assert inside == let_in | {"a"}


async def test_transfer_and_leave(club: Store) -> None:
    group = (await club.transfer_group("x", "b", True, 2, notices=[message("g/x", "b", "mine")])).value
    assert (group.owner, group.member_count) == ("b", 2)
    assert await who(club) == {"b": Role.OWNER, "c": Role.MEMBER}
    assert [m.client_id for m in await everything(club, "a", "g/x")] == ["made", "mine"]
    with pytest.raises(StoreMissing):
        await club.transfer_group("x", "a", False, 2)


async def test_dismiss(club: Store) -> None:
    await club.open_requests("g/x", 1, ["z"], "z", "let me in", 1)
    done = await club.dismiss_group("x", 9, notices=[message("g/x", "a", "end")])
    assert (done.value, done.notices[0].seq) == (["a", "b", "c"], 2)
    assert (await club.groups(["x"]), await club.groups_of("b")) == ([], [])
    assert [m.seq for m in await everything(club, "b", "g/x")] == [1, 2]
    assert (await club.requests("g/x", 0)).items == []
    assert (await send(club, "g/x", "a", "after")).status == AppendStatus.MISSING
    with pytest.raises(StoreConflict):
        await club.create_group("x", "b", b"", [], 5, 10)


async def test_last_place_is_given_once(kit: Kit) -> None:
    """Two processes add members at the same moment; the limit holds."""
    stores = [await kit.open(), await kit.open()]
    await stores[0].create_group("x", "a", b"", [], 6, 1)
    tries = [stores[i % 2].add_members("x", [f"u{i}"], 2) for i in range(12)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, StoreFull) for answer in answers) == 7
    (group,) = await stores[1].groups(["x"])
    assert group.member_count == len((await stores[0].members("x")).items) == 6


async def test_requests(store: Store) -> None:
    await store.create_group("x", "a", b"", [], 9, 1)
    (first,) = (await store.open_requests("g/x", 1, ["z"], "z", "hi", 1)).value
    (again,) = (await store.open_requests("g/x", 1, ["z"], "z", "hi", 2)).value
    assert (first.news, again) == (True, first._replace(news=False))
    (other_words,) = (await store.open_requests("g/x", 1, ["z"], "z", "please", 2)).value
    assert (other_words.id, other_words.text, other_words.news) == (first.id, "please", False)
    done = await store.open_requests("g/x", 1, ["y"], "a", "", 3, notices=[message("g/x", "a", "asks")])
    (other,) = done.value
    assert [r.text for r in (await store.requests("g/x", 0)).items] == ["please", ""]
    page = await store.requests("g/x", None, limit=1)
    assert (page.items[0].id, page.more) == (first.id, True)
    decided = await store.decide_request("g/x", first.id, 2, 5, [message("g/x", "a", "no")])
    assert decided.value.state == 2
    with pytest.raises(StoreConflict):
        await store.decide_request("g/x", first.id, 1, 6, [message("g/x", "a", "yes")])
    with pytest.raises(StoreMissing):
        await store.decide_request("g/x", 999, 1, 6)
    await store.add_members("x", ["y"], 7)
    assert (await store.request("g/x", other.id)).state == 1
    assert [r.id for r in (await store.requests_of("z")).items] == [first.id]
    assert [m.client_id for m in await everything(store, "a", "g/x")] == ["asks", "no"]


async def test_friends_are_mutual(store: Store) -> None:
    await store.open_requests("u/b", 2, ["a"], "a", "hi", 1)
    assert (await store.befriend("b", "a", 2, notices=[message("s/a:b", "b", "ok")])).value
    assert not (await store.befriend("a", "b", 3)).value
    assert (await store.requests("u/b", 0)).items == []
    pairs = await store.relation_pairs([("a", "b"), ("b", "a"), ("a", "z")])
    assert [pairs[p].friend for p in pairs] == [True, True, False]
    assert pairs["a", "z"] == Relation("a", "z")
    await store.set_relation("a", "b", 4, alias="Bee", muted=True)
    assert (await store.unfriend("a", "b", 5)).value
    assert not (await store.unfriend("a", "b", 6)).value
    left = (await store.relation_pairs([("a", "b")]))["a", "b"]
    assert (left.friend, left.alias, left.muted) == (False, "", True)


async def test_a_blacklist_ends_friendship_and_requests_and_lets_none_begin(store: Store) -> None:
    await store.befriend("a", "b", 1)
    await store.set_relation("a", "b", 2, black=True)
    pairs = await store.relation_pairs([("a", "b"), ("b", "a")])
    assert [(row.friend, row.black) for row in pairs.values()] == [(False, True), (False, False)]
    with pytest.raises(StoreConflict):
        await store.befriend("b", "a", 3)
    for asker, asked in (("a", "b"), ("b", "a")):
        assert (await store.open_requests("u/" + asked, 3, [asker], asker, "", 3)).value == []
    await store.set_relation("a", "b", 4, black=False)
    for asker, asked in (("a", "b"), ("b", "a")):
        await store.open_requests("u/" + asked, 3, [asker], asker, "", 5)
    await store.set_relation("a", "b", 6, black=True)
    for scope in ("u/a", "u/b"):
        assert (await store.requests(scope, 0)).items == []


async def test_a_refusal_stands_for_a_while_and_an_invitation_goes_with_who_made_it(store: Store) -> None:
    await store.create_group("x", "a", b"", ["c"], 9, 1)
    (asked,) = (await store.open_requests("g/x", 2, ["z"], "c", "", 1)).value
    await store.decide_request("g/x", asked.id, 2, 10)
    (still,) = (await store.open_requests("g/x", 2, ["z"], "c", "", 19, pause_ms=10)).value
    assert (still.id, still.state, still.news) == (asked.id, 2, False)
    (again,) = (await store.open_requests("g/x", 2, ["z"], "c", "", 20, pause_ms=10)).value
    assert (again.state, again.news) == (0, True)
    (own,) = (await store.open_requests("g/x", 1, ["y"], "y", "", 20)).value
    await store.remove_members("x", ["c"], 21)
    assert (await store.request("g/x", again.id)).state == -1
    assert (await store.request("g/x", own.id)).state == 0


async def test_friend_limit_undoes_both_sides(store: Store) -> None:
    await store.befriend("a", "b", 1, limit=1)
    with pytest.raises(StoreFull):
        await store.befriend("c", "a", 2, limit=1)
    assert not (await store.relation_pairs([("c", "a")]))["c", "a"].friend


async def test_relations_sync_by_cursor(store: Store) -> None:
    for number in range(5):
        await store.set_relation("a", f"u{number}", number, muted=True)
    page = await store.relations("a", 0, 3)
    assert ([r.other for r in page.items], page.more) == (["u0", "u1", "u2"], True)
    rest = await store.relations("a", page.items[-1].change, 3)
    assert ([r.other for r in rest.items], rest.more) == (["u3", "u4"], False)
    await store.set_relation("a", "u0", 9, muted=False)
    again = await store.relations("a", rest.items[-1].change)
    assert [(r.other, r.muted) for r in again.items] == [("u0", False)]


async def test_invitations_are_opened_with_the_change_or_not_at_all(store: Store) -> None:
    made = await store.create_group("x", "a", b"", ["b"], 3, 1, ask=Ask(2, ["z", "y"], "a", "come"))
    assert [(r.user, r.by, r.text) for r in made.requests] == [("y", "a", "come"), ("z", "a", "come")]
    with pytest.raises(StoreFull):
        await store.add_members("x", ["c", "d"], 2, ask=Ask(2, ["v"], "a"))
    done = await store.add_members("x", ["c"], 2, ask=Ask(2, ["b", "c", "w"], "b"))
    assert (done.value, [r.user for r in done.requests]) == (["c"], ["w"]), "who is inside is not asked"
    none = await store.add_members("x", [], 2, ask=Ask(2, ["u"], "b"))
    assert (none.value, [r.user for r in none.requests]) == ([], ["u"])
    assert [r.user for r in (await store.requests("g/x", 0)).items] == ["y", "z", "w", "u"]
    standing = await store.standing_request("g/x", 2, "z")
    assert standing == made.requests[1]
    assert standing is not None
    await store.decide_request("g/x", standing.id, 2, 3)
    assert await store.standing_request("g/x", 2, "z") is None


async def test_owner_and_managers_are_found_among_the_members(store: Store) -> None:
    await store.create_group("x", "olga", b"", [f"m{n}" for n in range(9)], 20, 1)
    await store.update_members("x", ["m7", "m2"], 2, role=Role.MANAGER)
    assert await store.managers("x") == ["m2", "m7", "olga"]
    assert await store.managers("none") == []
