"""What etcd refuses, by what one can do about it."""

from __future__ import annotations

CANNOT_CONNECT = "failed to connect to all addresses"
NOT_APPLIED = (
    CANNOT_CONNECT,
    "etcdserver: no leader",  # refused by the member before anything was proposed
    "etcdserver: too many requests",
    "raft proposal dropped",
)
STALE_TOKEN = (
    "etcdserver: invalid auth token",
    "auth: revision in header is old",
    "etcdserver: revision of auth store is old",
    "user name is empty",  # somebody has switched authentication on
)


FULL = "compact, defragment and disarm it: docs/OPERATIONS.md, etcd"


class EtcdError(Exception):
    """etcd refused, and would refuse again."""


class EtcdUnavailable(EtcdError):
    """No member answered in time. Nothing was written."""


class OutcomeUnknown(EtcdUnavailable):
    """A write was sent and not answered: it may have been made, or be made yet."""


class Denied(EtcdError):
    """The user, the password or the right to a key is missing."""


class StaleToken(Denied):
    """The token is no longer known: a new one is fetched. Nothing was written."""


class RequestTooLarge(EtcdError):
    """More than a request may hold (1.5 MiB, etcd's --max-request-bytes)."""


class NoSpace(EtcdError):
    """The space alarm is raised: etcd takes no writes until an operator compacts, defragments and disarms."""


class Compacted(EtcdError):
    """The history that was asked for has gone."""


class LeaseNotFound(EtcdError):
    """The lease has ended."""


class LeaseExists(EtcdError):
    """A lease of that id is there: granted by an earlier try."""


class NotOwner(EtcdError):
    """The node's key is no longer the one that this process made: it owns nothing and has written nothing."""


_MARKS: tuple[tuple[str, type[EtcdError]], ...] = (
    ("etcdserver: request is too large", RequestTooLarge),
    ("larger than max", RequestTooLarge),
    ("database space exceeded", NoSpace),
    ("required revision has been compacted", Compacted),
    ("requested lease not found", LeaseNotFound),
    ("lease already exists", LeaseExists),
    ("authentication failed", Denied),
    ("permission denied", Denied),
    *((mark, StaleToken) for mark in STALE_TOKEN),
)
_TRANSIENT = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "INTERNAL", "RESOURCE_EXHAUSTED")


def error_of(code: str, details: str, where: str) -> EtcdError:
    """The error for a gRPC status, named as in grpc.StatusCode, of the member `where`."""
    text = f"{where}: {details or code.lower()}"
    for mark, kind in _MARKS:
        if mark in details:
            return kind(text)
    if any(mark in details for mark in NOT_APPLIED):
        return EtcdUnavailable(text)
    if code in _TRANSIENT or "etcdserver: request timed out" in details or "leader changed" in details:
        return OutcomeUnknown(text)
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return Denied(text)
    # Whatever a member says that has no name here may have been said behind the proposal.
    return OutcomeUnknown(text) if code == "UNKNOWN" else EtcdError(text)
