"""Shapes of tokens and LBS answers."""

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


class GatewayAddress(BaseModel):
    host: str
    port: int
    transport: Literal["tcp", "ws"]
    node: str
    path: str | None = Field(None, description="path of the WebSocket, for transport ws")


class LbsAnswer(BaseModel):
    gateways: list[GatewayAddress]
    root: str = Field(description="Ed25519 root that signs the key set: qwroot1.<base64url>")
    key_set: str = Field(description="signed key set, base64url without padding")
    suites: list[int] = Field(description="transport suites, best first")
    ttl_s: int
    server_time_ms: int
