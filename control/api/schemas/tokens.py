"""Shapes of tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from control.api.schemas.common import Id, Shape


class Jwk(Shape):
    """An Ed25519 public key (RFC 8037)."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$", description="base64url of the 32-byte key")


class Confirmation(Shape):
    """RFC 7800: the client must prove this key at login."""

    jwk: Jwk


class TokenRequest(Shape):
    user: Id
    device: Id | None = Field(None, description="restricts the token to this device")
    ttl_s: int | None = Field(
        None, ge=10, le=366 * 86400, description="seconds; at most auth.token_max_ttl_s"
    )
    cnf: Confirmation | None = None


class TokenAnswer(BaseModel):
    token: str
    expires_at: int = Field(description="unix seconds")


class RevokeRequest(Shape):
    user: Id
    device: Id | None = Field(None, description="only what is used on this device; else all of the user's")


class RevokeAnswer(BaseModel):
    not_before: int = Field(
        description="unix seconds, later than any revocation of the user before, perhaps ahead of the clock;"
        " tokens that were signed without knowing it are over"
    )
