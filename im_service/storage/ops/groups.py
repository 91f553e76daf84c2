"""Groups: the group row is the lock and the referee; its rev grows with every change."""

from collections.abc import Iterable, Sequence

from frame.constants import GROUP_PREFIX
from im_service.storage.errors import StoreConflict, StoreFull, StoreMissing
from im_service.storage.ops.requests import ENDED, close_open, hold_accounts, open_requests, withdraw
from im_service.storage.ops.tx import (
    Forget,
    Op,
    Row,
    account_id,
    account_ids,
    append,
    find_conversation,
    first,
    given,
    next_change,
    rows,
    run,
    touch,
)
from im_service.storage.records import Applied, Ask, Group, GroupMember, Notices, Page, Request, Role

DAY_MS = 86_400_000
_GROUP = (
    "SELECT c.name, a.name, g.info, g.member_limit, g.member_count, g.mute_all, g.rev, g.created_ms,"
    " c.last_seq"
    " FROM chat_group g JOIN conversation c ON c.id = g.conv JOIN account a ON a.id = g.owner"
    " WHERE g.dismissed_ms = 0"
)
_MEMBER = (
    "SELECT c.name, a.name, m.role, m.nick, m.ext, m.muted_ms, m.joined_ms, m.joined_seq"
    " FROM group_member m JOIN account a ON a.id = m.usr JOIN conversation c ON c.id = m.conv"
)
_THESE = (
    "m.conv = (SELECT id FROM conversation WHERE name = $1)"
    " AND m.usr IN (SELECT id FROM account WHERE name IN_TEXTS($2))"
)


def _group(row: Row) -> Group:
    name, owner, info, limit, count, mute_all, rev, created, last = row
    return Group(name[2:], owner, info, limit, count, bool(mute_all), rev, created, last)


def _member(row: Row) -> GroupMember:
    name, user, role, *rest = row
    return GroupMember(name[2:], user, Role(role), *rest)


def _lock(group: str, rev: int | None) -> Op[int]:
    """Take the group for this transaction, raise its rev. -> conversation number."""
    conv = yield from find_conversation(GROUP_PREFIX + group)
    found = None
    if conv is not None:
        found = yield from first(
            "UPDATE chat_group SET rev = rev + 1 WHERE conv = $1 AND dismissed_ms = 0 RETURNING rev", conv
        )
    if conv is None or found is None:
        raise StoreMissing(f"no group {group}")
    if rev is not None and found[0] != rev + 1:
        raise StoreConflict(f"group {group} is at rev {found[0] - 1}, not {rev}")
    return conv


def _load(conv: int) -> Op[Group]:
    found = yield from first(f"{_GROUP} AND g.conv = $1", conv)
    assert found is not None
    return _group(found)


def _enter(conv: int, users: dict[str, int], owner: int, history: bool, now_ms: int) -> Op[list[str]]:
    """Member and inbox rows of those not in yet. -> their names, sorted."""
    last = yield from first("SELECT last_seq FROM conversation WHERE id = $1", conv)
    last_seq: int = last[0] if last else 0
    change = yield from next_change()
    added: list[str] = []
    for name, usr in sorted(users.items()):
        role = Role.OWNER if usr == owner else Role.MEMBER
        done = yield from rows(
            "INSERT INTO group_member (conv, usr, role, joined_ms, joined_seq) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT DO NOTHING RETURNING usr",
            conv, usr, int(role), now_ms, last_seq,
        )  # fmt: skip
        if not done:
            continue
        added.append(name)
        low = 1 if history else last_seq + 1
        yield from run(
            "INSERT INTO inbox (usr, conv, join_seq, min_seq, read_seq, change)"
            " VALUES ($1, $2, $3, $4, $3, $5)"
            " ON CONFLICT (usr, conv) DO UPDATE SET join_seq = excluded.join_seq, active = 1, until_seq = 0,"
            " min_seq = CASE WHEN excluded.min_seq > inbox.min_seq THEN excluded.min_seq"
            " ELSE inbox.min_seq END,"
            " read_seq = excluded.read_seq, change = excluded.change",
            usr, conv, last_seq, low, change,
        )  # fmt: skip
    return added


def _recount(conv: int) -> Op[tuple[int, int]]:
    """-> (members, limit) as they are now."""
    found = yield from first(
        "UPDATE chat_group SET member_count = (SELECT count(*) FROM group_member WHERE conv = $1)"
        " WHERE conv = $1 RETURNING member_count, member_limit",
        conv,
    )
    assert found is not None
    return found[0], found[1]


