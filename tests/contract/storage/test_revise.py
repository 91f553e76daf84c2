"""Recall, erase, edit, one-sided deletion, quick comments, and that everybody hears of them."""

import pytest

from im_service.storage.errors import StoreFull, StoreMissing
from im_service.storage.records import EDITED, FILTERED, RECALLED, NewMessage
from im_service.storage.store import Store
from tests.support.store_kit import append, everything, message, send


@pytest.fixture
async def talk(store: Store) -> Store:
    await append(store, [message("s/a:b", "a", str(i), body=b"body%d" % i) for i in range(1, 4)])
    return store


async def cursor(store: Store, user: str) -> int:
    return (await store.changed(user, "", 0, 100)).cursor


async def heard(store: Store, user: str, since: int) -> list[str]:
    return [row.conversation for row in (await store.changed(user, "", since, 100)).rows]


async def test_recall_leaves_a_tombstone_once(talk: Store) -> None:
    await talk.edit("s/a:b", 2, "a", b"edited", 2000)
    await talk.react("s/a:b", 2, "b", "ok", "", True, 2000)
    since = await cursor(talk, "b")
    notice = message("s/a:b", "a", "notice")
    done = await talk.recall("s/a:b", 2, b"gone", 3000, [notice])
    assert (done.value.before.payload, done.value.changed, done.notices[0].seq) == (b"edited", True, 4)
    again = await talk.recall("s/a:b", 2, b"other", 4000, [message("s/a:b", "a", "notice2")])
    assert (again.value.changed, list(again.notices)) == (False, [])
    second = (await everything(talk, "b", "s/a:b"))[1]
    assert (second.payload, second.flags) == (b"gone", RECALLED)
    assert await talk.versions("s/a:b", 2) == []
    assert await talk.reactions("s/a:b", [2]) == []
    assert (await talk.unread("b", None, 1)).counts == {"s/a:b": 3}
    assert await heard(talk, "b", since) == ["s/a:b"]
    with pytest.raises(StoreMissing):
        await talk.recall("s/a:b", 9, b"", 3000)
    with pytest.raises(StoreMissing):
        await talk.recall("s/a:none", 1, b"", 3000)


async def test_a_recalled_send_is_still_known(talk: Store) -> None:
    await talk.recall("s/a:b", 2, b"gone", 3000)
    again = await send(talk, "s/a:b", "a", "2", body=b"body2")
    assert (again.seq, again.status.name) == (2, "DUPLICATE")


async def test_a_failing_notice_undoes_the_recall(talk: Store) -> None:
    with pytest.raises(StoreMissing):
        await talk.recall("s/a:b", 2, b"gone", 3000, [message("g/none", "a", "n")])
    assert [m.payload for m in await everything(talk, "b", "s/a:b")] == [b"body1", b"body2", b"body3"]
    assert (await send(talk, "s/a:b", "a", "after")).seq == 4


async def test_edit_keeps_versions(talk: Store) -> None:
    since = await cursor(talk, "b")
    for number in range(3):
        done = await talk.edit("s/a:b", 1, "a", b"v%d" % number, 2000 + number, max_versions=3)
        assert done.value.version == number + 1
    assert not (await talk.edit("s/a:b", 1, "a", b"v2", 9000, max_versions=9)).value.changed
    with pytest.raises(StoreFull):
        await talk.edit("s/a:b", 1, "a", b"more", 9000, max_versions=3)
    assert [v.payload for v in await talk.versions("s/a:b", 1)] == [b"body1", b"v0", b"v1"]
    first = (await everything(talk, "b", "s/a:b"))[0]
    assert (first.payload, first.flags) == (b"v2", EDITED)
    assert await heard(talk, "b", since) == ["s/a:b"]
    await talk.recall("s/a:b", 1, b"", 9000)
    with pytest.raises(StoreMissing):
        await talk.edit("s/a:b", 1, "a", b"late", 9000)


async def test_erase_is_silent_and_for_all(talk: Store) -> None:
    assert (await talk.erase("s/a:b", [1, 3, 77], 3000)).value == 2
    assert (await talk.erase("s/a:b", [1], 3000)).value == 0
    for user in ("a", "b", None):
        assert [m.flags for m in await everything(talk, user, "s/a:b")] == [FILTERED, 0, FILTERED]
    assert (await talk.unread("b", None, 1)).counts == {"s/a:b": 1}


