"""Profiles, relations, accounts and devices."""

from collections.abc import Sequence
from functools import cache

from frame.constants import GROUP_PREFIX
from im_service.storage.errors import StoreConflict
from im_service.storage.ops.tx import (
    Op,
    Row,
    account_id,
    account_ids,
    chunks,
    first,
    given,
    rows,
    run,
)
from im_service.storage.records import (
    Account,
    Change,
    Device,
    Hearing,
    Login,
    Logout,
    NewLogin,
    Profile,
)

_DEVICE = (
    "SELECT a.name, d.name, d.platform, d.session_id, d.online, d.first_login_ms, d.last_login_ms,"
    " d.last_logout_ms, d.info FROM device d JOIN account a ON a.id = d.usr"
)


# CROSS JOIN: SQLite keeps this order, from the user to the groups.
_GROUPS = (
    "SELECT a.name, c.name FROM account a CROSS JOIN group_member m CROSS JOIN conversation c"
    " WHERE a.id IN_INTS($1) AND m.usr = a.id AND c.id = m.conv ORDER BY c.name"
)
_LEFT = (
    "SELECT a.name, c.name FROM account a CROSS JOIN inbox i CROSS JOIN conversation c"
    " WHERE a.id IN_INTS($1) AND i.usr = a.id AND i.active = 0 AND c.id = i.conv ORDER BY c.name"
)


def set_profile(user: str, change: Change, now_ms: int) -> Op[Profile]:
    usr = yield from account_id(user)
    yield from run(
        "INSERT INTO profile (usr, info, rev, time_ms) VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING",
        usr, b"", now_ms,
    )  # fmt: skip
    found = yield from first("SELECT info, rev + 1 FROM profile WHERE usr = $1 HELD", usr)
    assert found is not None
    info, rev = change(found[0]), found[1]
    yield from run(
        "UPDATE profile SET info = $1, rev = $2, time_ms = $3 WHERE usr = $4", info, rev, now_ms, usr
    )
    return Profile(user, info, rev, now_ms)


def profiles(users: Sequence[str]) -> Op[list[Profile]]:
    found = yield from rows(
        "SELECT a.name, p.info, p.rev, p.time_ms FROM profile p JOIN account a ON a.id = p.usr"
        " WHERE a.name IN_TEXTS($1) ORDER BY a.name",
        list(users),
    )
    return [Profile(*row) for row in found]


def accounts(users: Sequence[str]) -> Op[dict[str, Account]]:
    found = yield from rows(
        "SELECT a.name, s.disabled_ms, s.mute_single_ms, s.mute_group_ms, s.mute_room_ms, s.info,"
        " s.shadow_ms, s.state, s.created_ms"
        " FROM account a LEFT JOIN account_state s ON s.usr = a.id WHERE a.name IN_TEXTS($1)",
        list(users),
    )
    known = {row[0]: account_of(row) for row in found}
    return {user: known.get(user) or Account(user, False, 0, 0, 0, 0, b"") for user in users}


def account_of(row: Row) -> Account:
    """Name and columns of account_state, which may be missing."""
    name, disabled, single, group, room, info, *rest = row
    shadow, state, created = (value or 0 for value in rest)
    return Account(
        name, True, disabled or 0, single or 0, group or 0, room or 0, info or b"", shadow, state, created
    )


def set_account(
    user: str, now_ms: int, disabled_ms: int | None, mute_single_ms: int | None, mute_group_ms: int | None,
    mute_room_ms: int | None, info: bytes | None, shadow_ms: int | None = None,
) -> Op[Account]:  # fmt: skip
    usr = yield from account_id(user)
    yield from run(
        "INSERT INTO account_state (usr, updated_ms) VALUES ($1, $2)"
        " ON CONFLICT (usr) DO UPDATE SET updated_ms = excluded.updated_ms",
        usr, now_ms,
    )  # fmt: skip
    if disabled_ms is not None:
        found = yield from first("SELECT state FROM account_state WHERE usr = $1 HELD", usr)
        if found is not None and found[0]:
            raise StoreConflict(f"the account of {user} was deleted")
    values = given(
        disabled_ms=disabled_ms, mute_single_ms=mute_single_ms, mute_group_ms=mute_group_ms,
        mute_room_ms=mute_room_ms, info=info, shadow_ms=shadow_ms,
    )  # fmt: skip
    for column, value in values.items():
        yield from run(f"UPDATE account_state SET {column} = $1 WHERE usr = $2", value, usr)
    return (yield from accounts([user]))[user]


