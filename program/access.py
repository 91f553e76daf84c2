"""How a command on this machine becomes a client: a token, and the root key to trust."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from control.settings import SettingsError, load_settings

TIMEOUT_S = 30.0
"""An API call waits until the cluster has seen that an im process died."""


class NoAccess(Exception):
    """There is no way to get a token; the text says what to do."""


@dataclass(frozen=True)
class Access:
    """Gets tokens from the HTTP API with an API key, or signs them with the key files of a local data
    folder.
    """

    url: str
    api_key: str | None = None
    data_dir: str | None = None

    def token(self, user: str) -> str:
        """A token for the user. Raises NoAccess."""
        return self._ask(user) if self.api_key else self._sign(user)

    def room(self, name: str, **fields: object) -> None:
        """Make a chatroom if there is none and there is an API key for it. Raises NoAccess."""
        if self.api_key:
            self._post("/v1/rooms", {"room": name, **fields}, "a room", HTTPStatus.CONFLICT)

    def group(self, owner: str, members: Sequence[str]) -> str:
        """Found a group, with the API key. Returns its id. Raises NoAccess."""
        body = {"owner": owner, "members": list(members), "name": "faults", "limit": len(members) + 1}
        return str(self._post("/v1/groups", body, "a group")["group"])

    def say(self, sender: str, target: str, text: str) -> None:
        """Send in the name of a user, with the API key. Raises NoAccess."""
        self._post("/v1/messages", {"sender": sender, "target": target, "body": {"text": text}}, "a message")

    def kick(self, user: str) -> None:
        """End the sessions of a user, with the API key. Raises NoAccess."""
        self._post(f"/v1/users/{user}/kick", {"reason": 1}, "a kick")

    def _ask(self, user: str) -> str:
        return str(self._post("/v1/tokens", {"user": user}, "a token")["token"])

    def _post(self, path: str, body: object, what: str, also: int = 0) -> dict[str, object]:
        """The answer; a refusal with the status `also` is an empty one."""
        request = urllib.request.Request(
            self.url.rstrip("/") + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "X-API-Key": self.api_key or ""},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                made: dict[str, object] = json.load(answer)
                return made
        except urllib.error.HTTPError as error:
            if error.code == also:
                return {}
            raise NoAccess(f"the server refused {what}: {error.read().decode()[:200]}") from None
        except OSError as error:
            raise NoAccess(f"cannot reach {self.url} for {what}: {error}") from None

    def _sign(self, user: str) -> str:
        from control.auth.tokens import unread_revocation
        from control.keys.data_folder import KEY_FOLDER
        from control.keys.errors import KeyFileError
        from control.keys.keystore import KeyStore

        try:
            settings = load_settings(None, {"server.data_dir": Path(self.data_dir)} if self.data_dir else {})
        except SettingsError as error:
            raise NoAccess(str(error)) from None
        try:
            if not (settings.server.data_dir / KEY_FOLDER).is_dir():
                raise NoAccess("give --token or --api-key, or --data-dir of a local server")
            signer = KeyStore(settings).signer()
        except (KeyFileError, OSError) as error:
            raise NoAccess(str(error)) from None
        try:
            now = int(time.time())
            revocation = unread_revocation(now, settings.auth.clock_skew_s)
            return signer.sign(user, now, settings.auth.token_ttl_s, revocation=revocation)
        except ValueError as error:
            raise NoAccess(str(error)) from None
