"""The applications of HTTP in the test's own process, over real key files, with what a test needs of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from control.api.lockout import Lockout
from control.api.long_polls import LongPolls
from control.api.rate_gate import CHANGES_AT_ONCE, RateGate, day_gate
from control.api.services import EndpointServices, LbsServices, Services
from control.audit.trail import Audit
from control.auth.revocations import Revocations
from control.auth.tokens import TokenSigner
from control.bus.memory import MemoryBus
from control.coordination.base import Coordination
from control.coordination.beacons import BeaconCoordination
from control.coordination.documents import Documents
from control.coordination.sqlite_documents import SqliteDocuments
from control.gateway.conn_search import ConnSearch
from control.im.word_lists import WordLists
from control.keys.api_keys import ApiKeys
from control.keys.data_folder import COORDINATION_FILE
from control.keys.keyring import Keyring
from control.keys.wrapped import Wrapping
from control.lbs.balancer import Balancer, Identity
from control.lbs.client_address import networks
from control.lbs.locate import Atlas
from control.outbox.desk import OwnersDesk
from control.outgoing.addresses import AddressPolicy
from control.policy.arms import FleetNumbers
from control.policy.documents import PolicyDocuments
from control.policy.guard import Guard
from control.policy.room import PolicyRoom
from control.rates import Rates
from control.settings import Settings
from control.settings.build import build


def no_signer() -> TokenSigner:
    raise AssertionError("no test here signs")


def make_lbs(tree: Settings, coordination: Coordination) -> LbsServices:
    """Its signatures are of no root."""
    settings, identity = tree.control.lbs, Identity(lambda: "", lambda data: bytes(64), lambda: b"")
    return LbsServices(
        Balancer(settings, coordination, identity, Atlas, time.time),
        Rates(settings.requests_per_s, settings.burst, settings.addresses),
        networks(settings.proxies),
    )


def make_services(folder: Path, **settings: object) -> Services:
    """Of a process that was never started; no message service can be reached."""
    tree = build({"server": {"data_dir": folder, "node_id": 1}, **settings})
    documents = SqliteDocuments(folder / COORDINATION_FILE)
    coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0)
    audit = Audit(tree)
    return Services(
        settings=tree,
        api_keys=Keyring(documents, ApiKeys(folder / "keys" / "api-keys.json")),
        signer=no_signer,
        coordination=coordination,
        documents=documents,
        revocations=Revocations(documents, tree.auth.token_max_ttl_s),
        lbs=make_lbs(tree, coordination),
        registry=CollectorRegistry(),
        audit=audit,
        conns=ConnSearch(MemoryBus(), coordination),
        policy=_policy_room(tree, documents, coordination, audit),
        words=WordLists(documents),
        endpoints=EndpointServices(
            OwnersDesk(None, list, None), AddressPolicy(), lambda: Wrapping([bytes(32)])
        ),
        rate_gate=RateGate(1e6, 1_000_000),
        operator_gate=RateGate(1e6, 1_000_000),
        change_gate=RateGate(tree.limits.admin_changes_per_s, CHANGES_AT_ONCE),
        audit_gate=day_gate(tree.audit.key_bytes_per_day),
        long_polls=LongPolls(tree.limits.http_connections),
        operator_polls=LongPolls(32),
        lockout=Lockout(tree.limits.key_failures, tree.limits.key_lock_s),
    )


def _policy_room(
    tree: Settings, documents: Documents, coordination: Coordination, audit: Audit
) -> PolicyRoom:
    fleet, settings = FleetNumbers(MemoryBus(), coordination), tree.control.policy
    guard = Guard(PolicyDocuments(documents), fleet, coordination, 1, settings, audit)
    return PolicyRoom(PolicyDocuments(documents), fleet, settings, guard)


@contextlib.asynccontextmanager
async def running_services(folder: Path) -> AsyncIterator[Services]:
    """The same with documents, and the API keys that stand in them."""
    made = make_services(folder)
    documents = make_documents(made)
    await documents.start()
    await made.api_keys.start()
    yield made
    await made.api_keys.stop(0.0)
    await documents.stop()


def make_documents(services: Services) -> SqliteDocuments:
    """The engine behind the services: to be started and stopped by the test."""
    assert isinstance(services.documents, SqliteDocuments)
    return services.documents


def client_of(app: FastAPI, key: str = "", address: str = "127.0.0.1") -> httpx.AsyncClient:
    """Asks the app without a socket; `address` is where it comes from."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
    headers = {"X-API-Key": key} if key else {}
    return httpx.AsyncClient(transport=transport, base_url="http://control", headers=headers)
