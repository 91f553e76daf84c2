"""Limits of vendor push in the message service: the table [im.service.push]."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class PushLimits(Struct, kw_only=True, frozen=True):
    """What is decided before a vendor is asked; vendors themselves are in [push]."""

    tokens_per_user: Annotated[int, Meta(ge=1, le=100, extra={"unit": "devices"})] = 10
    """Devices of one user that are pushed to. Beyond: the token that was told longest ago goes."""
    forget_at: Literal["never", "kicked", "closed"] = "kicked"
    """When a device is no longer pushed to. `kicked`: a login policy or somebody ended its session, or its
    account was disabled. `closed`: also when its client closes the session itself, for apps that do so to log
    out only. `never`: only when the app says so (`push.unregister`) or the vendor. Another user who tells the
    same token takes it over always."""
    while_desktop: bool = False
    """Push to phones while their user is online on desktops and browsers only; each user may say otherwise
    (`push.set`)."""
    default_locale: Annotated[str, Meta(max_length=35)] = "en"
    """Language of texts for devices that told none, or one that has no texts."""
    texts: Annotated[dict[str, dict[str, str]], Meta(extra={"unit": "texts by locale and name"})] = {}
    """Further texts, or others in the place of those that are built in (`en`, `zh`): `{"de": {"image":
    "[Bild]"}}`; the names are in docs/PUSH.md. What a locale has no text for comes from the default one."""
    waiting: Annotated[int, Meta(ge=16, le=1_000_000, extra={"unit": "messages"})] = 20_000
    """Committed messages that wait for a decision: some seconds of a busy process. Beyond: not pushed, and
    counted."""
    max_age_ms: Annotated[int, Meta(ge=0, le=86_400_000, extra={"unit": "ms"})] = 600_000
    """Of messages that an im process had not pushed when it ended, and that are pushed after its next start
    or by another one; 0: none are. Beyond: they are not pushed, as a push that late is worth nothing."""
    cached_users: Annotated[int, Meta(ge=16, le=10_000_000, extra={"unit": "users"})] = 100_000
    """Tokens that are remembered, so that a message asks the store for none. Beyond: whose were not needed
    for longest are read again."""
    recallable: Annotated[int, Meta(ge=0, le=10_000_000, extra={"unit": "pushes"})] = 100_000
    """Pushes that are remembered, so that a recall takes their place at the device. Beyond: the oldest stay
    as they are."""
