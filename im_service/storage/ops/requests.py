"""Join requests, invitations and friend requests, and how they end.

Whoever opens a request holds what would make it come true (the group, or both accounts), and whoever makes it
come true holds the same: so no request stays open that was answered meanwhile.
"""

from collections.abc import Sequence

from frame.constants import GROUP_PREFIX
from im_service.storage.errors import StoreConflict, StoreMissing
from im_service.storage.ops.tx import (
    Op,
    account_id,
    account_ids,
    append,
    chunks,
    find_account,
    find_conversation,
    first,
    rows,
    run,
)
from im_service.storage.records import Applied, Notices, Page, Request

ENDED = -1
"""State of a request that nobody decides any more."""
_REQUEST = (
    "SELECT r.id, r.scope, r.kind, u.name, b.name, r.text, r.state, r.time_ms"
    " FROM request r JOIN account u ON u.id = r.usr JOIN account b ON b.id = r.asker"
)


def load(scope: str, id: int) -> Op[Request]:
    found = yield from first(f"{_REQUEST} WHERE r.scope = $1 AND r.id = $2", scope, id)
    if found is None:
        raise StoreMissing(f"no request {id} for {scope}")
    return Request(*found)


def standing(scope: str, kind: int, user: str) -> Op[Request | None]:
    found = yield from first(
        f"{_REQUEST} WHERE r.scope = $1 AND r.kind = $2 AND u.name = $3 AND r.state = 0", scope, kind, user
    )
    return None if found is None else Request(*found)


def hold_accounts(usrs: Sequence[int]) -> Op[None]:
    yield from run("SELECT id FROM account WHERE id IN_INTS($1) ORDER BY id HELD", list(usrs))


def _members(group: str, usrs: list[int], rev: int | None) -> Op[set[int]]:
    conv = yield from find_conversation(GROUP_PREFIX + group)
    found = None
    if conv is not None:
        found = yield from first("SELECT rev FROM chat_group WHERE conv = $1 AND dismissed_ms = 0 HELD", conv)
    if found is None:
        raise StoreMissing(f"no group {group}")
    if rev is not None and found[0] != rev:
        raise StoreConflict(f"group {group} is at rev {found[0]}, not {rev}")
    inside = yield from rows("SELECT usr FROM group_member WHERE conv = $1 AND usr IN_INTS($2)", conv, usrs)
    return {usr for (usr,) in inside}


def _friends(user: str, usrs: list[int]) -> Op[set[int]]:
    """Those who are friends already, or between whom and this user stands a blacklist."""
    usr = yield from account_id(user)
    yield from hold_accounts([usr, *usrs])
    found = yield from rows(
        "SELECT other FROM relation WHERE owner = $1 AND other IN_INTS($2) AND (friend = 1 OR black = 1)"
        " UNION SELECT owner FROM relation WHERE other = $1 AND owner IN_INTS($2) AND black = 1",
        usr, usrs,
    )  # fmt: skip
    return {other for (other,) in found}


def _standing(scope: str, kind: int, usrs: list[int]) -> Op[dict[str, Request]]:
    """What is open of these users already."""
    found = yield from rows(
        f"{_REQUEST} WHERE r.scope = $1 AND r.kind = $2 AND r.state = 0 AND r.usr IN_INTS($3)",
        scope, kind, usrs,
    )  # fmt: skip
    return {request.user: request._replace(news=False) for request in (Request(*row) for row in found)}


def _refused(scope: str, kind: int, usrs: list[int], since_ms: int) -> Op[dict[str, Request]]:
    """The last refusal of each after this time."""
    found = yield from rows(
        f"{_REQUEST} WHERE r.usr IN_INTS($1) AND r.scope = $2 AND r.kind = $3 AND r.state = 2"
        " AND r.time_ms > $4 ORDER BY r.time_ms",
        usrs, scope, kind, since_ms,
    )  # fmt: skip
    return {request.user: request._replace(news=False) for request in (Request(*row) for row in found)}


def _again(
    scope: str, kind: int, users: dict[str, int], by: str, asker: int, text: str, since_ms: int
) -> Op[dict[str, Request]]:
    """Requests opened after this time that ended undecided (a blacklist, a going) are open again: they were
    heard, so they are no news.
    """
    names = {usr: name for name, usr in users.items()}
    found = yield from rows(
        "SELECT usr, id FROM request WHERE usr IN_INTS($1) AND scope = $2 AND kind = $3"
        f" AND state = {ENDED} AND time_ms > $4 ORDER BY time_ms, id",
        list(names), scope, kind, since_ms,
    )  # fmt: skip
    latest: dict[int, int] = dict(found)
    if not latest:
        return {}
    made = yield from rows(
        "UPDATE request SET state = 0, text = $1, asker = $2 WHERE id IN_INTS($3) RETURNING usr, id, time_ms",
        text, asker, list(latest.values()),
    )  # fmt: skip
    return {
        names[usr]: Request(id, scope, kind, names[usr], by, text, 0, time_ms, news=False)
        for usr, id, time_ms in made
    }