def _device(row: Row) -> Device:
    user, name, platform, session, online, *rest = row
    return Device(user, name, platform, session, bool(online), *rest)


def logins(wanted: Sequence[NewLogin], now_ms: int, keep: int) -> Op[list[Login]]:
    """A statement numbers new devices by what was there before it: no user may be in it twice."""
    taken: list[Login] = []
    round_: dict[str, NewLogin] = {}
    for login in wanted:
        if login.user in round_:
            taken += yield from _logins(round_, now_ms, keep)
            round_ = {}
        round_[login.user] = login
    return taken + (yield from _logins(round_, now_ms, keep))


def _latest(usrs: list[int], keep: int) -> Op[dict[str, list[Device]]]:
    """The devices of these users, of each the `keep` that logged in last and a few more."""
    found: list[Row] = []
    many: dict[int, int] = {}
    if keep:
        last = yield from rows(
            "SELECT a.id, (SELECT d.last_login_ms FROM device d WHERE d.usr = a.id"
            " ORDER BY d.last_login_ms DESC LIMIT 1 OFFSET $2) FROM account a WHERE a.id IN_INTS($1)",
            usrs, keep,
        )  # fmt: skip
        many = {usr: ms for usr, ms in last if ms is not None}
    for usr, ms in sorted(many.items()):
        found += yield from rows(f"{_DEVICE} WHERE d.usr = $1 AND d.last_login_ms >= $2", usr, ms)
    found += yield from rows(f"{_DEVICE} WHERE d.usr IN_INTS($1)", [usr for usr in usrs if usr not in many])
    latest: dict[str, list[Device]] = {}
    for row in found:
        latest.setdefault(row[0], []).append(_device(row))
    return latest


def _forget(usr: int, names: Sequence[str]) -> Op[None]:
    """These devices, and what they acknowledged: a later one may get their number."""
    gone = yield from rows(
        "DELETE FROM device WHERE usr = $1 AND name IN_TEXTS($2) RETURNING number", usr, list(names)
    )
    yield from run(
        "DELETE FROM device_mark WHERE usr = $1 AND number IN_INTS($2)", usr, [number for (number,) in gone]
    )


def trim_devices(after: int, keep: int, max_rows: int) -> Op[int | None]:
    """One page of users. -> the `after` of the next one, None when there is none."""
    page = max_rows + keep
    users: list[Row] = yield from rows(
        "SELECT s.usr, count(*) FROM (SELECT usr FROM device WHERE usr > $1 ORDER BY usr LIMIT $2) s"
        " GROUP BY s.usr ORDER BY s.usr",
        after, page,
    )  # fmt: skip
    full = sum(count for _, count in users) >= page
    if full and len(users) > 1:
        users.pop()  # it may have more than the page shows
    budget = max_rows
    for usr, count in users:
        if count > keep:
            many = min(count - keep, budget)
            old = yield from rows(
                "SELECT name FROM device WHERE usr = $1 AND online = 0 ORDER BY last_login_ms LIMIT $2",
                usr, many,
            )  # fmt: skip
            if many and not old:  # a server died, and nobody logged them out
                old = yield from rows(
                    "SELECT name FROM device WHERE usr = $1 ORDER BY last_login_ms LIMIT $2", usr, many
                )
            yield from _forget(usr, [name for (name,) in old])
            budget -= len(old)
            if len(old) < count - keep or (full and len(users) == 1):
                return after  # there is more to do for this one
        after = int(usr)
    return after if full else None


