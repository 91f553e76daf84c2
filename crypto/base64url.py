"""Base64url without padding (RFC 4648 section 5)."""

from __future__ import annotations

import base64


def b64url_encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64url_decode(text: str, size: int | None = None) -> bytes:
    """Strict inverse: ValueError for padding, foreign characters, loose bits or another size."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ValueError("not base64url") from error
    if b64url_encode(data) != text:
        raise ValueError("not canonical base64url")
    if size is not None and len(data) != size:
        raise ValueError(f"{len(data)} bytes instead of {size}")
    return data
