"""What an erasure leaves of notices and events, and what it leaves alone."""

from __future__ import annotations

import msgspec

from frame.constants import USER_PREFIX
from im_service.errors import UNDECODABLE
from im_service.models import encode, pack_payload, unpack_payload

KEPT = {
    "id": "the id of the account, by which what others said and did stays coherent",
    "seqs": "that something was said, and when: placeholders keep the order of conversations",
    "others": "what other people wrote, also about this one or in answer to them",
    "groups": "names, texts and icons of groups and chatrooms, whoever set them",
    "events": "events of the durable copy: who and when, until their retention",
    "audit": "the audit log: ids, never texts, until its retention",
    "delivered": "what devices, vendors of push and other systems were given before",
    "backups": "copies of the store that were made before",
}
IDS = frozenset(
    {
        "by", "event", "from", "keeps", "left", "mode", "on", "operator", "platform", "role",
        "room", "conversation", "other", "seq", "seqs", "server_id", "session_id", "to", "target", "time_ms",
        "until_ms", "user", "users", "version",
    }
)  # fmt: skip
"""Members that are ids, numbers and switches; the application chose the ids."""
WHO = ("user", "from", "by", "other", "sender")
"""Members that say who did something, or with whom."""
_decode = msgspec.msgpack.Decoder(dict[str, object]).decode
_json = msgspec.json.Decoder(dict[str, object]).decode


def notice_without(payload: bytes) -> bytes:
    """What the service said of something that they did: ids stay, texts are empty."""
    try:
        body, options, _ = unpack_payload(payload)
        told = _decode(body)
    except UNDECODABLE:
        return payload
    left = _emptied(told)
    return payload if left == told else pack_payload(encode(left), options)


def event_without(user: str, subject: str, data: bytes) -> bytes | None:
    """None: it is not theirs, or says no more than ids."""
    if user.encode() not in data and subject != USER_PREFIX + user:
        return None
    try:
        told = _json(data)
    except UNDECODABLE:
        return None
    left = _emptied(told)
    mine = subject == USER_PREFIX + user or user in [told.get(member) for member in WHO]
    return msgspec.json.encode(left) if mine and left != told else None


def _emptied(told: dict[str, object]) -> dict[str, object]:
    """All members are there, as the schema of events says."""
    return {key: value if key in IDS else _empty(value) for key, value in told.items()}


def _empty(value: object) -> object:
    for kind in (str, bytes, list, dict):
        if isinstance(value, kind):
            return kind()
    return value