def _logins(wanted: dict[str, NewLogin], now_ms: int, keep: int) -> Op[list[Login]]:
    numbers = yield from account_ids(list(wanted))
    known = yield from accounts(list(wanted))
    usrs = sorted(numbers.values())
    before = yield from _latest(usrs, keep)
    # Sorted, so that two processes wait for each other's rows in the same order.
    ordered = sorted(wanted.values(), key=lambda login: numbers[login.user])
    # Nothing is kept of a device on which somebody is refused for good.
    live = [login for login in ordered if not known[login.user].state]
    for part in chunks(live):
        yield from run(_login_text(len(part)), now_ms, *(
            value for login in part
            for value in (numbers[login.user], login.device, login.platform, login.session_id, login.info)
        ))  # fmt: skip
    for login in live if keep else ():
        others = [device for device in before.get(login.user, ()) if device.device != login.device]
        if len(others) >= keep:
            others.sort(key=lambda device: (device.online, device.last_login_ms))
            gone = others[: len(others) + 1 - keep]
            yield from _forget(numbers[login.user], [device.device for device in gone])
    groups = yield from _by_user(_GROUPS, usrs)
    return [
        _login(login, before.get(user, []), known[user], groups.get(user, []), now_ms)
        for user, login in wanted.items()
    ]


def _by_user(sql: str, usrs: list[int]) -> Op[dict[str, list[str]]]:
    """Groups."""
    found: dict[str, list[str]] = {}
    for user, name in (yield from rows(sql, usrs)):
        found.setdefault(user, []).append(name[len(GROUP_PREFIX) :])
    return found


def hearings(users: Sequence[str]) -> Op[dict[str, Hearing]]:
    """First what they left: who comes into a group between the two reads is in it."""
    ids = yield from rows("SELECT id FROM account WHERE name IN_TEXTS($1)", list(users))
    usrs = [usr for (usr,) in ids]
    known = yield from accounts(users)
    left = yield from _by_user(_LEFT, usrs)
    groups = yield from _by_user(_GROUPS, usrs)
    return {user: Hearing(known[user], groups.get(user, []), left.get(user, [])) for user in users}


def _login(login: NewLogin, before: list[Device], account: Account, groups: list[str], now_ms: int) -> Login:
    own = next((device for device in before if device.device == login.device), None)
    first_ms, out_ms = (own.first_login_ms, own.last_logout_ms) if own is not None else (now_ms, 0)
    device = Device(*login[:4], True, first_ms, now_ms, out_ms, login.info)
    others = sorted((d for d in before if d is not own), key=lambda d: (-d.last_login_ms, d.device))
    return Login(device, own is None, others, account, groups)


@cache
def _login_text(count: int) -> str:
    """Rows of (usr, name, platform, session, info) at one time $1."""
    lines = []
    for at in range(2, 2 + 5 * count, 5):
        number = f"(SELECT coalesce(max(d.number), 0) + 1 FROM device d WHERE d.usr = ${at})"
        lines.append(f"(${at}, ${at + 1}, {number}, ${at + 2}, ${at + 3}, 1, $1, $1, ${at + 4})")
    return (
        "INSERT INTO device (usr, name, number, platform, session_id, online, first_login_ms, last_login_ms,"
        f" info) VALUES {', '.join(lines)} ON CONFLICT (usr, name) DO UPDATE SET"
        " platform = excluded.platform, session_id = excluded.session_id, online = 1,"
        " last_login_ms = excluded.last_login_ms, info = excluded.info"
    )


def logouts(gone: Sequence[Logout], now_ms: int) -> Op[list[bool]]:
    done: dict[Logout, bool] = {}
    for logout in sorted(gone):  # the order in which two processes wait for each other's rows
        found = yield from rows(
            "UPDATE device SET online = 0, last_logout_ms = $1"
            " WHERE usr = (SELECT id FROM account WHERE name = $2) AND name = $3 AND session_id = $4"
            " AND online = 1 RETURNING number",
            now_ms, *logout,
        )  # fmt: skip
        done[logout] = bool(found)
    return [done[logout] for logout in gone]


def devices(user: str) -> Op[list[Device]]:
    found = yield from rows(f"{_DEVICE} WHERE a.name = $1 ORDER BY d.last_login_ms DESC, d.name", user)
    return [_device(row) for row in found]
