"""Tokens of devices, what users say of pushes, and what stands on the badge."""

from collections.abc import Callable, Sequence

from im_service.storage.ops.inbox import unread
from im_service.storage.ops.tx import Op, account_id, find_account, first, rows, run
from im_service.storage.records import Change, PushAddress, PushToken

_TOKENS = (
    "SELECT a.name, p.device, p.vendor, p.app, p.token, p.locale, p.time_ms FROM push_token p"
    " JOIN account a ON a.id = p.usr"
)


def set_token(token: PushToken, keep: int) -> Op[list[str]]:
    usr = yield from account_id(token.user)
    others = yield from rows(
        "SELECT p.usr, p.device, a.name FROM push_token p JOIN account a ON a.id = p.usr WHERE p.token = $1"
        " AND p.vendor = $2 AND p.app = $3 ORDER BY p.usr, p.device",
        token.token, token.vendor, token.app,
    )  # fmt: skip
    changed = {token.user: None}
    for other, device, name in others:
        yield from run("DELETE FROM push_token WHERE usr = $1 AND device = $2", other, device)
        changed[name] = None
    yield from run(
        "INSERT INTO push_token (usr, device, vendor, app, token, locale, time_ms)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (usr, device) DO UPDATE SET"
        " vendor = excluded.vendor, app = excluded.app, token = excluded.token, locale = excluded.locale,"
        " time_ms = excluded.time_ms",
        usr, *token[1:],
    )  # fmt: skip
    old = yield from rows(
        "SELECT device FROM push_token WHERE usr = $1 AND device <> $2 ORDER BY time_ms DESC, device"
        " LIMIT 1000 OFFSET $3",
        usr, token.device, keep - 1,
    )  # fmt: skip
    yield from run(
        "DELETE FROM push_token WHERE usr = $1 AND device IN_TEXTS($2)", usr, [device for (device,) in old]
    )
    return list(changed)


def drop_devices(devices: Sequence[tuple[str, str]]) -> Op[list[str]]:
    changed: dict[str, None] = {}
    for user, device in sorted(set(devices)):  # the order in which two processes wait for each other's rows
        found = yield from rows(
            "DELETE FROM push_token WHERE usr = (SELECT id FROM account WHERE name = $1) AND device = $2"
            " RETURNING device",
            user, device,
        )  # fmt: skip
        if found:
            changed[user] = None
    return list(changed)


def drop_tokens(tokens: Sequence[PushToken]) -> Op[list[str]]:
    changed: dict[str, None] = {}
    for token in sorted(set(tokens)):
        found = yield from rows(
            "DELETE FROM push_token WHERE usr = (SELECT id FROM account WHERE name = $1) AND device = $2"
            " AND vendor = $3 AND app = $4 AND token = $5 AND time_ms <= $6 RETURNING device",
            token.user, token.device, token.vendor, token.app, token.token, token.time_ms,
        )  # fmt: skip
        if found:
            changed[token.user] = None
    return list(changed)


def addresses(users: Sequence[str]) -> Op[dict[str, PushAddress]]:
    found = yield from rows(f"{_TOKENS} WHERE a.name IN_TEXTS($1) ORDER BY p.usr, p.device", list(users))
    tokens: dict[str, list[PushToken]] = {}
    for row in found:
        tokens.setdefault(row[0], []).append(PushToken(*row))
    rules = yield from rows(
        "SELECT a.name, r.rules FROM push_rules r JOIN account a ON a.id = r.usr WHERE a.name IN_TEXTS($1)",
        list(users),
    )
    said: dict[str, bytes] = dict(rules)
    return {user: PushAddress(tuple(tokens.get(user, ())), said.get(user, b"")) for user in users}


def set_rules(user: str, change: Change) -> Op[bytes]:
    usr = yield from account_id(user)
    yield from run("INSERT INTO push_rules (usr, rules) VALUES ($1, $2) ON CONFLICT DO NOTHING", usr, b"")
    found = yield from first("SELECT rules FROM push_rules WHERE usr = $1 HELD", usr)
    assert found is not None
    rules = change(found[0])
    yield from run("UPDATE push_rules SET rules = $1 WHERE usr = $2", rules, usr)
    return rules


def inbox_settings(conversation: str, users: Sequence[str]) -> Op[dict[str, bytes]]:
    found = yield from rows(
        "SELECT a.name, i.settings FROM account a JOIN inbox i ON i.usr = a.id"
        " WHERE i.conv = (SELECT id FROM conversation WHERE name = $1) AND a.name IN_TEXTS($2)",
        conversation,
        list(users),
    )
    return dict(found)


def badges(
    users: Sequence[str], now_ms: int, counts: Callable[[bytes], bool], pages: int
) -> Op[dict[str, int]]:
    found: dict[str, int] = {}
    for user in users:
        found[user] = yield from _badge(user, now_ms, counts, pages)
    return found


def _badge(user: str, now_ms: int, counts: Callable[[bytes], bool], pages: int) -> Op[int]:
    usr = yield from find_account(user)
    total, after = 0, ""
    for _ in range(pages if usr is not None else 0):
        page = yield from unread(user, None, now_ms, after)
        settings = yield from rows(
            "SELECT c.name, i.settings FROM inbox i JOIN conversation c ON c.id = i.conv WHERE i.usr = $1"
            " AND i.conv IN (SELECT id FROM conversation WHERE name IN_TEXTS($2))",
            usr, list(page.counts),
        )  # fmt: skip
        total += sum(page.counts[name] for name, said in settings if counts(said))
        if not page.more:
            break
        after = page.after
    return total
