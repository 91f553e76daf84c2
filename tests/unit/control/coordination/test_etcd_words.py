"""What is concluded from etcd's words, and which settings of it hang together."""

from __future__ import annotations

from typing import Any

import pytest

from control.coordination.etcd import errors
from control.coordination.etcd.messages import end_of, messages
from control.settings.build import SettingsError, build
from control.settings.values import parse_endpoint


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; last error: refused", errors.EtcdUnavailable),
        ("UNAVAILABLE", "etcdserver: no leader", errors.EtcdUnavailable),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", errors.EtcdUnavailable),
        ("UNAVAILABLE", "Socket closed", errors.OutcomeUnknown),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.OutcomeUnknown),
        ("UNAVAILABLE", "etcdserver: leader changed", errors.OutcomeUnknown),
        ("UNAVAILABLE", "etcdserver: request timed out", errors.OutcomeUnknown),
        ("UNKNOWN", "etcdserver: something new", errors.OutcomeUnknown),
        ("UNAUTHENTICATED", "etcdserver: invalid auth token", errors.StaleToken),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty", errors.StaleToken),
        ("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password", errors.Denied),
        ("PERMISSION_DENIED", "etcdserver: permission denied", errors.Denied),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", errors.NoSpace),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", errors.RequestTooLarge),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", errors.Compacted),
        ("NOT_FOUND", "etcdserver: requested lease not found", errors.LeaseNotFound),
        ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", errors.EtcdError),
    ],
)
def test_a_refusal_is_told_apart_by_what_one_can_do(code: str, details: str, kind: type[Exception]) -> None:
    found = errors.error_of(code, details, "10.0.0.1:2379")
    assert type(found) is kind
    assert str(found) == f"10.0.0.1:2379: {details}"


def test_a_prefix_ends_before_the_first_key_behind_it() -> None:
    assert end_of(b"a/") == b"a0"
    assert end_of(b"a\xff\xff") == b"b"
    assert end_of(b"") == end_of(b"\xff") == b"\0"


def test_the_descriptors_say_what_etcd_understands() -> None:
    """Bytes as etcd's own clients write them."""
    m = messages()
    check = m.Compare(result=0, target=1, key=b"k", create_revision=0)
    assert check.SerializeToString() == b"\x10\x01\x1a\x01k\x28\x00"
    create = m.WatchCreateRequest(key=b"a", range_end=b"b", start_revision=7, fragment=True)
    watch = m.WatchRequest(create_request=create)
    assert watch.SerializeToString() == b"\x0a\x0a\x0a\x01a\x12\x01b\x18\x07\x40\x01"
    assert m.RequestOp(request_range=m.RangeRequest(key=b"k")).SerializeToString() == b"\x0a\x03\x0a\x01k"


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"endpoints": ["a:1", "ftp://b:1"]}, "neither http"),
        ({"endpoints": ["0.0.0.0:1"]}, "nothing that a client can connect to"),
        ({"endpoints": ["http://a:1", "https://b:1"]}, "all http or all https"),
        ({"endpoints": ["http://a:1"], "ca": "x.pem"}, "write https://"),
        ({"endpoints": ["a:1"], "cert": "x.pem"}, "come together"),
        ({"endpoints": ["a:1"], "user": "x"}, "come together"),
        ({"prefix": "x"}, "one to four words"),
        ({"prefix": "/x/"}, "one to four words"),
    ],
)
def test_settings_of_etcd_that_do_not_hang_together_are_refused(given: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        build({"etcd": given})


def test_endpoints_are_written_as_etcd_writes_them() -> None:
    assert parse_endpoint("https://etcd-0.etcd:2379") == ("etcd-0.etcd:2379", True)
    assert parse_endpoint("http://[::1]:2379/") == ("[::1]:2379", False)
    assert parse_endpoint("10.0.0.1:2379") == ("10.0.0.1:2379", None)
