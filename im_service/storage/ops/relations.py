"""What one user holds about another: friends, blacklist, mute list, names."""

from collections.abc import Iterable, Mapping, Sequence

from frame.constants import USER_PREFIX
from im_service.storage.errors import StoreConflict, StoreFull
from im_service.storage.ops.requests import ENDED, close_open, hold_accounts
from im_service.storage.ops.tx import (
    Op,
    Row,
    Value,
    account_id,
    append,
    find_account,
    first,
    given,
    next_change,
    rows,
    run,
)
from im_service.storage.records import Applied, Notices, Page, Relation

_RELATION = (
    "SELECT o.name, t.name, r.friend, r.black, r.muted, r.alias, r.ext, r.time_ms, r.change"
    " FROM relation r JOIN account o ON o.id = r.owner JOIN account t ON t.id = r.other"
)


def _relation(row: Row) -> Relation:
    owner, other, friend, black, muted, *rest = row
    return Relation(owner, other, bool(friend), bool(black), bool(muted), *rest)


def _set(owner: int, other: int, now_ms: int, values: Mapping[str, Value]) -> Op[None]:
    change = yield from next_change()
    yield from run(
        "INSERT INTO relation (owner, other, time_ms, change) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (owner, other) DO UPDATE SET time_ms = excluded.time_ms, change = excluded.change",
        owner, other, now_ms, change,
    )  # fmt: skip
    for column, value in values.items():
        yield from run(
            f"UPDATE relation SET {column} = $1 WHERE owner = $2 AND other = $3", value, owner, other
        )


def _are_friends(a: int, b: int) -> Op[bool]:
    found = yield from rows(
        "SELECT 1 FROM relation WHERE friend = 1"
        " AND (owner = $1 AND other = $2 OR owner = $2 AND other = $1)",
        a, b,
    )  # fmt: skip
    return len(found) == 2


def _is_black(a: int, b: int) -> Op[bool]:
    found = yield from first(
        "SELECT 1 FROM relation WHERE black = 1 AND (owner = $1 AND other = $2 OR owner = $2 AND other = $1)",
        a, b,
    )  # fmt: skip
    return found is not None


def befriend(a: str, b: str, now_ms: int, limit: int, request: int, notices: Notices) -> Op[Applied[bool]]:
    one, other = (yield from account_id(a)), (yield from account_id(b))
    yield from hold_accounts([one, other])
    yield from close_open(USER_PREFIX + a, [b], 1, request)
    yield from close_open(USER_PREFIX + b, [a], 1)
    if (yield from _are_friends(one, other)):
        return Applied(False)
    if (yield from _is_black(one, other)):
        raise StoreConflict("one of them has the other on the blacklist")
    for owner, friend in sorted([(one, other), (other, one)]):
        yield from _set(owner, friend, now_ms, {"friend": 1})
        if limit:
            held = yield from first("SELECT count(*) FROM relation WHERE owner = $1 AND friend = 1", owner)
            if held and held[0] > limit:
                raise StoreFull(f"{a if owner == one else b} has {limit} friends already")
    return Applied(True, (yield from append(notices)))


def _make_room(owner: int, keep: int) -> Op[bool]:
    """For one more row of somebody who is no friend: where there are `keep`, the one of which nothing is left
    for longest goes. False: there is none."""
    if not keep:
        return True
    held = yield from first(
        "SELECT count(*) FROM (SELECT 1 FROM relation WHERE owner = $1 AND friend = 0 LIMIT $2) r",
        owner,
        keep,
    )
    if held is None or held[0] < keep:
        return True
    gone = yield from rows(
        "DELETE FROM relation WHERE owner = $1 AND other = (SELECT other FROM relation WHERE owner = $1"
        " AND friend = 0 AND black = 0 AND muted = 0 AND alias = '' AND length(ext) = 0"
        " ORDER BY change LIMIT 1) RETURNING other",
        owner,
    )
    return bool(gone)


def unfriend(a: str, b: str, now_ms: int, notices: Notices, keep: int) -> Op[Applied[bool]]:
    one, other = (yield from account_id(a)), (yield from account_id(b))
    if not (yield from _are_friends(one, other)):
        return Applied(False)
    for owner, friend in sorted([(one, other), (other, one)]):
        yield from _make_room(owner, keep)
        yield from _set(owner, friend, now_ms, {"friend": 0, "alias": "", "ext": b""})
    return Applied(True, (yield from append(notices)))


def set_relation(
    owner: str, other: str, now_ms: int, black: bool | None, muted: bool | None, alias: str | None,
    ext: bytes | None, keep: int,
) -> Op[Relation]:  # fmt: skip
    values = given(black=black, muted=muted, alias=alias, ext=ext)
    usr, peer = (yield from account_id(owner)), (yield from account_id(other))
    if black:
        yield from hold_accounts([usr, peer])
        yield from close_open(USER_PREFIX + owner, [other], ENDED)
        yield from close_open(USER_PREFIX + other, [owner], ENDED)
        yield from unfriend(owner, other, now_ms, (), keep)
    there = yield from first("SELECT 1 FROM relation WHERE owner = $1 AND other = $2", usr, peer)
    if there is None and not (yield from _make_room(usr, keep)):
        raise StoreFull(f"at most {keep} people who are no friends")
    yield from _set(usr, peer, now_ms, values)
    return (yield from relation_pairs([(owner, other)]))[owner, other]


def relation_pairs(pairs: Iterable[tuple[str, str]]) -> Op[dict[tuple[str, str], Relation]]:
    wanted = list(pairs)
    found = yield from rows(
        f"{_RELATION} WHERE r.owner IN (SELECT id FROM account WHERE name IN_TEXTS($1))"
        " AND r.other IN (SELECT id FROM account WHERE name IN_TEXTS($2))",
        sorted({owner for owner, _ in wanted}),
        sorted({other for _, other in wanted}),
    )
    held = {(row[0], row[1]): _relation(row) for row in found}
    return {pair: held.get(pair) or Relation(*pair) for pair in wanted}


def blacks(owners: Sequence[str]) -> Op[list[tuple[str, str]]]:
    """CROSS JOIN: SQLite keeps this order. Whoever is on a blacklist is no friend: these rows have a way."""
    found = yield from rows(
        "SELECT o.name, t.name FROM account o CROSS JOIN relation r CROSS JOIN account t"
        " WHERE o.name IN_TEXTS($1) AND r.owner = o.id AND r.friend = 0 AND r.black = 1 AND t.id = r.other",
        list(owners),
    )
    return [(owner, other) for owner, other in found]


def relations(owner: str, cursor: int, limit: int) -> Op[Page[Relation]]:
    """Rows changed by one transaction share a change number; they stay on one page."""
    usr = yield from find_account(owner)
    query = f"{_RELATION} WHERE r.owner = $1 AND r.change > $2 ORDER BY r.change, t.name LIMIT $3"
    found = yield from rows(query, usr or 0, cursor, limit + 1)
    if len(found) <= limit:
        return Page([_relation(row) for row in found], False)
    last = found[limit - 1][8]
    same = f"{_RELATION} WHERE r.owner = $1 AND r.change BETWEEN $2 AND $2 ORDER BY r.change, t.name"
    whole = yield from rows(same, usr or 0, last)
    head = [row for row in found[:limit] if row[8] != last]
    return Page([_relation(row) for row in head + whole], True)
