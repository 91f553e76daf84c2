"""Where this device is pushed to while it is away: `me.push`."""

from __future__ import annotations

from qianwan.api.base import Caller, given


class Push:
    """The token that a vendor gave to this device, and what I say of pushes to all of mine."""

    def __init__(self, client: Caller) -> None:
        self._call = client.call

    async def register(self, vendor: str, token: str, *, app: str = "", locale: str = "") -> bool:
        """After each login, and whenever the vendor gives another token; whoever had it before has it no
        more. False: the service has no way to this vendor for this app. `locale`: language of the texts."""
        args = given(vendor=vendor, token=token, app=app or None, locale=locale or None)
        return bool((await self._call("push.register", args))["known"])

    async def unregister(self, device: str = "") -> None:
        """Before I log out; or of another device of mine."""
        await self._call("push.unregister", given(device=device or None))

    async def get(self) -> dict[str, object]:
        """My devices that are pushed to, and my rules."""
        found: dict[str, object] = await self._call("push.get")
        return found

    async def set(self, **rules: bool | int | str) -> dict[str, object]:
        """Change rules: on, preview, desktop, quiet_from and quiet_to (minutes of the day, together), zone
        (IANA; empty: UTC); what is left out stays."""
        found: dict[str, object] = await self._call("push.set", given(**rules))
        return found
