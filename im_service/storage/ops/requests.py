"""Join requests, invitations and friend requests, and how they end."""

from collections.abc import Sequence

from im_service.storage.errors import StoreConflict, StoreMissing
from im_service.storage.ops.tx import Op, account_id, account_ids, append, first, rows, run
from im_service.storage.records import Applied, NewMessage, Page, Request

_REQUEST = (
    "SELECT r.id, r.scope, r.kind, u.name, b.name, r.text, r.state, r.time_ms"
    " FROM request r JOIN account u ON u.id = r.usr JOIN account b ON b.id = r.asker"
)


def load(scope: str, id: int) -> Op[Request]:
    found = yield from first(f"{_REQUEST} WHERE r.scope = $1 AND r.id = $2", scope, id)
    if found is None:
        raise StoreMissing(f"no request {id} for {scope}")
    return Request(*found)


def open_requests(
    scope: str, kind: int, users: Sequence[str], by: str, text: str, now_ms: int,
    notices: Sequence[NewMessage],
) -> Op[Applied[list[Request]]]:  # fmt: skip
    numbers = yield from account_ids(users)
    asker = yield from account_id(by)
    opened: list[Request] = []
    for user in sorted(numbers):
        made = yield from first(
            "INSERT INTO request (scope, kind, usr, asker, text, time_ms) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (scope, kind, usr) WHERE state = 0"
            " DO UPDATE SET text = excluded.text, asker = excluded.asker, time_ms = excluded.time_ms"
            " RETURNING id",
            scope, kind, numbers[user], asker, text, now_ms,
        )  # fmt: skip
        assert made is not None
        opened.append((yield from load(scope, made[0])))
    return Applied(opened, (yield from append(notices)))


def decide(
    scope: str, id: int, state: int, now_ms: int, notices: Sequence[NewMessage]
) -> Op[Applied[Request]]:
    done = yield from rows(
        "UPDATE request SET state = $1, time_ms = $2 WHERE scope = $3 AND id = $4 AND state = 0 RETURNING id",
        state, now_ms, scope, id,
    )  # fmt: skip
    request = yield from load(scope, id)
    if not done:
        raise StoreConflict(f"request {id} was decided already (state {request.state})")
    return Applied(request, (yield from append(notices)))


def close_open(scope: str, users: Sequence[str], state: int) -> Op[None]:
    """What was asked has come true some other way."""
    yield from run(
        "UPDATE request SET state = $1 WHERE scope = $2 AND state = 0"
        " AND usr IN (SELECT id FROM account WHERE name IN_TEXTS($3))",
        state, scope, list(users),
    )  # fmt: skip


def listing(scope: str, state: int | None, after: int, limit: int) -> Op[Page[Request]]:
    chosen = "" if state is None else " AND r.state = $4"
    args = (scope, after, limit + 1) if state is None else (scope, after, limit + 1, state)
    found = yield from rows(
        f"{_REQUEST} WHERE r.scope = $1 AND r.id > $2{chosen} ORDER BY r.id LIMIT $3", *args
    )
    return Page([Request(*row) for row in found[:limit]], len(found) > limit)


def of_user(user: str, after: int, limit: int) -> Op[Page[Request]]:
    found = yield from rows(f"{_REQUEST} WHERE u.name = $1 AND r.id > $2 ORDER BY r.id LIMIT $3",
                            user, after, limit + 1)  # fmt: skip
    return Page([Request(*row) for row in found[:limit]], len(found) > limit)
