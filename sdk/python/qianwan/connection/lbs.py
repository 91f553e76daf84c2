"""Asking the load balancer where to connect: `GET /v1/lbs` (docs/PROTOCOL.md, "LBS")."""

from __future__ import annotations

import asyncio
import base64
import binascii
import http.client
import json
import math
import ssl
import urllib.error
import urllib.request
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from qianwan.errors import CertificateError, ConnectFailed
from qianwan.transport import Address

TIMEOUT_S = 5.0
WHOLE_S = 10.0
DEFAULT_TTL_S = 300.0
MAX_TTL_S = 86_400.0
MAX_ANSWER = 256 * 1024
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Placement(NamedTuple):
    """Where to connect, in order of preference; `key_set` is base64url, `suites` in the server's order."""

    addresses: tuple[Address, ...]
    root: str
    key_set: str
    suites: tuple[int, ...]
    ttl_s: float


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


def parse(answer: Any) -> Placement:
    """Read the JSON answer; raises ConnectFailed when it is not one."""
    try:
        addresses = tuple(
            Address.parse(f"{item.get('transport', 'tcp')}://{_host(item['host'])}:{int(item['port'])}")
            for item in answer["gateways"]
        )
        return Placement(
            addresses,
            str(answer.get("root", "")),
            str(answer.get("key_set", "")),
            tuple(int(suite) for suite in answer.get("suites", ())),
            _ttl(float(answer.get("ttl_s", DEFAULT_TTL_S))),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ConnectFailed(f"the LBS answered something else: {error}") from error


def _ttl(seconds: float) -> float:
    """Within a day; what is no number of seconds counts as not said."""
    return min(seconds, MAX_TTL_S) if math.isfinite(seconds) and seconds >= 0 else DEFAULT_TTL_S


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def ask(
    url: str, *, user: str, device: str, transport: str | None, tls: ssl.SSLContext | None = None
) -> Placement:
    """One question to one LBS; `tls` is for https. Raises ConnectFailed or CertificateError."""
    query = {"user": user, "device": device, "transport": transport or ""}
    base = url if urlsplit(url).path.strip("/") else url.rstrip("/") + "/v1/lbs"
    full = base + ("&" if "?" in base else "?") + urlencode({k: v for k, v in query.items() if v})
    try:
        async with asyncio.timeout(WHOLE_S):
            return parse(await asyncio.to_thread(_fetch, full, tls))
    except (OSError, ValueError, http.client.HTTPException, RecursionError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise CertificateError(f"LBS {url}: {cause}") from error
        raise ConnectFailed(f"LBS {url}: {str(error) or type(error).__name__}") from error


def _fetch(url: str, tls: ssl.SSLContext | None) -> Any:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=tls) as response:
        return json.loads(response.read(MAX_ANSWER))