async def test_hide_is_one_sided(talk: Store) -> None:
    since = await cursor(talk, "b")
    assert (await talk.hide("b", "s/a:b", [2, 2, 77], 3000)).value == 1
    assert (await talk.hide("b", "s/a:b", [2], 3000)).value == 0
    assert [m.flags for m in await everything(talk, "b", "s/a:b")] == [0, FILTERED, 0]
    assert [m.flags for m in await everything(talk, "a", "s/a:b")] == [0, 0, 0]
    assert (await talk.unread("b", None, 1)).counts == {"s/a:b": 2}
    assert await heard(talk, "b", since) == ["s/a:b"]
    assert await heard(talk, "a", since) == []


async def test_a_deletion_and_its_notice_are_one_change_told_once(talk: Store) -> None:
    """The three kinds: of one user, of the receivers, of everybody."""

    def notice(name: str, where: str = "s/a:b") -> NewMessage:
        return message(where, "b", name)

    kinds = {
        "hide": lambda told: talk.hide("b", "s/a:b", [1], 2000, told),
        "withdraw": lambda told: talk.withdraw("s/a:b", 2, told),
        "erase": lambda told: talk.erase("s/a:b", [3], 2000, told),
    }
    for number, (name, change) in enumerate(kinds.items(), 4):
        with pytest.raises(StoreMissing):
            await change([notice(name, "g/none")])
        done = await change([notice(name)])
        assert (bool(done.value), [told.seq for told in done.notices]) == (True, [number])
        again = await change([notice(name + "2")])
        assert (bool(again.value), list(again.notices)) == (False, [])
    shown = [m.client_id for m in await everything(talk, "b", "s/a:b") if not m.flags & FILTERED]
    assert shown == list(kinds)


async def test_clear_forgets_the_past(talk: Store) -> None:
    row = await talk.clear("b", "s/a:b", 2)
    assert (row.min_seq, row.read_seq, row.last_seq) == (3, 2, 3)
    assert (await talk.clear("b", "s/a:b", 1)).min_seq == 3
    assert [m.seq for m in await everything(talk, "b", "s/a:b")] == [3]
    assert len(await everything(talk, "a", "s/a:b")) == 3
    with pytest.raises(StoreMissing):
        await talk.clear("b", "s/a:none", 1)


async def test_reactions_once_per_kind(talk: Store) -> None:
    assert (await talk.react("s/a:b", 1, "b", "ok", "x", True, 2000)).value
    assert not (await talk.react("s/a:b", 1, "b", "ok", "x", True, 2001)).value
    await talk.react("s/a:b", 1, "a", "ok", "", True, 2002)
    held = await talk.reactions("s/a:b", [1, 2])
    assert [(r.seq, r.user, r.ext) for r in held] == [(1, "b", "x"), (1, "a", "")]
    assert (await talk.react("s/a:b", 1, "b", "ok", "", False, 2003)).value
    assert not (await talk.react("s/a:b", 1, "b", "ok", "", False, 2004)).value
    with pytest.raises(StoreMissing):
        await talk.react("s/a:b", 50, "b", "ok", "", True, 2000)


async def test_reactions_above_a_limit_are_refused_and_leave_nothing(talk: Store) -> None:
    for kind in ("1", "2"):
        await talk.react("s/a:b", 1, "b", kind, "", True, 2000, per_user=2, per_message=3)
    with pytest.raises(StoreFull, match="a user has 2"):
        await talk.react("s/a:b", 1, "b", "3", "", True, 2000, per_user=2, per_message=3)
    assert not (await talk.react("s/a:b", 1, "b", "2", "", True, 2000, per_user=2, per_message=3)).value
    await talk.react("s/a:b", 1, "a", "1", "", True, 2000, per_user=2, per_message=3)
    with pytest.raises(StoreFull, match="a message has 3"):
        await talk.react("s/a:b", 1, "a", "2", "", True, 2000, per_user=2, per_message=3)
    held = await talk.reactions("s/a:b", [1])
    assert sorted((r.user, r.kind) for r in held) == [("a", "1"), ("b", "1"), ("b", "2")]
    assert (await talk.react("s/a:b", 1, "b", "1", "", False, 2000, per_user=1, per_message=1)).value


async def test_find(talk: Store) -> None:
    found = await talk.find("s/a:b", [3, 1, 99])
    assert [m.seq for m in found] == [1, 3]
    assert await talk.find_server_ids("s/a:b", [found[1].server_id]) == [found[1]]
