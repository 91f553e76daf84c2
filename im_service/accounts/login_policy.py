"""Which devices a login ends: one user's sessions side by side."""

from __future__ import annotations

from frame.constants import Platform
from im_service.settings import LoginPolicy
from im_service.storage.records import Device

MOBILE, DESKTOP, WEB, OTHER = "mobile", "desktop", "web", "other"
CLASSES: dict[int, str] = {
    Platform.ANDROID: MOBILE,
    Platform.IOS: MOBILE,
    Platform.WEB: WEB,
    Platform.WINDOWS: DESKTOP,
    Platform.MACOS: DESKTOP,
    Platform.LINUX: DESKTOP,
}


def class_of(platform: int) -> str:
    """mobile, desktop, web or other; the policy `one_per_class` counts web with desktop."""
    return CLASSES.get(platform, OTHER)


def must_go(policy: LoginPolicy, newcomer: tuple[str, int], others: list[Device]) -> list[str]:
    """Devices that a login of (device, platform) ends under a policy. `others`: live, newest login last.

    `one` every other; `one_per_class` those of the same class, web counting as desktop; `newest` the oldest
    above max_devices; `exclusive` those whose class is paired with the newcomer's.
    """
    device, platform = newcomer
    others = [d for d in others if d.device != device]
    if policy.mode == "one":
        return [d.device for d in others]
    if policy.mode == "one_per_class":
        mine = _two_classes(platform)
        return [d.device for d in others if _two_classes(d.platform) == mine]
    if policy.mode == "exclusive":
        mine = class_of(platform)
        pairs = policy.exclusive
        return [
            d.device
            for d in others
            if (mine, class_of(d.platform)) in pairs or (class_of(d.platform), mine) in pairs
        ]
    excess = len(others) + 1 - policy.max_devices
    oldest = sorted(others, key=lambda d: d.last_login_ms)
    return [d.device for d in oldest[: max(0, excess)]]


def _two_classes(platform: int) -> str:
    kind = class_of(platform)
    return DESKTOP if kind == WEB else kind