def _open(
    scope: str, kind: int, users: dict[str, int], by: str, asker: int, text: str, now_ms: int
) -> Op[dict[str, Request]]:
    """New ones, and open ones that get another text or asker."""
    names = {usr: name for name, usr in users.items()}
    opened: dict[str, Request] = {}
    for part in chunks(list(names)):
        values = ", ".join(f"($1, $2, ${at}, $3, $4, $5)" for at in range(6, len(part) + 6))
        made = yield from rows(
            f"INSERT INTO request (scope, kind, usr, asker, text, time_ms) VALUES {values}"
            " ON CONFLICT (scope, kind, usr) WHERE state = 0"
            " DO UPDATE SET text = excluded.text, asker = excluded.asker"
            " RETURNING usr, id, time_ms",
            scope, kind, asker, text, now_ms, *part,
        )  # fmt: skip
        for usr, id, time_ms in made:
            opened[names[usr]] = Request(id, scope, kind, names[usr], by, text, 0, time_ms)
    return opened


def open_requests(
    scope: str, kind: int, users: Sequence[str], by: str, text: str, now_ms: int, rev: int | None,
    notices: Notices, pause_ms: int = 0,
) -> Op[Applied[list[Request]]]:  # fmt: skip
    numbers = yield from account_ids(users)
    asker = yield from account_id(by)
    usrs, name = list(numbers.values()), scope[2:]
    settled = yield from (
        _members(name, usrs, rev) if scope.startswith(GROUP_PREFIX) else _friends(name, usrs)
    )
    fresh = {user: numbers[user] for user in sorted(numbers) if numbers[user] not in settled}
    before = yield from _standing(scope, kind, list(fresh.values()))
    done = {user: request for user, request in before.items() if (request.by, request.text) == (by, text)}
    if pause_ms:
        new = [usr for user, usr in fresh.items() if user not in before]
        done |= yield from _refused(scope, kind, new, now_ms - pause_ms)
        left = {user: usr for user, usr in fresh.items() if user not in before and user not in done}
        done |= yield from _again(scope, kind, left, by, asker, text, now_ms - pause_ms)
    asked = {user: usr for user, usr in fresh.items() if user not in done}
    for user, request in (yield from _open(scope, kind, asked, by, asker, text, now_ms)).items():
        done[user] = request._replace(news=user not in before)
    opened = [done[user] for user in fresh]
    return Applied(opened, (yield from append(notices)))


def decide(scope: str, id: int, state: int, now_ms: int, notices: Notices) -> Op[Applied[Request]]:
    done = yield from rows(
        "UPDATE request SET state = $1, time_ms = $2 WHERE scope = $3 AND id = $4 AND state = 0 RETURNING id",
        state, now_ms, scope, id,
    )  # fmt: skip
    request = yield from load(scope, id)
    if not done:
        raise StoreConflict(f"request {id} was decided already (state {request.state})")
    return Applied(request, (yield from append(notices)))


def close_open(scope: str, users: Sequence[str], state: int, request: int = 0) -> Op[None]:
    """What was asked has come true, by answering `request` (which must be open still) or some other way."""
    if request:
        open_still = yield from first(
            "UPDATE request SET state = $1 WHERE scope = $2 AND id = $3 AND state = 0 RETURNING id",
            state, scope, request,
        )  # fmt: skip
        if open_still is None:
            raise StoreConflict(f"request {request} to {scope} was decided already")
    yield from run(
        "UPDATE request SET state = $1 WHERE scope = $2 AND state = 0"
        " AND usr IN (SELECT id FROM account WHERE name IN_TEXTS($3))",
        state, scope, list(users),
    )  # fmt: skip


def withdraw(scope: str, askers: Sequence[int]) -> Op[None]:
    """What these asked others ends with their going."""
    yield from run(
        "UPDATE request SET state = $1 WHERE scope = $2 AND state = 0 AND asker IN_INTS($3) AND asker <> usr",
        ENDED, scope, list(askers),
    )  # fmt: skip


def listing(scope: str, state: int | None, after: int, limit: int) -> Op[Page[Request]]:
    chosen = "" if state is None else f" AND r.state = {int(state)}"  # said: an index has the open ones alone
    found = yield from rows(
        f"{_REQUEST} WHERE r.scope = $1 AND r.id > $2{chosen} ORDER BY r.id LIMIT $3",
        scope,
        after,
        limit + 1,
    )
    return Page([Request(*row) for row in found[:limit]], len(found) > limit)


def of_user(user: str, after: int, limit: int) -> Op[Page[Request]]:
    usr = yield from find_account(user)
    found = yield from rows(
        f"{_REQUEST} WHERE r.usr = $1 AND r.id > $2 ORDER BY r.id LIMIT $3", usr or 0, after, limit + 1
    )
    return Page([Request(*row) for row in found[:limit]], len(found) > limit)
