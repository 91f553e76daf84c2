"""The HTTP upgrade: what is accepted, what is refused and how, what is not HTTP at all."""

from __future__ import annotations

import pytest

from frame import http_upgrade
from frame.errors import MALFORMED, NEED_MORE, TOO_BIG
from frame.models import Upgrade

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    b"Host": b"gateway.example",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}


def head(*more: bytes, path: bytes = b"/qw1", without: bytes = b"", **replaced: bytes) -> bytes:
    """A handshake; keywords replace a header (`sec_websocket_key=`), `more` are further lines."""
    names = {name.lower().replace(b"-", b"_").decode(): name for name in HEADERS}
    fields = {**HEADERS, **{names[key]: value for key, value in replaced.items()}}
    lines = [name + b": " + value for name, value in fields.items() if name != without]
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", *lines, *more, b"", b""])


def parsed(data: bytes) -> Upgrade:
    used, found = http_upgrade.parse(data)
    assert used == len(data)
    assert found is not None
    return found


def test_the_example_of_the_rfc_is_answered_as_the_rfc_does() -> None:
    request = parsed(head(b"Origin: http://example.com", b"Sec-WebSocket-Protocol: chat, superchat"))
    assert request.status == 101
    assert (request.offers, request.has_qw1) == (True, False)
    assert (request.origin, request.host) == (b"http://example.com", b"gateway.example")
    response = http_upgrade.build_response(request.key, request.has_qw1)
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in response
    assert response.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"Sec-WebSocket-Protocol" not in response
    assert response.endswith(b"\r\n\r\n")


def test_the_subprotocol_is_echoed_when_offered() -> None:
    for line in (b"Sec-WebSocket-Protocol: qw1", b"sec-websocket-protocol:a ,\tqw1\t,b"):
        request = parsed(head(line))
        assert request.has_qw1
        assert b"\r\nSec-WebSocket-Protocol: qw1\r\n" in http_upgrade.build_response(request.key, True)
    for line in (b"Sec-WebSocket-Protocol: QW1", b"Sec-WebSocket-Protocol: qw12, xqw1", b"Other: qw1"):
        assert not parsed(head(line)).has_qw1
    assert parsed(head(b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: qw1")).has_qw1


@pytest.mark.parametrize(
    "data",
    [
        head(upgrade=b"WebSocket", connection=b"UPGRADE"),
        head(connection=b"keep-alive, Upgrade"),
        head(connection=b"keep-alive,,\t upgrade ,x"),
        head(b"Connection: upgrade", connection=b"keep-alive"),
        head(upgrade=b"h2c, websocket"),
        head().replace(b"Host: ", b"hOST:").replace(b"Version: 13", b"version:\t 13 \t"),
        head(b"Cookie: a=b", b"X-Latin: \xe4\xf6", b"Empty:"),
        head(path=b"/qw1?token=x&a=%20"),
        head(b"Content-Length: 0"),
    ],
)
def test_these_may_be_upgraded(data: bytes) -> None:
    assert parsed(data).status == 101


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (404, head(path=b"/")),
        (404, head(path=b"/qw1/")),
        (404, head(path=b"/QW1")),
        (404, head(path=b"/qw2?x=/qw1")),
        (426, head(without=b"Upgrade")),
        (426, head(without=b"Connection")),
        (426, head(connection=b"keep-alive")),
        (426, head(upgrade=b"websockets")),
        (426, head(sec_websocket_version=b"8")),
        (426, head(sec_websocket_version=b"013")),
        (400, head(without=b"Sec-WebSocket-Version")),
        (400, head(without=b"Sec-WebSocket-Key")),
        (400, head(without=b"Host")),
        (400, head(b"Host: other")),
        (400, head(b"Origin: a", b"Origin: a")),
        (400, head(b"Sec-WebSocket-Key: " + KEY)),
        (400, head(b"Sec-WebSocket-Version: 13")),
        (400, head(sec_websocket_key=b"")),
        (400, head(sec_websocket_key=KEY[:-1])),
        (400, head(sec_websocket_key=b"dGhlIHNhbXBsZSBub25jZ" + b"===")),
        (400, head(sec_websocket_key=b"dGhlIHNhbXBsZSBub25j-_==")),
        (400, head(b"Content-Length: 5")),
        (400, head(b"Transfer-Encoding: chunked")),
    ],
)
def test_these_are_refused_with_a_status(status: int, data: bytes) -> None:
    assert parsed(data).status == status


@pytest.mark.parametrize(
    "data",
    [
        b"HEAD /qw1 HTTP/1.1\r\n\r\n",
        b"GET  /qw1 HTTP/1.1\r\n\r\n",
        b"GET qw1 HTTP/1.1\r\n\r\n",
        b"GET http://h/qw1 HTTP/1.1\r\n\r\n",
        b"GET /qw1 HTTP/1.0\r\n\r\n",
        b"GET /qw1 HTTP/2\r\n\r\n",
        b"GET /q w1 HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
        b"GET /qw1 HTTP/1.1\n\n",
        head(b"folded:", b" line"),
        head(b"Space : x"),
        head(b": x"),
        head(b"no colon"),
        head(b"bare: \rx"),
        head(b"nul: \x00"),
        head(b"del: \x7f"),
    ],
)
def test_these_are_not_http(data: bytes) -> None:
    assert http_upgrade.parse(data) == (MALFORMED, None)


def test_the_head_must_end_within_the_limit() -> None:
    data = head()
    assert http_upgrade.parse(data, max_bytes=len(data))[0] == len(data)
    assert http_upgrade.parse(data, max_bytes=len(data) - 1) == (TOO_BIG, None)
    assert http_upgrade.parse(data[:-1], max_bytes=len(data)) == (NEED_MORE, None)
    long = head(b"X: " + b"a" * 4096)
    assert http_upgrade.parse(long) == (TOO_BIG, None)
    assert http_upgrade.parse(long[:4096]) == (TOO_BIG, None)
    assert http_upgrade.parse(long[:4095]) == (NEED_MORE, None)


def test_what_follows_the_head_is_not_touched() -> None:
    data = head()
    assert http_upgrade.parse(data + b"\x82\x85")[0] == len(data)


@pytest.mark.parametrize("status", [400, 403, 404, 426])
def test_refusals_are_whole_responses(status: int) -> None:
    response = http_upgrade.build_refusal(status)
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nContent-Length: 0\r\n" in response
    assert b"close\r\n" in response
    assert response.count(b"\r\n\r\n") == 1
    assert response.endswith(b"\r\n\r\n")
    assert len(response) <= 256
    assert (b"Sec-WebSocket-Version: 13\r\n" in response) == (status == 426)


@pytest.mark.parametrize("seconds", [0, 7, 60, 4_294_967_295])
def test_who_comes_too_soon_is_told_when_to_come_again(seconds: int) -> None:
    response = http_upgrade.build_later(seconds)
    assert response.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: %d\r\n" % seconds in response
    assert response.endswith(b"\r\nContent-Length: 0\r\n\r\n")
    assert len(response) <= 256


@pytest.mark.parametrize(
    ("query", "known"), [(b"?known", True), (b"", False), (b"?known=1", False), (b"?unknown", False)]
)
def test_the_query_says_who_was_here_before(query: bytes, known: bool) -> None:
    _, upgrade = http_upgrade.parse(head(path=b"/qw1" + query))
    assert upgrade is not None
    assert (upgrade.status, upgrade.known) == (101, known)
