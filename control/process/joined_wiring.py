"""What processes of every role are made of: folder, keys, documents, bus, membership."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from control.audit.trail import Audit
from control.bus.base import Bus
from control.bus.engines import make_bus
from control.bus.hearing import Hearing
from control.coordination.beacons import BeaconCoordination
from control.coordination.claim import NodeIdClaim, NodeNameClaim
from control.coordination.documents import Documents
from control.coordination.identity import Etcd, Identity
from control.coordination.nodes import static_gateways
from control.coordination.remembered import Remembered
from control.coordination.roster import Roster
from control.coordination.same_root import SameRoot
from control.coordination.sqlite_documents import SqliteDocuments
from control.keys.data_folder import COORDINATION_FILE, prepare_data_folder
from control.keys.keyring import Keyring
from control.keys.keystore import KeyStore, api_keys
from control.keys.shared import SharedKeys
from control.process.data_folder import DataFolder
from control.process.descriptors import Shares, shares
from control.process.parts import (
    BusPart,
)
from control.process.policy_wiring import PolicyWiring
from control.process.process import Process, dead_ticks
from control.streams.links import StreamLinks

if TYPE_CHECKING:  # at run time only where it is wanted: it brings an HTTP client
    from control.callbacks.asker import Callbacks
    from control.engines.asker import Engines

OPERATORS = ("drain/", "storm/", "settings/", "trace/", "lbs/", "policies/")
"""Documents that the admin API shows."""


class JoinedWiring:
    """What the parts are made of; each is built when the first of them asks for it."""

    def __init__(self, process: Process, identity: Identity) -> None:
        self._process = process
        self._identity = identity
        self._settings = process.settings
        self._split = process.settings.bus.kind != "memory"

    @cached_property
    def shares(self) -> Shares:
        return shares(self._settings)

    @cached_property
    def callbacks(self) -> Callbacks | None:
        """What asks the application's server; None where nothing is to be asked."""
        if not self._settings.callbacks.url:
            return None
        from control.callbacks.asker import Callbacks

        return Callbacks(self._settings)

    @cached_property
    def engines(self) -> Engines | None:
        """What asks engines outside; None where none is named."""
        if not (self._settings.engines.text.url or self._settings.engines.media.url):
            return None
        from control.engines.asker import Engines

        return Engines(self._settings)

    @cached_property
    def data_folder(self) -> DataFolder:
        prepare_data_folder(self._settings.server.data_dir)
        return DataFolder(self._settings.server.data_dir, self._process.addresses, alone=not self._split)

    def _owned(self) -> Documents:
        """For what this process writes of its own accord: only while it holds its node id."""
        if (etcd := self._identity.etcd) is None:
            return self.file_documents
        from control.coordination.etcd.documents import EtcdDocuments

        return EtcdDocuments(etcd.client, owner=etcd.registration)

    def _shared_keys(self) -> SharedKeys | None:
        if (joined := self._identity.keys) is None:
            return None
        made = SharedKeys(self._settings, self._owned(), self.keystore, joined)
        if "control" in self._settings.server.roles:
            made.on_change = lambda what, revision: self.audit.note(f"keys.{what}", {}, revision)
        return made

    @cached_property
    def documents(self) -> Documents:
        if (etcd := self._identity.etcd) is None:
            return self.file_documents
        from control.coordination.etcd.documents import EtcdDocuments

        return EtcdDocuments(etcd.client)

    @cached_property
    def remembered(self) -> Remembered:
        """What operators look at while etcd is away."""
        return Remembered(self.documents, OPERATORS)

    @cached_property
    def file_documents(self) -> SqliteDocuments:
        return SqliteDocuments(self._settings.server.data_dir / COORDINATION_FILE)

    @cached_property
    def roster(self) -> Roster | None:
        if (etcd := self._identity.etcd) is None:
            return None
        from control.coordination.etcd.documents import EtcdDocuments

        return Roster(EtcdDocuments(etcd.client, self._settings.etcd.prefix))

    def _written_as_owner(self, etcd: Etcd) -> Documents:
        """All keys of the cluster, changed only while this process holds its node id."""
        from control.coordination.etcd.documents import EtcdDocuments

        return EtcdDocuments(etcd.client, self._settings.etcd.prefix, etcd.registration)

    @cached_property
    def keystore(self) -> KeyStore:
        made = KeyStore(self._settings, create=True)
        if "control" in self._settings.server.roles:
            made.on_rotated = lambda files: self.audit.note("keys.rotate", {"files": [*files]})
        return made

    @cached_property
    def keyring(self) -> Keyring:
        return Keyring(self.documents, api_keys(self._settings))

    @cached_property
    def bus(self) -> Bus:
        return make_bus(self._settings)

    @cached_property
    def bus_part(self) -> BusPart:
        hearing = Hearing(self.bus, self._process.own, dead_ticks(self._settings)) if self._split else None
        return BusPart(self.bus, hearing)

    @cached_property
    def links(self) -> StreamLinks:
        bus = self._settings.bus
        return StreamLinks(self.bus, self._process.own, bus.beacon_s, bus.ring_batches, bus.ring_bytes)

    @cached_property
    def node_id_claim(self) -> NodeIdClaim:
        name, bus = self._settings.node_name, self._settings.bus
        claim = NodeIdClaim(self.bus, self._process.own, name, bus.dead_after_s)
        self.bus.on_reconnect(claim.again)
        return claim

    @cached_property
    def node_name_claim(self) -> NodeNameClaim:
        name, bus = self._settings.server.node_name, self._settings.bus
        claim = NodeNameClaim(self.bus, self._process.own, name, bus.dead_after_s)
        self.bus.on_reconnect(claim.again)
        return claim

    @cached_property
    def same_root(self) -> SameRoot:
        return SameRoot(self.bus, self.coordination, self._settings.node_name, lambda: self.keystore.root)

    @cached_property
    def coordination(self) -> BeaconCoordination:
        settings = self._settings
        made = BeaconCoordination(
            self.bus,
            settings.bus.beacon_s,
            settings.bus.dead_after_s,
            static_gateways(settings),
            hears_gateways=set(settings.server.roles) != {"gateway"},
            roster=self.roster,
            clock_off_s=settings.bus.clock_off_s,
            clock_wrong_s=max(settings.bus.clock_off_s, settings.auth.clock_skew_s),
        )
        if self._split:
            made.on(None, lambda info, alive: None if alive else self.links.forget(info.node_id, info.epoch))
        return made

    def _root_of_clients(self) -> str:
        if set(self._settings.server.roles) != {"im"}:
            return self.keystore.root
        return next((node.root for node in self.coordination.nodes("control") if node.root), "")

    @cached_property
    def policy(self) -> PolicyWiring:
        process = self._process
        return PolicyWiring(self._settings, process.own, self.documents, self.bus, self.coordination)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self._settings)

    def _endpoint_owners(self) -> list[int]:
        """Who may deliver to endpoints: who reads the store, as far as is known."""
        if not self._split:
            return [self._process.own[0]]
        awake = [info.node_id for info in self.coordination.nodes("im") if not info.rests]
        return awake or self._im_ids()

    def _im_ids(self) -> list[int]:
        return [info.node_id for info in self.coordination.nodes("im")]