def create(
    group: str,
    owner: str,
    info: bytes,
    members: Sequence[str],
    member_limit: int,
    now_ms: int,
    notices: Notices,
    ask: Ask | None,
    most: int,
) -> Op[Applied[Group]]:
    users = yield from account_ids([owner, *members])
    if len(users) > member_limit:
        raise StoreFull(f"{len(users)} members, {member_limit} allowed")
    if most:
        yield from hold_accounts([users[owner]])
        held = yield from first(
            "SELECT (SELECT count(*) FROM group_member WHERE usr = $1)"
            " + (SELECT count(*) FROM chat_group WHERE owner = $1 AND dismissed_ms > $2)",
            users[owner], now_ms - DAY_MS,
        )  # fmt: skip
        if held and held[0] >= most:
            raise StoreConflict(f"at most {most} groups a user")
    made = yield from first(
        "INSERT INTO conversation (name, change) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id",
        GROUP_PREFIX + group,
        (yield from next_change()),
    )
    if made is None:
        raise StoreConflict(f"group id {group} is taken")
    conv: int = made[0]
    yield from run(
        "INSERT INTO chat_group (conv, owner, info, member_limit, member_count, created_ms)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        conv, users[owner], info, member_limit, len(users), now_ms,
    )  # fmt: skip
    yield from _enter(conv, users, users[owner], True, now_ms)
    told = yield from append(notices)
    opened = yield from _ask(group, ask, now_ms)
    return Applied((yield from _load(conv)), told, opened)


def _ask(group: str, ask: Ask | None, now_ms: int) -> Op[list[Request]]:
    if ask is None or not ask.users:
        return []
    done = yield from open_requests(
        GROUP_PREFIX + group, ask.kind, ask.users, ask.by, ask.text, now_ms, None, (), ask.pause_ms
    )
    return done.value


def load(groups: Sequence[str]) -> Op[list[Group]]:
    found = yield from rows(f"{_GROUP} AND c.name IN_TEXTS($1)", [GROUP_PREFIX + group for group in groups])
    return [_group(row) for row in found]


def update(
    group: str, info: bytes | None, mute_all: bool | None, member_limit: int | None, rev: int | None,
    notices: Notices,
) -> Op[Applied[Group]]:  # fmt: skip
    conv = yield from _lock(group, rev)
    for column, value in given(info=info, mute_all=mute_all, member_limit=member_limit).items():
        yield from run(f"UPDATE chat_group SET {column} = $1 WHERE conv = $2", value, conv)
    yield from touch(conv)
    told = yield from append(notices)
    return Applied((yield from _load(conv)), told)


def dismiss(group: str, now_ms: int, rev: int | None, notices: Notices) -> Op[Applied[list[str]]]:
    conv = yield from _lock(group, rev)
    told = yield from append(notices)
    yield from run("UPDATE chat_group SET dismissed_ms = $1 WHERE conv = $2", now_ms, conv)
    yield Forget(GROUP_PREFIX + group)
    yield from touch(conv)  # waits for sends under way; later ones find the group gone
    gone = yield from _leave(conv, None)
    yield from run(
        "UPDATE request SET state = $1 WHERE scope = $2 AND state = 0", ENDED, GROUP_PREFIX + group
    )
    return Applied(gone, told)


def _leave(conv: int, usrs: list[int] | None) -> Op[list[str]]:
    """Members (None = all) out, their inbox rows closed at the present end. -> names, sorted."""
    chosen = "" if usrs is None else " AND usr IN_INTS($2)"
    args = (conv,) if usrs is None else (conv, usrs)
    left = yield from rows(f"DELETE FROM group_member WHERE conv = $1{chosen} RETURNING usr", *args)
    ids = [row[0] for row in left]
    if not ids:
        return []
    yield from run(
        "UPDATE inbox SET active = 0, change = $2,"
        " until_seq = (SELECT last_seq FROM conversation WHERE id = $1)"
        " WHERE conv = $1 AND usr IN_INTS($3)",
        conv, (yield from next_change()), ids,
    )  # fmt: skip
    names = yield from rows("SELECT name FROM account WHERE id IN_INTS($1) ORDER BY name", ids)
    return [name for (name,) in names]


def add_members(
    group: str, users: Sequence[str], now_ms: int, history: bool, rev: int | None, request: int,
    notices: Notices, ask: Ask | None,
) -> Op[Applied[list[str]]]:  # fmt: skip
    conv = yield from _lock(group, rev)
    added = yield from _enter(conv, (yield from account_ids(users)), 0, history, now_ms)
    count, limit = yield from _recount(conv)
    if count > limit and added:
        raise StoreFull(f"group {group} would have {count} members, {limit} allowed")
    yield from close_open(GROUP_PREFIX + group, users, 1, request)
    opened = yield from _ask(group, ask, now_ms)
    return Applied(added, (yield from append(notices)) if added else (), opened)


