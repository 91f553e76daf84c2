"""What both engines know of messages that were sent before, and of names they have looked up."""

from im_service.storage.records import AppendResult, AppendStatus

CACHED_NAMES = 500_000
"""Names whose numbers an engine remembers, some 100 bytes each; above, it begins anew."""

Key = tuple[int, str]
"""Sender, client_id."""
Known = dict[Key, tuple[int, bytes, int, int, int]]
"""Key -> conversation, digest, server_id, seq, time_ms of the message that has it."""

MISSING = AppendResult(AppendStatus.MISSING, 0, 0, 0)
_CONFLICT = AppendResult(AppendStatus.CONFLICT, 0, 0, 0)


def repeated(earlier: tuple[int, bytes, int, int, int], conv: int, digest: bytes) -> AppendResult:
    """The answer to a message whose key is taken."""
    if earlier[:2] != (conv, digest):
        return _CONFLICT
    return AppendResult(AppendStatus.DUPLICATE, *earlier[2:])
