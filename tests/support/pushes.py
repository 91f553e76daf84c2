"""Pushes, keys and clients for tests of vendors."""

from __future__ import annotations

from typing import Any

import msgspec
from joserfc.jwk import ECKey, RSAKey

from control.outgoing.addresses import AddressPolicy
from control.outgoing.client import OutgoingClient
from control.push.apns import Apns, ApnsKey, ProviderToken
from control.push.build import CONNECTIONS
from control.push.fcm import Account, Fcm
from im_service.ports import Clock
from im_service.push.ports import Push
from im_service.storage.records import PushToken
from tests.support.push_vendor import PushVendor

APP = "com.example.chat"
TEAM_KEY = ECKey.generate_key("P-256")
ACCOUNT_KEY = RSAKey.generate_key(2048)


def a_push(text: str = "hello", *, token: str = "a1b2", server_id: int = 7, **more: Any) -> Push:
    to = PushToken("bob", "phone", more.pop("vendor", "apns"), more.pop("app", APP), token, "en", 1000)
    push = Push(to, "s/alice:bob", server_id, "alice", "", text, "", 3, False, False, 0)
    return push._replace(**more)


def client_to(vendor: PushVendor) -> OutgoingClient:
    policy, ca = AddressPolicy(["127.0.0.0/8"]), vendor.certificates.ca
    return OutgoingClient(policy, ca_file=ca, http2=True, connections=CONNECTIONS)


def apns_key() -> ApnsKey:
    return ApnsKey(TEAM_KEY.as_pem(private=True), "KEY1234567", "TEAM123456")


def apns_at(vendor: PushVendor, client: OutgoingClient, clock: Clock, budget_s: float = 10.0) -> Apns:
    provider = ProviderToken(apns_key(), clock)
    return Apns("apns", client, vendor.url, provider, [APP], clock, budget_s=budget_s, keep_s=86_400)


def account_at(vendor: PushVendor) -> Account:
    key = ACCOUNT_KEY.as_pem(private=True).decode()
    return Account("proj", "pusher@proj.example", key, "kid", f"{vendor.url}/token")


def fcm_at(vendor: PushVendor, client: OutgoingClient, clock: Clock) -> Fcm:
    return Fcm(client, vendor.url, [account_at(vendor)], clock, budget_s=10.0, keep_s=86_400)


def account_json(vendor: PushVendor) -> bytes:
    return msgspec.json.encode(account_at(vendor))
