"""Base64url without padding: every byte comes back, and nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.base64url import b64url_decode, b64url_encode


@given(st.binary(max_size=80))
def test_base64url_comes_back(data: bytes) -> None:
    assert b64url_decode(b64url_encode(data)) == data
    assert b64url_decode(b64url_encode(data), len(data)) == data


@pytest.mark.parametrize(
    "text", ["A", "AA=", "AA==", "A+A=", "A/AA", "AB", "AAB", " AAA", "AAA\n", "ÄAAA", "AAAAA"]
)
def test_base64url_is_strict(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        b64url_decode(text)
    with pytest.raises(ValueError, match="bytes instead of"):
        b64url_decode("AAAA", 4)
