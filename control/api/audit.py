"""Who changed what through the HTTP API: a line in the log for each call that was done or refused."""

from __future__ import annotations

from control.keys.api_keys import ApiKey
from control.logs import get_logger
from im_service.calls import Args
from im_service.grammar import IDS

log = get_logger("audit")

SENDING = frozenset({"message.send", "message.batch"})
"""What is said is in the store, with its sender."""
_NAMED = IDS | {"conversation", "role"}
_MOST = 20


def is_audited(method: str, scope: str) -> bool:
    return scope != "read" and method not in SENDING


def audit(key: ApiKey, method: str, acting_for: str, arguments: Args, outcome: str) -> None:
    """Ids, numbers and switches; never a text, which may be private."""
    told: dict[str, object] = {}
    for name in arguments.__struct_fields__:
        value = getattr(arguments, name)
        if value not in (None, "", []) and (name in _NAMED or _is_number(value)):
            told[name] = [*value[:_MOST], f"{len(value)} in all"] if _is_long(value) else value
    if acting_for:
        told["acting_for"] = acting_for
    log.info("administration", call=method, api_key=key.id, key_name=key.name, **told, outcome=outcome)


def _is_number(value: object) -> bool:
    """Or some, or a switch."""
    return all(isinstance(each, int) for each in (value if isinstance(value, list) else [value]))


def _is_long(value: object) -> bool:
    return isinstance(value, list) and len(value) > _MOST
