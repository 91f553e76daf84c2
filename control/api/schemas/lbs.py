"""Shapes of LBS answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class GatewayAddress(BaseModel):
    host: str
    port: int
    transport: Literal["tcp", "ws", "wss"]
    node: str
    path: str | None = Field(None, description="path of the WebSocket, for transport ws and wss")


class LbsAnswer(BaseModel):
    gateways: list[GatewayAddress]
    root: str = Field(description="Ed25519 root that signs the answer and the key set: qwroot1.<base64url>")
    key_set: str = Field(description="signed key set, base64url without padding")
    suites: list[int] = Field(description="transport suites, best first")
    issued_at: int = Field(description="Unix seconds")
    ttl_s: int = Field(description="from issued_at: how long to go by it")
    keep_s: int = Field(description="from issued_at: how long to fall back on it when no LBS answers")
    signed: str = Field(description="the same, signed by the root: base64url without padding")
