"""All that is stored of one user, part by part, in pages by key: what they see of it themselves."""

from typing import NamedTuple

from frame.constants import MessageType
from im_service.storage.errors import StoreMissing
from im_service.storage.ops.tx import Op, Row, Value, find_account, rows
from im_service.storage.records import FILTERED, RECALLED

NOTICE = int(MessageType.NOTIFICATION)


class Part(NamedTuple):
    """`keys`: types of the columns a page goes on behind; they come first in a row."""

    name: str
    keys: tuple[type, ...]
    sql: str


class ExportPage(NamedTuple):
    """Rows of one part, behind each the place to go on from; `place` "" = the part is over."""

    rows: list[tuple[str, Row]]
    place: str


PARTS = (
    Part(
        "account", (int,),
        "SELECT a.id, s.disabled_ms, s.mute_single_ms, s.mute_group_ms, s.mute_room_ms, s.info, s.created_ms"
        " FROM account a LEFT JOIN account_state s ON s.usr = a.id WHERE a.id = $1 AND a.id > $2",
    ),
    Part("profile", (int,), "SELECT p.usr, p.info, p.time_ms FROM profile p WHERE p.usr = $1 AND p.usr > $2"),
    Part(
        "device", (str,),
        "SELECT d.name, d.platform, d.first_login_ms, d.last_login_ms, d.last_logout_ms FROM device d"
        " WHERE d.usr = $1 AND d.name > $2 ORDER BY d.name",
    ),
    Part(
        "push_token", (str,),
        "SELECT p.device, p.vendor, p.app, p.token, p.locale, p.time_ms FROM push_token p"
        " WHERE p.usr = $1 AND p.device > $2 ORDER BY p.device",
    ),
    Part("push_rules", (int,), "SELECT r.usr, r.rules FROM push_rules r WHERE r.usr = $1 AND r.usr > $2"),
    Part(
        "relation", (int,),
        "SELECT r.other, a.name, r.friend, r.black, r.muted, r.alias, r.ext, r.time_ms FROM relation r"
        " JOIN account a ON a.id = r.other WHERE r.owner = $1 AND r.other > $2 ORDER BY r.other",
    ),
    Part(
        "request", (int,),
        "SELECT q.id, q.scope, q.kind, q.text, q.state, q.time_ms FROM request q"
        " WHERE q.asker = $1 AND q.id > $2 ORDER BY q.id",
    ),
    Part(
        "group", (int,),
        "SELECT m.conv, c.name, m.role, m.nick, m.joined_ms FROM group_member m"
        " JOIN conversation c ON c.id = m.conv WHERE m.usr = $1 AND m.conv > $2 ORDER BY m.conv",
    ),
    Part(
        "room_role", (int,),
        "SELECT m.conv, c.name, m.role, m.black, m.muted_ms FROM room_member m"
        " JOIN conversation c ON c.id = m.conv WHERE m.usr = $1 AND m.conv > $2 ORDER BY m.conv",
    ),
    Part(
        "queue_entry", (int, str),
        "SELECT q.conv, q.key, c.name, q.value FROM room_queue q JOIN conversation c ON c.id = q.conv"
        " WHERE q.owner = $1 AND (q.conv, q.key) > ($2, $3) ORDER BY q.conv, q.key",
    ),
    Part(
        "conversation", (int,),
        "SELECT i.conv, c.name, i.read_seq, i.settings, i.active FROM inbox i"
        " JOIN conversation c ON c.id = i.conv WHERE i.usr = $1 AND i.conv > $2 ORDER BY i.conv",
    ),
    Part(
        "message", (str,),
        "SELECT k.client_id, c.name, m.seq, m.server_id, m.time_ms, m.type, m.payload FROM send_key k"
        " JOIN message m ON m.conv = k.conv AND m.seq = k.seq JOIN conversation c ON c.id = m.conv"
        f" WHERE k.sender = $1 AND k.client_id > $2 AND m.flags & {RECALLED | FILTERED} = 0"
        f" AND NOT (m.type = {NOTICE} AND k.client_id = 'n' || CAST(m.server_id AS TEXT))"
        " ORDER BY k.client_id",
    ),
    Part(
        "reaction", (int, int, str),
        "SELECT r.conv, r.seq, r.kind, c.name, r.ext, r.time_ms FROM reaction r"
        " JOIN conversation c ON c.id = r.conv WHERE r.usr = $1 AND (r.conv, r.seq, r.kind) > ($2, $3, $4)"
        " ORDER BY r.conv, r.seq, r.kind",
    ),
    Part(
        "report", (int, int),
        "SELECT p.conv, p.seq, c.name, p.category, p.text, p.time_ms FROM report p"
        " JOIN conversation c ON c.id = p.conv WHERE p.usr = $1 AND (p.conv, p.seq) > ($2, $3)"
        " ORDER BY p.conv, p.seq",
    ),
)  # fmt: skip
"""In this order."""


def page(user: str, part: Part, place: str, limit: int) -> Op[ExportPage]:
    """Behind this place of the part, "" = from its beginning. StoreMissing: nobody knows this user."""
    usr = yield from find_account(user)
    if usr is None:
        raise StoreMissing(f"nobody knows {user}")
    keys = _keys(part, place)
    found = yield from rows(f"{part.sql} LIMIT ${len(keys) + 2}", usr, *keys, limit)
    many = len(keys)
    lines = [(":".join(str(key) for key in row[:many]), tuple(row)) for row in found]
    return ExportPage(lines, lines[-1][0] if len(lines) == limit else "")


def _keys(part: Part, place: str) -> list[Value]:
    """Nothing is below 0 and "". ValueError: it is no place of this part."""
    if not place:
        return [0 if kind is int else "" for kind in part.keys]
    given = place.split(":", len(part.keys) - 1)
    if "\0" in place or len(given) != len(part.keys):
        raise ValueError(place)
    keys: list[Value] = [
        int(text) if kind is int else text for kind, text in zip(part.keys, given, strict=True)
    ]
    if any(isinstance(key, int) and not 0 <= key < 1 << 63 for key in keys):
        raise ValueError(place)
    return keys