def remove_members(
    group: str, users: Sequence[str], rev: int | None, notices: Notices
) -> Op[Applied[list[str]]]:
    conv = yield from _lock(group, rev)
    inside = yield from rows(
        "SELECT m.usr FROM group_member m JOIN account a ON a.id = m.usr"
        f" WHERE m.conv = $1 AND a.name IN_TEXTS($2) AND m.role <> {int(Role.OWNER)}",
        conv,
        list(users),
    )
    if not inside:
        return Applied([])
    told = yield from append(notices)
    usrs = [row[0] for row in inside]
    gone = yield from _leave(conv, usrs)
    yield from withdraw(GROUP_PREFIX + group, usrs)
    yield from _recount(conv)
    return Applied(gone, told)


def update_members(
    group: str, users: Sequence[str], role: Role | None, nick: str | None, ext: bytes | None,
    muted_until_ms: int | None, rev: int | None, notices: Notices,
) -> Op[Applied[list[GroupMember]]]:  # fmt: skip
    conv = yield from _lock(group, rev)
    pairs = [(group, user) for user in sorted(set(users))]
    before = yield from member_states(pairs)
    for pair in pairs:
        if pair not in before:
            raise StoreMissing(f"{pair[1]} is not in group {group}")
        if role is not None and Role.OWNER in (role, before[pair].role) and role != before[pair].role:
            raise StoreConflict("the owner changes by transfer only")
    for column, value in given(role=role, nick=nick, ext=ext, muted_ms=muted_until_ms).items():
        yield from run(
            f"UPDATE group_member SET {column} = $1 WHERE conv = $2"
            " AND usr IN (SELECT id FROM account WHERE name IN_TEXTS($3))",
            value, conv, list(users),
        )  # fmt: skip
    yield from touch(conv)
    told = yield from append(notices)
    states = yield from member_states(pairs)
    return Applied([states[pair] for pair in pairs], told)


def transfer(
    group: str, new_owner: str, leave: bool, rev: int | None, notices: Notices
) -> Op[Applied[Group]]:
    conv = yield from _lock(group, rev)
    usr = yield from account_id(new_owner)
    raised = yield from rows(
        "UPDATE group_member SET role = $1, muted_ms = 0 WHERE conv = $2 AND usr = $3 RETURNING usr",
        int(Role.OWNER), conv, usr,
    )  # fmt: skip
    if not raised:
        raise StoreMissing(f"{new_owner} is not in group {group}")
    old = yield from rows(
        "UPDATE group_member SET role = $1 WHERE conv = $2 AND usr <> $3 AND role = $4 RETURNING usr",
        int(Role.MEMBER), conv, usr, int(Role.OWNER),
    )  # fmt: skip
    yield from run("UPDATE chat_group SET owner = $1 WHERE conv = $2", usr, conv)
    yield from touch(conv)
    told = yield from append(notices)
    if leave and old:
        usrs = [row[0] for row in old]
        yield from _leave(conv, usrs)
        yield from withdraw(GROUP_PREFIX + group, usrs)
        yield from _recount(conv)
    return Applied((yield from _load(conv)), told)


def members(group: str, after: str, limit: int) -> Op[Page[GroupMember]]:
    found = yield from rows(
        f"{_MEMBER} WHERE c.name = $1 AND a.name > $2 ORDER BY a.name LIMIT $3",
        GROUP_PREFIX + group,
        after,
        limit + 1,
    )
    return Page([_member(row) for row in found[:limit]], len(found) > limit)


def managers(group: str) -> Op[list[str]]:
    found = yield from rows(
        "SELECT a.name FROM group_member m JOIN account a ON a.id = m.usr"
        " WHERE m.conv = (SELECT id FROM conversation WHERE name = $1)"
        f" AND m.role IN ({int(Role.OWNER)}, {int(Role.MANAGER)}) ORDER BY a.name",
        GROUP_PREFIX + group,
    )
    return [name for (name,) in found]


def member_states(pairs: Iterable[tuple[str, str]]) -> Op[dict[tuple[str, str], GroupMember]]:
    """Asked group by group: a batch of sends holds many users of few groups."""
    wanted: dict[str, list[str]] = {}
    for group, user in pairs:
        wanted.setdefault(group, []).append(user)
    states: dict[tuple[str, str], GroupMember] = {}
    for group, users in wanted.items():
        found = yield from rows(f"{_MEMBER} WHERE {_THESE}", GROUP_PREFIX + group, users)
        states |= {(group, row[1]): _member(row) for row in found}
    return states


def groups_of(user: str) -> Op[list[Group]]:
    found = yield from rows(
        f"{_GROUP} AND g.conv IN (SELECT m.conv FROM group_member m"
        " WHERE m.usr = (SELECT id FROM account WHERE name = $1)) ORDER BY c.name",
        user,
    )
    return [_group(row) for row in found]
