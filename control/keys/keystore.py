"""The key files of a data folder, in the shapes the gateway core, the tokens and LBS want."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from control.auth.tokens import TokenSigner, TokenVerifier, private_okp
from control.keys.api_keys import ApiKeys
from control.keys.data_folder import KEY_FOLDER, prepare_data_folder
from control.keys.errors import KeyFileError, NotYours
from control.keys.files import owner_of
from control.keys.kinds import ServerKey, TicketKey, TokenKey
from control.keys.server_keys import (
    DAY_S,
    ROOT_FILE,
    TOKEN_KEY_LIFETIME_S,
    AnyKey,
    ServerKeys,
    holding,
    refuse_lost_root,
)
from control.logs import get_logger
from control.settings import Settings

K = TypeVar("K", ServerKey, TicketKey, TokenKey)

API_KEY_FILE = "api-keys.json"
RETRY_S = 60  # between two tries to rotate in a folder that cannot be written to
JUMP_S = 3600  # the wall clock against the monotonic one; less is a correction, not a jump
SETTLE_S = 15.0
"""For every gateway to hear of a new key before clients meet what it made: three of the longest ticks."""
DISTRUST_S = 3600  # so long must a new time stand before keys are made or let go by it

log = get_logger("keys")


class KeyStore:
    """Server keys, token keys and API keys of one data folder.

    With `create` what is missing is made, as a server does; without it nothing is written, and KeyFileError
    says what is missing. `look_after` keeps a running process up to date.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        create: bool = False,
    ) -> None:
        self._settings = settings
        self._clock, self._monotonic = clock, monotonic
        self._offset, self._trust_at = clock() - monotonic(), monotonic()
        data, auth = settings.server.data_dir, settings.auth
        self.folder: Path = data / KEY_FOLDER
        self._rotates = "control" in settings.server.roles
        self._period_s = auth.rotate_keys_days * DAY_S if self._rotates else 0
        # A token outlives its signing by its whole life.
        self._token_lifetime_s = max(TOKEN_KEY_LIFETIME_S, self._period_s + auth.token_max_ttl_s + DAY_S)
        self.found = (self.folder / ROOT_FILE).exists()
        """the root was there, so this is no first start"""
        if create:
            prepare_data_folder(data)
            refuse_others_keys(self.folder)
            self.keys = ServerKeys.load_or_create(
                self.folder, self._now(), token_lifetime=self._token_lifetime_s
            )
        else:
            self.keys = ServerKeys.load(self.folder)
        self.verifier = TokenVerifier(auth.issuer, auth.audience, auth.clock_skew_s, auth.token_max_ttl_s)
        self._stamp = self._folder_stamp()
        self._rotate_at = 0
        self._problem = ""
        self._signer: tuple[str, TokenSigner] | None = None
        self._view: tuple[list[ServerKey], list[TokenKey], list[ServerKey], list[TicketKey]] | None = None
        self.shared: Callable[[], Collection[str]] | None = None
        """names of the files that other machines can have; None: all (keys/shared.py)"""
        self.on_rotated: Callable[[list[str]], None] = lambda names: None
        """is called with the files of keys that were made here because they were due"""
        # When each key was first seen to be where others find it. What a start finds is known to all.
        self._known_at = dict.fromkeys(self._names(), -SETTLE_S + monotonic())
        self._adopt()

    def api_keys(self) -> ApiKeys:
        return api_keys(self._settings)

    @property
    def root(self) -> str:
        return self.keys.root.text

    def key_set(self) -> bytes:
        """The signed key set as it is now."""
        return self._key_set

    def gateway_keys(self) -> list[tuple[int, bytes, bytes]]:
        """(key_id, private, public) of every key the gateway still takes."""
        return self._gateway_keys

    def ticket_keys(self) -> list[tuple[int, bytes]]:
        """(key_id, secret) of the keys that open tickets; the first one, which every gateway has had time to
        hear of, seals them."""
        return [(key.key_id, key.secret) for key in self._ticket_keys]

    def signer(self) -> TokenSigner:
        """Signs with the youngest token key that all gateways know. Raises KeyFileError when none holds."""
        now = self._now()
        key = next(iter(self._settled(holding(self.keys.tokens, now))), None) or self.keys.current_token(now)
        if self._signer is None or self._signer[0] != key.kid:
            auth = self._settings.auth
            okp = private_okp(key.seed, key.kid)
            self._signer = key.kid, TokenSigner(okp, key.kid, auth.issuer, auth.audience)
        return self._signer[1]

    def look_after(self) -> bool:
        """Make the keys that are due, read the folder again if it changed, let go of keys that are over. True
        when the keys of the gateway are others than before. Cheap enough for once a second.

        A clock that jumps neither makes keys nor ends them until its new time has stood for an hour.
        """
        trusted, changed = self._trust_clock(), False
        try:
            if trusted:
                self._rotate()
            stamp = self._folder_stamp()
            changed = stamp != self._stamp
            if changed:
                self.keys = ServerKeys.load(self.folder)
                self._stamp = stamp
            self._problem = ""
        except (KeyFileError, OSError) as error:
            # What was read before goes on; said once, tried again.
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("the key folder cannot be used", reason=self._problem)
        return (trusted or changed) and self._adopt()

    def check(self) -> str | None:
        """Why nobody can log in, None when the keys allow it."""
        missing = [kind for kind, seconds in self.seconds_left().items() if not seconds]
        return f"no {' and no '.join(missing)} key holds: qianwan keys rotate" if missing else None

    def seconds_left(self) -> dict[str, int]:
        """Kind -> seconds until its last key ends; 0 when none holds."""
        now = self._now()
        server = [key.not_after - now for key in holding(self.keys.servers, now)]
        token = [key.not_after - now for key in holding(self.keys.tokens, now)]
        return {"server": max(server, default=0), "token": max(token, default=0)}

    def _names(self) -> list[str]:
        keys: list[AnyKey] = [*self.keys.servers, *self.keys.tokens, *self.keys.tickets]
        return [key.file_name for key in keys]

    def _settled(self, keys: list[K]) -> list[K]:
        """Those that every process has had time to hear of; all, where there is none such: a rotation after a
        leak holds at once."""
        now = self._monotonic()
        return [key for key in keys if now - self._known_at.get(key.file_name, now) >= SETTLE_S] or keys

    def _note_new(self) -> None:
        shared, now = self.shared, self._monotonic()
        for name in self._names():
            if shared is None or name in shared():
                self._known_at.setdefault(name, now)

    def _rotate(self) -> None:
        now = self._now()
        if not self._rotates or not (due := self.keys.due(now, self._period_s)):
            return
        if not 0 <= self._rotate_at - now <= RETRY_S:  # else a try failed just now
            self._rotate_at = now + RETRY_S
            made: list[str] = []
            self.keys = self.keys.rotate_due(
                now, self._period_s, token_lifetime=self._token_lifetime_s, made=made.append
            )
            log.info("keys were rotated", kinds=due)
            if made:  # else another process of this folder did it
                self.on_rotated(made)

    def _trust_clock(self) -> bool:
        at = self._monotonic()
        offset = self._clock() - at
        if abs(jump := offset - self._offset) > JUMP_S:
            self._trust_at = at + DISTRUST_S
            log.warning("the clock jumped: keys are left as they are for an hour", seconds=int(jump))
        self._offset = offset
        return at >= self._trust_at

    def _adopt(self) -> bool:
        now = self._now()
        self._note_new()
        accepted, verifying = self.keys.accepted(now), self.keys.verifying(now)
        published = self._settled(accepted)
        if not holding(published, now):
            published = accepted
        opening = self.keys.opening(now)
        sealing = next(iter(self._settled(holding(opening, now))), None)
        tickets = [] if sealing is None else [sealing, *(key for key in opening if key is not sealing)]
        view = accepted, verifying, published, tickets
        if view == self._view or not accepted:
            return False
        self._view = view
        self._gateway_keys = self.keys.usable(now)
        self._ticket_keys = tickets
        self.verifier.set_keys({key.kid: key.public for key in verifying})
        self._key_set = self.keys.key_set(now, published)
        return True

    def _folder_stamp(self) -> tuple[tuple[str, int], ...]:
        # Every process looks once a second; this is several times cheaper than Path.
        with os.scandir(self.folder) as entries:
            keys = [item for item in entries if item.name.endswith(".json") and item.name != API_KEY_FILE]
            return tuple(sorted((item.name, item.stat().st_mtime_ns) for item in keys))

    def _now(self) -> int:
        return int(self._clock())


def refuse_others_keys(folder: Path) -> None:
    """KeyFileError for a server of root on the keys of another user: what it makes would be root's, and that
    user's server could not read it. Commands of root leave what they make to the owner."""
    if os.geteuid() == 0 and folder.is_dir() and folder.stat().st_uid != 0:
        raise NotYours(f"{folder} belongs to {owner_of(folder)}: run the server as that user")


def would_make_keys(settings: Settings) -> bool:
    """Whether this folder has no root key. KeyFileError when it has other keys."""
    data = settings.server.data_dir
    if (data / KEY_FOLDER / ROOT_FILE).exists():
        return False
    refuse_lost_root(data / KEY_FOLDER)
    return True


def api_keys(settings: Settings) -> ApiKeys:
    """The API keys of the data folder, which need no other key."""
    path = settings.server.data_dir / KEY_FOLDER / API_KEY_FILE
    return ApiKeys(path, settings.auth.bootstrap_api_key.reveal())
