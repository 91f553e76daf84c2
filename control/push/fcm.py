"""Firebase Cloud Messaging, HTTP v1.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages and .../ErrorCode. Access by OAuth 2:
a JWT (RS256) of the service account is changed for a token (RFC 7523, urn:ietf:params:oauth:grant-type:
jwt-bearer), which is kept while it lives.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import msgspec
from joserfc import jwt
from joserfc.jwk import RSAKey

from control.outgoing.client import Answer, OutgoingClient
from control.outgoing.errors import OutgoingError
from control.push.contents import about, sized
from control.push.vendor import SENT, Outcome, by_status, lost
from im_service.ports import Clock
from im_service.push.ports import Push

LIMIT = 4000
"""Bytes of a message, its token aside."""
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_S = 3600
EARLY_S = 120
"""An access token is changed so long before its end."""
ANSWER_BYTES = 64 * 1024
QUOTA_S = 60.0
"""After 429 without Retry-After: what the vendor's page says."""


class Account(msgspec.Struct):
    """A service account, as Google gives it as a JSON file."""

    project_id: str
    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: int = ASSERTION_S


class _Detail(msgspec.Struct):
    errorCode: str = ""


class _Trouble(msgspec.Struct):
    status: str = ""
    message: str = ""
    details: list[_Detail] = []


class _Refused(msgspec.Struct):
    error: _Trouble


_granted = msgspec.json.Decoder(_Granted).decode
_refused = msgspec.json.Decoder(_Refused).decode


class AccessToken:
    """One request for it at a time, whoever waits for it."""

    def __init__(self, client: OutgoingClient, account: Account, clock: Clock, budget_s: float) -> None:
        """Raises ValueError for what is no key."""
        self._client = client
        self._account = account
        self._key = RSAKey.import_key(account.private_key)
        self._clock = clock
        self._budget_s = budget_s
        self._lock = asyncio.Lock()
        self._token = ""
        self._from_ms = self._until_ms = 0

    async def token(self) -> str:
        """Raises OutgoingError."""
        async with self._lock:
            if not self._token or not self._from_ms <= self._clock.now_ms() < self._until_ms:
                await self._change()
            return self._token

    def expired(self, token: str) -> None:
        if token == self._token:
            self._token = ""

    async def _change(self) -> None:
        account, now = self._account, self._clock.now_ms() // 1000
        claims = {
            "iss": account.client_email, "scope": SCOPE, "aud": account.token_uri, "iat": now,
            "exp": now + ASSERTION_S,
        }  # fmt: skip
        header = {"alg": "RS256", "typ": "JWT", "kid": account.private_key_id}
        assertion = jwt.encode(header, claims, self._key, algorithms=["RS256"])
        answer = await self._client.post(
            account.token_uri,
            {"content-type": "application/x-www-form-urlencoded"},
            urlencode({"grant_type": GRANT, "assertion": assertion}).encode(),
            budget_s=self._budget_s,
            answer_bytes=ANSWER_BYTES,
        )
        if not answer.good:
            raise OutgoingError("status", f"no access token: {answer.status}")
        try:
            granted = _granted(answer.body)
        except msgspec.MsgspecError as error:
            raise OutgoingError("garbage", f"no access token: {error}") from None
        self._token, self._from_ms = granted.access_token, now * 1000
        self._until_ms = (now + max(granted.expires_in - EARLY_S, 1)) * 1000


class Fcm:
    """Projects of Firebase, each with its service account; a token's app is its project."""

    names = ("fcm",)

    def __init__(
        self,
        client: OutgoingClient,
        url: str,
        accounts: list[Account],
        clock: Clock,
        *,
        budget_s: float,
        keep_s: int,
    ) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._clock = clock
        self._budget_s = budget_s
        self._keep_s = keep_s
        self._default = accounts[0].project_id
        self._access = {
            account.project_id: AccessToken(client, account, clock, budget_s) for account in accounts
        }

    def takes(self, app: str) -> bool:
        return not app or app in self._access

    async def send(self, push: Push) -> Outcome:
        project = push.to.app or self._default
        message = sized(lambda text, whole: self._message(push, text, whole), push, LIMIT)
        if message is None:
            return Outcome("refused", f"no message of {LIMIT} bytes can say that")
        body = b'{"message":{"token":' + msgspec.json.encode(push.to.token) + b"," + message[1:] + b"}"
        access, outcome = self._access[project], Outcome("failed")
        for _ in range(2):  # once more with a new access token
            try:
                token = await access.token()
                answer = await self._client.post(
                    f"{self._url}/v1/projects/{project}/messages:send",
                    {"authorization": f"Bearer {token}", "content-type": "application/json"},
                    body,
                    budget_s=self._budget_s,
                    answer_bytes=ANSWER_BYTES,
                )
            except OutgoingError as error:
                return lost(error)
            outcome = read(answer)
            if answer.status != 401:
                break
            access.expired(token)
        return outcome

    def _message(self, push: Push, text: str, with_payload: bool) -> dict[str, object]:
        """A Message without its token."""
        shown: dict[str, object] = {"body": text}
        if push.title:
            shown["title"] = push.title
        left_ms = push.expires_ms - self._clock.now_ms() if push.expires_ms else self._keep_s * 1000
        android: dict[str, Any] = {
            "collapse_key": push.collapse,
            "priority": "NORMAL" if push.recalls else "HIGH",
            "ttl": f"{max(left_ms, 0) // 1000}s",
            "notification": {"tag": push.collapse, "notification_count": push.badge},
        }
        aps: dict[str, object] = {"badge": push.badge}
        if not push.recalls:
            android["notification"]["default_sound"] = True
            aps["sound"] = "default"
        told = msgspec.json.encode(about(push, with_payload)).decode()
        return {
            "notification": shown,
            "data": {"qianwan": told},
            "android": android,
            "apns": {"headers": {"apns-collapse-id": push.collapse}, "payload": {"aps": aps}},
        }


def read(answer: Answer) -> Outcome:
    """What Google said."""
    if answer.good:
        return SENT
    try:
        trouble = _refused(answer.body).error
    except msgspec.MsgspecError:
        trouble = _Trouble()
    code = next((detail.errorCode for detail in trouble.details if detail.errorCode), trouble.status)
    text = f"{answer.status} {code}".strip()
    if code == "UNREGISTERED":
        return Outcome("gone", text)
    outcome = by_status(answer, text)
    if outcome.kind == "later" and not outcome.after_s:
        return outcome._replace(after_s=QUOTA_S)
    return outcome
