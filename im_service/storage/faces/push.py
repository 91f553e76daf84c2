"""Where absent devices are told, and what their users say of it."""

from collections.abc import Callable, Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import push
from im_service.storage.records import Change, PushAddress, PushToken


class PushStore(Engine):
    """One token a device; a token is of one device, of one user."""

    async def set_push_token(self, token: PushToken, keep: int) -> list[str]:
        """In the place of the device's last one. Whoever else had this token of the vendor and app has it no
        more: another user logged in on the device. Of the user's tokens the `keep` told last stay.
        -> users whose tokens changed."""
        return await self._write(partial(push.set_token, token, keep))

    async def drop_push_devices(self, devices: Sequence[tuple[str, str]]) -> list[str]:
        """The tokens of these (user, device). -> users whose tokens changed."""
        return await self._write(partial(push.drop_devices, devices), len(devices))

    async def drop_push_tokens(self, tokens: Sequence[PushToken]) -> list[str]:
        """As these are, unless the device told one since, be it the same. -> users whose tokens changed."""
        return await self._write(partial(push.drop_tokens, tokens), len(tokens))

    async def push_addresses(self, users: Sequence[str]) -> dict[str, PushAddress]:
        """Every user asked for has an entry; tokens in order of the devices."""
        return await self._read(push.addresses(users))

    async def set_push_rules(self, user: str, change: Change) -> bytes:
        """From what they are to what `change` makes of them, whoever else changes them. -> as they are now"""
        return await self._write(partial(push.set_rules, user, change))

    async def inbox_settings(self, conversation: str, users: Sequence[str]) -> dict[str, bytes]:
        """What these users set for the conversation, of those who have it."""
        return await self._read(push.inbox_settings(conversation, users))

    async def badges(
        self, users: Sequence[str], now_ms: int, counts: Callable[[bytes], bool], pages: int
    ) -> dict[str, int]:
        """Unread messages of all conversations, counted as `unread` does, of those whose settings `counts`
        takes (called beside others: it looks at nothing else); of `pages` pages of conversations at most."""
        return await self._read(push.badges(users, now_ms, counts, pages))
