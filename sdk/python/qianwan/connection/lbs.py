"""Asking the LBS where to connect, and believing its answer (docs/PROTOCOL.md, "Finding a gateway").

What is believed is signed by the pinned root, an answer to the question that was asked, and not older than it
says it may be. Nothing here keeps anything: connection/places.py does.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import http.client
import json
import math
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import nacl.bindings
import nacl.exceptions

from qianwan.constants import LBS_MAGIC, VERSION
from qianwan.errors import CertificateError, ConnectFailed, KeySetError
from qianwan.protocol.keyset import decode_base64url
from qianwan.transport import Address

TIMEOUT_S = 5.0
WHOLE_S = 10.0
DEFAULT_TTL_S = 300.0
MAX_TTL_S = 86_400.0
MAX_KEEP_S = 366 * 86_400.0
SKEW_S = 60.0
"""Two clocks may differ so much; one that is further off proves the time by a nonce."""
MAX_ANSWER = 256 * 1024
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
HEAD = LBS_MAGIC.encode() + bytes((VERSION,))
SIGNATURE_SIZE = 64

Question = dict[str, str]
"""Parameters of the question: none is empty."""


class Placement(NamedTuple):
    """Where to connect, in order of preference; `key_set` is base64url, `suites` in the server's order.
    `issued_at` in Unix seconds. `signed` as it came, "" where it was not.
    """

    addresses: tuple[Address, ...]
    root: str
    key_set: str
    suites: tuple[int, ...]
    ttl_s: float
    issued_at: float = 0.0
    keep_s: float = 0.0
    asked: Question = {}  # noqa: RUF012 - nobody writes into it
    signed: str = ""


class Stale(ConnectFailed):
    """An answer whose time is over, or has not come: a replay, or this machine's clock is wrong."""


def trusted_for_root(url: str) -> bool:
    """Whether a root key from this URL may be believed: only over TLS, or from this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in LOOPBACK


def subject_of(token: str) -> str:
    """The user a token speaks of, unverified (a hint for the balancer); "" when it is not a JWT."""
    try:
        part = token.split(".")[1]
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))).get("sub", "")
    except (IndexError, ValueError, AttributeError, binascii.Error):
        return ""
    return value if isinstance(value, str) else ""


def parse(answer: Any, here: str = "") -> Placement:
    """Read what an answer says, believed or not; raises ConnectFailed when it is none. `here`: the host that
    was asked, which is meant where an address has none.
    """
    try:
        return Placement(
            tuple(_address(item, here) for item in answer["gateways"]),
            str(answer.get("root", "")),
            str(answer.get("key_set", "")),
            tuple(int(suite) for suite in answer.get("suites", ())),
            _seconds(answer.get("ttl_s", DEFAULT_TTL_S), DEFAULT_TTL_S, MAX_TTL_S),
            _seconds(answer.get("issued_at", 0), 0.0, math.inf),
            _seconds(answer.get("keep_s", 0), 0.0, MAX_KEEP_S),
            {str(name): str(value) for name, value in answer.get("for", {}).items()},
            str(answer.get("signed", "")),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ConnectFailed(f"the LBS answered something else: {error}") from error


def open_signed(text: str, root: bytes, here: str = "") -> Placement:
    """What the root has signed. Raises KeySetError for what it has not, ConnectFailed for what is no
    answer.
    """
    data = decode_base64url(text)
    body, signature = data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]
    try:
        nacl.bindings.crypto_sign_open(signature + body, root)
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise KeySetError("the answer of the LBS is not signed by the pinned root") from error
    if not body.startswith(HEAD):
        raise ConnectFailed("the LBS answered something else: signed, and no answer")
    try:
        return parse(json.loads(body[len(HEAD) :]), here)._replace(signed=text)
    except (ValueError, RecursionError) as error:
        raise ConnectFailed(f"the LBS answered something else: {error}") from error


def judge(placement: Placement, question: Question, now: float) -> None:
    """Raises KeySetError for an answer to another question, Stale for one of another time."""
    if placement.asked != question:
        raise KeySetError("the LBS answered another question: somebody hands on what was not meant for here")
    age = now - placement.issued_at
    if "nonce" not in question and not -SKEW_S <= age <= placement.ttl_s + SKEW_S:
        raise Stale(
            f"the answer of the LBS is from another time, {age:.0f} s ago: a replay, or a wrong clock"
        )


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


async def ask(url: str, question: Question, tls: ssl.SSLContext | None = None) -> object:
    """One question to one LBS; `tls` is for https. Raises ConnectFailed or CertificateError."""
    base = url if urlsplit(url).path.strip("/") else url.rstrip("/") + "/v1/lbs"
    full = base + ("&" if "?" in base else "?") + urlencode(question)
    try:
        async with asyncio.timeout(WHOLE_S):
            return json.loads(await _in_thread(lambda: _fetch(full, tls)))
    except (OSError, ValueError, http.client.HTTPException, RecursionError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise CertificateError(f"LBS {url}: {cause}") from error
        raise ConnectFailed(f"LBS {url}: {str(error) or type(error).__name__}") from error


def _address(item: Any, here: str) -> Address:
    host = str(item["host"]) or here
    authority = f"[{host}]" if ":" in host else host
    return Address.parse(
        f"{item.get('transport', 'tcp')}://{authority}:{int(item['port'])}{item.get('path') or ''}"
    )


def _seconds(value: Any, otherwise: float, most: float) -> float:
    """At most `most`; what is no number of seconds counts as not said."""
    seconds = float(value)
    return min(seconds, most) if math.isfinite(seconds) and seconds >= 0 else otherwise


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An LBS answers itself: a redirect would lead to a place whose TLS nobody has judged."""

    def redirect_request(self, *args: object, **more: object) -> None:
        return None


def _fetch(url: str, tls: ssl.SSLContext | None) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect(), urllib.request.HTTPSHandler(context=tls))
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    until = time.monotonic() + WHOLE_S
    parts: list[bytes] = []
    with opener.open(request, timeout=TIMEOUT_S) as response:
        while chunk := response.read1(65536):
            parts.append(chunk)
            if time.monotonic() > until or sum(map(len, parts)) > MAX_ANSWER:
                raise TimeoutError("the answer is too long, or takes too long")
    return b"".join(parts)


async def _in_thread(work: Callable[[], bytes]) -> bytes:
    """In a thread of its own that nobody waits for at the end: an LBS that hangs keeps no program."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()

    def settle(result: bytes, error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(result)

    def run() -> None:
        result: bytes = b""
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="qianwan-lbs", daemon=True).start()
    return await done
