"""Apple Push Notification service.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns and
"Handling notification responses from APNs". Token authentication: a JWT (ES256) of the team's key, which is
to be made anew between 20 and 60 minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from control.outgoing.client import Answer, OutgoingClient
from control.outgoing.errors import OutgoingError
from control.push.contents import about, push_id, sized
from control.push.vendor import SENT, Outcome, by_status, lost
from im_service.ports import Clock
from im_service.push.ports import Push

LIMIT = 4096
"""Bytes of a payload (of a VoIP one 5120; there are none here)."""
RENEW_S = 50 * 60
ANSWER_BYTES = 4096
ALERT, PASSIVE = "10", "5"


class ApnsKey(NamedTuple):
    """`pem` is what Apple gives as a .p8 file."""

    pem: bytes
    key_id: str
    team_id: str


class _Reason(msgspec.Struct):
    reason: str = ""
    timestamp: int = 0


_reason = msgspec.json.Decoder(_Reason).decode


class ProviderToken:
    """Made when it is needed, and as long as Apple takes it."""

    def __init__(self, key: ApnsKey, clock: Clock) -> None:
        """Raises ValueError for what is no such key."""
        self._key = ECKey.import_key(key.pem)
        self._kid, self._team = key.key_id, key.team_id
        self._clock = clock
        self._made_ms = -1
        self._token = ""
        self.token()

    def token(self) -> str:
        now = self._clock.now_ms()
        if self._made_ms < 0 or not 0 <= now - self._made_ms < RENEW_S * 1000:
            header = {"alg": "ES256", "kid": self._kid}
            claims = {"iss": self._team, "iat": now // 1000}
            self._token = jwt.encode(header, claims, self._key, algorithms=["ES256"])
            self._made_ms = now
        return self._token

    def expired(self, token: str) -> None:
        """Apple says so of this one: its clock, or ours, is not what it was."""
        if token == self._token:
            self._made_ms = -1


class Apns:
    """One of Apple's two servers, with the topics of one team."""

    def __init__(
        self,
        name: str,
        client: OutgoingClient,
        url: str,
        provider: ProviderToken,
        topics: Sequence[str],
        clock: Clock,
        *,
        budget_s: float,
        keep_s: int,
    ) -> None:
        self.names = (name,)
        self._client = client
        self._url = url.rstrip("/")
        self._provider = provider
        self._topics = tuple(topics)
        self._clock = clock
        self._budget_s = budget_s
        self._keep_s = keep_s

    def takes(self, app: str) -> bool:
        return not app or app in self._topics

    async def send(self, push: Push) -> Outcome:
        if not push.to.token.isalnum():
            return Outcome("refused", "BadDeviceToken: no token of APNs looks so")
        body = payload(push)
        if body is None:
            return Outcome("refused", f"no payload of {LIMIT} bytes can say that")
        outcome = Outcome("failed")
        for _ in range(2):  # once more with a new provider token
            token = self._provider.token()
            headers = {**self._headers(push), "authorization": f"bearer {token}"}
            try:
                answer = await self._client.post(
                    f"{self._url}/3/device/{push.to.token}",
                    headers,
                    body,
                    budget_s=self._budget_s,
                    answer_bytes=ANSWER_BYTES,
                )
            except OutgoingError as error:
                return lost(error)
            outcome = read(answer, push)
            if not outcome.text.endswith("ExpiredProviderToken"):
                break
            self._provider.expired(token)
        return outcome

    def _headers(self, push: Push) -> Mapping[str, str]:
        until = push.expires_ms // 1000 or self._clock.now_ms() // 1000 + self._keep_s
        return {
            "apns-topic": push.to.app or self._topics[0],
            "apns-push-type": "alert",
            "apns-id": push_id(push),
            "apns-priority": PASSIVE if push.recalls else ALERT,
            "apns-expiration": str(until),
            "apns-collapse-id": push.collapse,
        }


def payload(push: Push) -> bytes | None:
    """The JSON of a push; None: it cannot be made small enough."""

    def make(text: str, with_payload: bool) -> object:
        alert = {"title": push.title, "body": text} if push.title else {"body": text}
        aps: dict[str, object] = {"alert": alert, "badge": push.badge, "mutable-content": 1}
        if push.recalls:
            aps["interruption-level"] = "passive"
        else:
            aps["sound"] = "default"
        if push.conversation:
            aps["thread-id"] = push.conversation
        return {"aps": aps, "qianwan": about(push, with_payload)}

    return sized(make, push, LIMIT)


def read(answer: Answer, push: Push) -> Outcome:
    """What Apple said."""
    if answer.good:
        return SENT
    try:
        said = _reason(answer.body)
    except msgspec.MsgspecError:
        said = _Reason()
    text = f"{answer.status} {said.reason}".strip()
    if answer.status == 410:
        if said.timestamp and said.timestamp < push.to.time_ms:
            return Outcome("refused", f"{text}, before the device told it anew")
        return Outcome("gone", text)
    return by_status(answer, text)
