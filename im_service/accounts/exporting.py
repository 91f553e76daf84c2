"""Everything of one user, for themselves: pages whose cursor outlives any process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from im_service.accounts.profiles import ProfileInfo
from im_service.calls import Args, Caller, method
from im_service.consent import Wishes
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.models import plain, preferences, unpack_payload
from im_service.pages import fit
from im_service.storage.ops.export import PARTS
from im_service.storage.ops.tx import Row
from im_service.storage.records import Role

Data = dict[str, object]
SHOWN = 4
"""Characters of a push token: enough to tell two apart."""
_any = msgspec.msgpack.Decoder().decode


class ExportArgs(Args):
    """`after`: as the page before said."""

    user: str
    after: Annotated[str, Meta(max_length=256)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 100


Member = Annotated[object, Meta(extra_json_schema={"title": "any", "description": "what JSON can say"})]


class ExportLine(Struct):
    """`kind`: account, profile, device, push_token, push_rules, relation, request, group, room_role,
    queue_entry, conversation, message, reaction or report."""

    kind: str
    data: dict[str, Member]


class Export(Struct):
    """`after`: goes with the next call."""

    lines: list[ExportLine]
    after: str
    more: bool


def _account(row: Row) -> Data:
    wishes = msgspec.msgpack.decode(row[5], type=Wishes) if row[5] else Wishes()
    names = ("disabled_until_ms", "mute_single_ms", "mute_group_ms", "mute_room_ms")
    told: Data = {name: value or 0 for name, value in zip(names, row[1:5], strict=True)}
    return told | {"created_ms": row[6] or 0, "consent": msgspec.to_builtins(wishes)}


def _profile(row: Row) -> Data:
    info = msgspec.msgpack.decode(row[1], type=ProfileInfo) if row[1] else ProfileInfo()
    return msgspec.structs.asdict(info) | {"time_ms": row[2]}


def _push_token(row: Row) -> Data:
    device, vendor, app, token, locale, time_ms = row
    redacted = f"...{token[-SHOWN:]}" if len(token) > 2 * SHOWN else "..."
    return {
        "device": device, "vendor": vendor, "app": app, "token": redacted, "locale": locale,
        "time_ms": time_ms,
    }  # fmt: skip


def _relation(row: Row) -> Data:
    _, user, friend, black, muted, alias, ext, time_ms = row
    return {
        "user": user, "friend": bool(friend), "black": bool(black), "muted": bool(muted), "alias": alias,
        "ext": bytes(ext).decode("utf-8", "replace"), "time_ms": time_ms,
    }  # fmt: skip


def _message(row: Row) -> Data:
    client_id, conversation, seq, server_id, time_ms, type, payload = row
    body, options, ext = unpack_payload(payload)
    return {
        "conversation": conversation, "seq": seq, "server_id": str(server_id), "time_ms": time_ms,
        "client_id": client_id, "type": type, "body": plain(_any(body)), "options": plain(_any(options)),
        "ext": ext,
    }  # fmt: skip


def _named(*names: str) -> Callable[[Row], Data]:
    """Columns under these names; "" is left out."""
    return lambda row: {name: value for name, value in zip(names, row, strict=True) if name}


def _role(name: str, *more: str) -> Callable[[Row], Data]:
    shown = _named("", name, "role", *more)
    return lambda row: shown(row) | {name: row[1][2:], "role": Role(row[2]).name.lower()}


def _conversation(row: Row) -> Data:
    _, name, read_seq, settings, active = row
    shown = msgspec.structs.asdict(preferences(settings))
    return {"conversation": name, "read_seq": read_seq, "settings": shown, "left": not active}


DESCRIBED: Mapping[str, Callable[[Row], Data]] = {
    "account": _account,
    "profile": _profile,
    "device": _named("device", "platform", "first_login_ms", "last_login_ms", "last_logout_ms"),
    "push_token": _push_token,
    "push_rules": lambda row: {"rules": plain(_any(row[1])) if row[1] else {}},
    "relation": _relation,
    "request": _named("id", "to", "kind", "text", "state", "time_ms"),
    "group": _role("group", "nick", "joined_ms"),
    "room_role": _role("room", "black", "muted_until_ms"),
    "queue_entry": lambda row: {"room": row[2][2:], "key": row[1], "value": row[3]},
    "conversation": _conversation,
    "message": _message,
    "reaction": _named("", "seq", "kind", "conversation", "ext", "time_ms"),
    "report": _named("", "seq", "conversation", "category", "text", "time_ms"),
}
NAMES = [part.name for part in PARTS]


class Exporting:
    """What is stored of one user."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._reply_bytes = context.settings.reply_bytes

    @method("account.export", Code.NOT_FOUND, Code.INVALID, result=Export, server_only=True)
    async def export(self, caller: Caller, args: ExportArgs) -> Export:
        """All that is stored of one user, a page at a time: profile, devices, friends, groups, settings, own
        messages, reactions, reports; push tokens are redacted. Go on with `after`, whenever."""
        user = check_id(args.user, "user")
        name, _, place = args.after.partition(":")
        if name and name not in NAMES:
            raise ImError(Code.INVALID, "after is what the page before said")
        lines: list[tuple[ExportLine, str]] = []
        at = NAMES.index(name) if name else 0
        while at < len(PARTS) and len(lines) < args.limit:
            part = PARTS[at]
            try:
                page = await self._store.export(user, part, place, args.limit - len(lines))
            except ValueError:
                raise ImError(Code.INVALID, "after is what the page before said") from None
            for behind, row in page.rows:
                lines.append((ExportLine(part.name, DESCRIBED[part.name](row)), f"{part.name}:{behind}"))
            if page.place:
                break
            at, place = at + 1, ""
        kept, cut = fit([line for line, _ in lines], self._reply_bytes)
        if cut or at < len(PARTS):
            after = lines[len(kept) - 1][1] if kept else f"{NAMES[at]}:"
            return Export(kept, after, True)
        return Export(kept, "", False)
