"""Somebody with more conversations, or more unread messages, than one call looks at misses none of them."""

import pytest

from im_service.storage.ops import inbox, messages
from im_service.storage.records import DEFAULT_BITS, SESSION, Mark, WalkPlace
from im_service.storage.store import Store
from tests.support.store_kit import EVERYTHING, append, message, send

PEERS = [f"p{n:02}" for n in range(25)]
TALKS = [f"s/me:{peer}" for peer in PEERS]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "PART", 7)
    monkeypatch.setattr(inbox, "UNREAD_ROWS", 40)
    monkeypatch.setattr(messages, "DISORDER", 20)


async def walk(store: Store, cursor: int, limit: int) -> tuple[list[str], int]:
    """What changed, and the cursor at the end; each page is written to behind its back."""
    found: list[str] = []
    place: WalkPlace | None = None
    more, at = True, cursor
    while more:
        page = await store.changed("me", "", at, limit, place)
        found += [row.conversation for row in page.rows]
        more, at, place = page.more, page.cursor, page.place
        assert not more or at == cursor, "the cursor stands while the walk goes on"
        await send(store, TALKS[0], "p00", f"{cursor}-{len(found)}-{place}")
    return found, at


@pytest.mark.parametrize("limit", [3, 100])
async def test_a_walk_over_very_many_conversations_misses_no_change(store: Store, limit: int) -> None:
    await append(store, [message(talk, peer, "1") for talk, peer in zip(TALKS, PEERS, strict=True)])
    found, cursor = await walk(store, 0, limit)
    assert sorted(found) == sorted(TALKS), "each once"
    await append(store, [message(TALKS[n], PEERS[n], "2") for n in (3, 20)])
    found, cursor = await walk(store, cursor, limit)
    assert sorted(found) == sorted(TALKS[n] for n in (0, 3, 20))
    assert [row.conversation for row in (await store.changed("me", "", cursor, 9, None)).rows] in (
        [],
        TALKS[:1],
    )


async def test_the_list_of_very_many_conversations_comes_in_parts(store: Store) -> None:
    await append(store, [message(talk, peer, "1") for talk, peer in zip(TALKS, PEERS, strict=True)])
    await store.create_group("gone", "p00", b"", ["me"], 9, 1)
    await store.remove_members("gone", ["me"], 2)
    parts: list[list[str]] = []
    below, more = 0, True
    while more:
        page = await store.listed("me", below)
        parts.append([row.conversation for row in page.rows])
        assert all(row.latest for row in page.rows)
        below, more = page.below, bool(page.below)
    assert [len(part) for part in parts] == [6, 7, 7, 5]
    assert [talk for part in parts for talk in part] == TALKS[::-1], "those that began last come first"


async def test_unread_messages_of_very_many_conversations_are_counted_page_by_page(store: Store) -> None:
    for peer, talk in zip(PEERS, TALKS, strict=True):
        await append(store, [message(talk, peer, f"{peer}.{n}") for n in range(1 + int(peer[1:]))])
    await store.read("me", [Mark(TALKS[4], 99)])
    counts: dict[str, int] = {}
    pages, after, more = 0, "", True
    while more:
        page = await store.unread("me", None, 1, after)
        assert not counts.keys() & page.counts.keys()
        assert sum(page.counts.values()) <= 40
        counts |= page.counts
        pages, after, more = pages + 1, page.after, page.more
    assert counts == {talk: n + 1 for n, talk in enumerate(TALKS) if n != 4}
    assert pages > 4
    named = await store.unread("me", [TALKS[9], TALKS[4], "s/a:b"], 1)
    assert (named.counts, named.more) == ({TALKS[9]: 10}, False)
    assert (await store.unread("nobody", None, 1)).counts == {}


async def test_a_thousand_unread_messages_are_a_thousand_or_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "UNREAD_ROWS", 1000)
    await append(store, [message("s/me:p00", "p00", str(n)) for n in range(1400)])
    for seen, unread in ((0, 1000), (399, 1000), (401, 999), (1399, 1)):
        await store.read("me", [Mark("s/me:p00", seen)])
        assert (await store.unread("me", None, 1)).counts == {"s/me:p00": unread}


async def test_the_place_of_a_conversation_is_looked_for_among_its_newest_messages(store: Store) -> None:
    quiet = DEFAULT_BITS & ~SESSION
    made = [
        message("s/me:p00", "p00", "lifts"),
        *(message("s/me:p00", "p00", str(n), bits=quiet) for n in range(99)),
    ]
    await append(store, made)
    assert (await store.listed("me")).rows[0].latest == made[0].server_id
    more = [message("s/me:p00", "p00", f"more{n}", bits=quiet) for n in range(900)]
    await append(store, more)
    assert (await store.listed("me")).rows[0].latest == more[-101].server_id, (
        "not below where nothing was looked at"
    )
    (line,) = await store.sessions("me", ["s/me:p00"], EVERYTHING)
    assert line.last is not None
    assert line.last.client_id == "lifts"
    await send(store, "s/me:p00", "p00", "quiet", bits=quiet)
    assert (await store.sessions("me", ["s/me:p00"], EVERYTHING))[0].last is None


async def test_a_message_is_found_by_its_server_id_in_a_long_conversation(store: Store) -> None:
    """Ids rise, but for a few places; some rows are gone."""
    ids = [1000 + 10 * n + (155 if n % 7 == 0 else 0) for n in range(700)]
    rows = [message("s/a:b", "a", str(n))._replace(server_id=server_id) for n, server_id in enumerate(ids)]
    await append(store, rows)
    for n in (0, 1, 7, 8, 350, 355, 693, 698, 699):
        assert [m.seq for m in await store.find_server_ids("s/a:b", [ids[n]])] == [n + 1]
    assert [m.seq for m in await store.find_server_ids("s/a:b", [ids[9], ids[600], 7])] == [10, 601]
    assert await store.find_server_ids("s/a:b", [1 << 60]) == []
    assert await store.find_server_ids("s/no:one", [ids[3]]) == []
