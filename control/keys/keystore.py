"""The key files of a data folder, in the shapes the gateway core, the tokens and LBS want."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from control.auth.tokens import TokenSigner, TokenVerifier, private_okp
from control.keys.api_keys import ApiKeys
from control.keys.server_keys import ServerKeys
from control.settings import Settings

KEY_FOLDER = "keys"
API_KEY_FILE = "api-keys.json"


class KeyStore:
    """Server keys, token keys and API keys of one data folder; the first start creates what is missing.

    `refresh` reads the folder again, so that `qianwan keys rotate` reaches running processes.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        settings.server.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder: Path = settings.server.data_dir / KEY_FOLDER
        self.keys = ServerKeys.load_or_create(self.folder, self._now())
        auth = settings.auth
        self.verifier = TokenVerifier(auth.issuer, auth.audience, auth.clock_skew_s, auth.token_max_ttl_s)
        self._stamp = self._folder_stamp()
        self._adopt()

    def api_keys(self) -> ApiKeys:
        bootstrap = self._settings.auth.bootstrap_api_key
        return ApiKeys(self.folder / API_KEY_FILE, bootstrap.get_secret_value() if bootstrap else "")

    @property
    def root(self) -> str:
        return self.keys.root.text

    def key_set(self) -> bytes:
        """The signed key set as it is now."""
        return self._key_set

    def gateway_keys(self) -> list[tuple[int, bytes, bytes]]:
        """(key_id, private, public) of every key the gateway still takes."""
        return self.keys.usable(self._now())

    def signer(self) -> TokenSigner:
        """Signs with the youngest token key. Raises KeyFileError when none holds."""
        key = self.keys.current_token(self._now())
        return TokenSigner(
            private_okp(key.seed, key.kid), key.kid, self._settings.auth.issuer, self._settings.auth.audience
        )

    def refresh(self) -> bool:
        """Read the folder again if it changed. True when it did."""
        stamp = self._folder_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self.keys = ServerKeys.load(self.folder)
        self._adopt()
        return True

    def _adopt(self) -> None:
        now = self._now()
        self.verifier.set_keys({key.kid: key.public for key in self.keys.verifying(now)})
        self._key_set = self.keys.key_set(now)

    def _folder_stamp(self) -> tuple[tuple[str, int], ...]:
        # Every process looks once a second; this is several times cheaper than Path.
        with os.scandir(self.folder) as entries:
            keys = [item for item in entries if item.name.endswith(".json") and item.name != API_KEY_FILE]
            return tuple(sorted((item.name, item.stat().st_mtime_ns) for item in keys))

    def _now(self) -> int:
        return int(self._clock())
