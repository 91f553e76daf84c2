"""URLs that may be called, and addresses that may not."""

from __future__ import annotations

import pytest

from control.outgoing.addresses import AddressPolicy


@pytest.mark.parametrize(
    "url",
    ["https://example.com/", "https://example.com:8443/a?b=c", "https://1.1.1.1/", "https://[2606:4700::1]/"],
)
def test_a_public_https_url_may_be_called(url: str) -> None:
    assert AddressPolicy().check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https:///x",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com/#part",
        "https://example.com/ x",
        "https://example.com/\r\nX: y",
        "https://example.com\\@127.0.0.1/",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://exämple.com/",
        "https://[::1/",
        "https://example.com/" + "x" * 2048,
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://a..b/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://a.0x7f/",
        "https://[v1.a]/",
        "https://./",
        "https://-a.example/",
        "https://%31%32%37.0.0.1/",
        "https://" + "a." * 127 + "example/",
        "https://" + "a" * 64 + ".example/",
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        AddressPolicy().check_url(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "168.63.129.16",
        "192.0.0.192",
        "1::1",
        "4000::1",
        "::ffff:0:0:7f00:1",
        "64:ff9b:0:0:0:1::1",
        "192.88.99.1",
        "64:ff9b:1::a00:1",
        "64:ff9b::a00:1",
        "fec0::1",
        "::127.0.0.1",
        "::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "5f00::1",
        "3fff::1",
        "2001:0:7f00:1::",
        "0.0.0.0",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "ff0e::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="no public address"):
        AddressPolicy().check_address(address)


def test_networks_that_are_named_are_called() -> None:
    policy = AddressPolicy(["10.0.0.0/8", "fd00::/8"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "8.8.8.8"):
        policy.check_address(address)
    with pytest.raises(ValueError, match="no public address"):
        policy.check_address("192.168.1.1")
