"""Accounts as the application's server keeps them: made, listed, deleted and taken back."""

from collections.abc import Sequence

from im_service.storage.errors import StoreConflict, StoreMissing
from im_service.storage.event_records import NewEvent
from im_service.storage.ops.people import account_of, accounts
from im_service.storage.ops.requests import hold_accounts
from im_service.storage.ops.tx import Op, account_ids, chunks, emit, find_account, rows, run
from im_service.storage.records import FOREVER, Account, AccountPage, AccountStage, NewAccount

LOOKED_AT = 1000
"""Accounts that one page looks at, whatever is asked of them."""
MADE, THERE, CLOSED = "created", "exists", "closed"
_ACCOUNT = (
    "SELECT a.name, s.disabled_ms, s.mute_single_ms, s.mute_group_ms, s.mute_room_ms, s.info, s.shadow_ms,"
    " s.state, s.created_ms, a.id FROM account a LEFT JOIN account_state s ON s.usr = a.id"
)


def create(wanted: Sequence[NewAccount], now_ms: int, events: Sequence[NewEvent]) -> Op[list[str]]:
    """What became of each, in their order. Nobody is made twice, none who is deleted or erased comes back.
    A profile that somebody has already stays. The events of those who are made."""
    numbers = yield from account_ids([new.user for new in wanted])
    yield from hold_accounts(sorted(numbers.values()))
    known = yield from accounts(list(numbers))
    outcomes: list[str] = []
    fresh: dict[int, bytes] = {}
    for new in wanted:
        before, usr = known[new.user], numbers[new.user]
        if before.state != AccountStage.LIVE:
            outcomes.append(CLOSED)
        elif usr in fresh or before.created_ms:
            outcomes.append(THERE)
        else:
            outcomes.append(MADE)
            fresh[usr] = new.profile
    for part in chunks(list(fresh)):
        values = ", ".join(f"(${at}, $1, $1)" for at in range(2, 2 + len(part)))
        yield from run(
            f"INSERT INTO account_state (usr, created_ms, updated_ms) VALUES {values} ON CONFLICT (usr) DO"
            " UPDATE SET created_ms = excluded.created_ms, updated_ms = excluded.updated_ms",
            now_ms, *part,
        )  # fmt: skip
    given = [(usr, profile) for usr, profile in fresh.items() if profile]
    for some in chunks(given):
        values = ", ".join(f"(${at}, ${at + 1}, 1, $1)" for at in range(2, 2 + 2 * len(some), 2))
        yield from run(
            f"INSERT INTO profile (usr, info, rev, time_ms) VALUES {values} ON CONFLICT (usr) DO NOTHING",
            now_ms, *(value for one in some for value in one),
        )  # fmt: skip
    told = zip(events, outcomes, strict=False)
    yield from emit([event for event, outcome in told if outcome == MADE])
    return outcomes


def listed(
    after: int, stages: Sequence[int], disabled_at_ms: int, since_ms: int, limit: int
) -> Op[AccountPage]:
    """In the order in which they were first named. Those of the service itself are none."""
    found = yield from rows(f"{_ACCOUNT} WHERE a.id > $1 ORDER BY a.id LIMIT $2", after, LOOKED_AT)
    items: list[tuple[Account, int]] = []
    for row in found:
        after, account = int(row[9]), account_of(row[:9])
        if account.user.startswith("@") or account.state not in stages or account.created_ms < since_ms:
            continue
        if disabled_at_ms and account.disabled_until_ms <= disabled_at_ms:
            continue
        items.append((account, after))
        if len(items) == limit:
            break
    return AccountPage(items, after, bool(found) and (len(found) == LOOKED_AT or found[-1][9] != after))


def delete(user: str, now_ms: int) -> Op[bool]:
    """-> was it live."""
    usr = yield from _known(user)
    yield from run(
        "INSERT INTO account_state (usr, updated_ms) VALUES ($1, $2) ON CONFLICT (usr) DO NOTHING",
        usr, now_ms,
    )  # fmt: skip
    done = yield from rows(
        f"UPDATE account_state SET state = {int(AccountStage.DELETED)}, restored_ms = disabled_ms,"
        " disabled_ms = $1, updated_ms = $2 WHERE usr = $3 AND state = 0 RETURNING usr",
        FOREVER, now_ms, usr,
    )  # fmt: skip
    return bool(done)


def restore(user: str, now_ms: int) -> Op[bool]:
    """-> was it deleted. Who was disabled before is so again. StoreConflict: it is erased, or about to be."""
    usr = yield from _known(user)
    done = yield from rows(
        "UPDATE account_state SET state = 0, disabled_ms = restored_ms, restored_ms = 0, updated_ms = $1"
        f" WHERE usr = $2 AND state = {int(AccountStage.DELETED)} RETURNING usr",
        now_ms, usr,
    )  # fmt: skip
    if not done and (yield from accounts([user]))[user].state:
        raise StoreConflict("what is erased does not come back")
    return bool(done)


def _known(user: str) -> Op[int]:
    usr = yield from find_account(user)
    if usr is None:
        raise StoreMissing(f"nobody knows {user}")
    return usr
