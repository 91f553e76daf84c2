"""The vendors that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from control.errors import StartError
from control.outgoing.addresses import AddressPolicy
from control.outgoing.client import OutgoingClient
from control.outgoing.signing import Signer
from control.push.apns import Apns, ApnsKey, ProviderToken
from control.push.dry_run import DryRun
from control.push.fcm import Account, Fcm
from control.push.lane import Bounds
from control.push.pushes import Pushes
from control.push.relay import Relay
from control.push.vendor import Vendor
from control.settings import Settings
from im_service.ports import Clock
from im_service.storage.records import PushToken

CONNECTIONS = 8
"""To one vendor: requests that a broken connection has not sent yet go over the next one."""


def build_pushes(settings: Settings, clock: Clock, gone: Callable[[PushToken], None]) -> Pushes | None:
    """None where nothing is to be pushed through. Raises StartError."""
    push = settings.push
    bounds = Bounds(push.queue, push.at_once, push.tries, push.patience_s)
    if push.dry_run:
        return Pushes((), (), clock, gone, bounds, Random(), DryRun())
    outgoing = settings.outgoing
    policy = AddressPolicy(outgoing.networks, outgoing.plain_http)
    ca = Path(outgoing.ca) if outgoing.ca else None
    clients: list[OutgoingClient] = []
    vendors: list[Vendor] = []

    def client(connections: int = CONNECTIONS) -> OutgoingClient:
        clients.append(OutgoingClient(policy, ca_file=ca, http2=True, connections=connections))
        return clients[-1]

    if push.apns.key:
        provider = _provider(settings, clock)
        for name, url in (("apns", push.apns.url), ("apns-sandbox", push.apns.sandbox_url)):
            vendors.append(
                Apns(
                    name, client(), url, provider, push.apns.topics, clock,
                    budget_s=push.budget_s, keep_s=push.keep_s,
                )
            )  # fmt: skip
    if push.fcm.accounts:
        accounts = [_account(file) for file in push.fcm.accounts]
        try:
            vendors.append(
                Fcm(client(), push.fcm.url, accounts, clock, budget_s=push.budget_s, keep_s=push.keep_s)
            )
        except (ValueError, JoseError):
            raise StartError("push.fcm.accounts: a file has no RSA key that can be used") from None
    if push.relay.url:
        secrets = [each.reveal() for each in (push.relay.secret, push.relay.secret_before) if each]
        relay = push.relay
        vendors.append(
            Relay(
                client(push.at_once), relay.url, Signer(secrets), relay.vendors, clock,
                budget_s=push.budget_s, keep_s=push.keep_s,
            )
        )  # fmt: skip
    return Pushes(vendors, clients, clock, gone, bounds, Random()) if vendors else None


def check_files(settings: Settings, clock: Clock) -> Iterator[str]:
    """What is wrong with files that [push] names, without asking anybody."""
    looks: list[Callable[[], object]] = []
    if settings.push.apns.key:
        looks.append(lambda: _provider(settings, clock))
    looks += [partial(_readable, file) for file in settings.push.fcm.accounts]
    for look in () if settings.push.dry_run else looks:
        try:
            look()
        except StartError as error:
            yield str(error)


def _readable(file: str) -> None:
    try:
        RSAKey.import_key(_account(file).private_key)
    except (ValueError, JoseError):
        raise StartError(f"push.fcm.accounts: {file} has no RSA key that can be used") from None


def _provider(settings: Settings, clock: Clock) -> ProviderToken:
    apns = settings.push.apns
    key = ApnsKey(_content("push.apns.key", apns.key), apns.key_id, apns.team_id)
    try:
        return ProviderToken(key, clock)
    except (ValueError, JoseError):
        raise StartError(f"push.apns.key: {apns.key} has no P-256 key that can be used") from None


def _account(file: str) -> Account:
    try:
        return msgspec.json.decode(_content("push.fcm.accounts", file), type=Account)
    except msgspec.MsgspecError:
        raise StartError(f"push.fcm.accounts: {file} is no JSON of a service account") from None


def _content(key: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise StartError(f"{key}: {file}: {error.strerror}") from None
