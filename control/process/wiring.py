"""The parts of a process, built from its settings: the only place that knows all of them.

A part is a line in `Wiring.parts`, in the order of the start; drain and stop go through the list in reverse:

    start   data folder -> documents -> bus -> node id, root key -> streams -> membership
            -> store, message service -> gateway -> own node -> HTTP
    stop    HTTP -> gateway -> message service, store -> membership -> streams -> bus -> documents

What each role is made of stands in the files beside: joined_wiring, im_wiring, gateway_wiring,
control_wiring.

With all roles and the memory bus the gateway calls the message service directly; otherwise both ends speak
over numbered streams (control/streams).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from control.coordination.identity import Identity
from control.gateway.conn_search import ConnService
from control.im.api import ApiResponder
from control.im.store_claim import make_claim
from control.logs import set_level
from control.node_ids import Peer
from control.part import Part
from control.process.control_wiring import ControlWiring
from control.process.live_settings import Apply, LiveSettings
from control.process.parts import (
    FirstApiKey,
    HeapTrim,
    ImSeen,
    KeysPart,
)
from control.process.process import Process
from control.settings import Settings

Outlet = Callable[[Process], Part]
"""Makes the part that shows a process to others."""


def build_process(settings: Settings, identity: Identity, outlet: Outlet | None = None) -> Process:
    """The process that the settings describe, not started; they have its node id. `outlet` stands in for
    HTTP. Raises OSError, KeyFileError.
    """
    process = Process(settings, identity.own)
    process.parts = Wiring(process, identity, outlet).parts()
    return process


class Wiring(ControlWiring):
    """The parts of a process, by its roles."""

    def __init__(self, process: Process, identity: Identity, outlet: Outlet | None) -> None:
        super().__init__(process, identity)
        self._outlet = outlet

    def parts(self) -> list[Part]:
        split = self._split
        gateway, im, control = (name in self._settings.server.roles for name in ("gateway", "im", "control"))
        listed: list[Part | None] = [
            self._identity if self._identity.etcd else None,
            KeysPart(self.keystore, self.gateway.set_keys if gateway else lambda: None)
            if gateway or control
            else None,
            self._shared_keys(),
            self.data_folder,
            None if self._identity.etcd else self.file_documents,
            self.bus_part,
            self.node_id_claim if split else None,
            self.node_name_claim if split and self._settings.server.node_name else None,
            self.same_root if split and (gateway or control) else None,
            self.links if split else None,
            self.coordination,
            make_claim(self._settings, self._process.own, self.bus if split else None, self._of_etcd)
            if im
            else None,
            self.guests if im and split else None,
            self.im_over_bus if im and split else None,
            self.callbacks,
            self.engines if im else None,
            self.word_lists if im else None,
            self.pushes if im else None,
            self.im if im else None,
            self.outbox if im else None,
            self.peers if im and split else None,
            ApiResponder(self.bus, self._process.own[0], self.room_api) if im and split else None,
            self.revocations if gateway or control else None,
            self.keyring if control else None,
            self.gateway if gateway else None,
            self.asked_logins if gateway else None,
            self.orders if gateway else None,
            self.dictionary if gateway else None,
            self.policies if gateway else None,
            self.policy.responder(self.policies) if gateway else None,
            self.gateway_over_bus if gateway and split else None,
            ImSeen(self.coordination) if control and split and not gateway and not im else None,
            ConnService(self.bus, self._process.own[0], self.looks) if gateway else None,
            self.returns if gateway else None,
            self.traces if gateway else None,
            self.cut_off() if split else None,
            self.own_node,
            *(self.lbs.parts if control else []),
            self.lbs_http if control and self._settings.control.lbs.http else None,
            self.audit if control else None,
            self.remembered if control else None,
            self.guard if control else None,
            self.live_settings,
            self._outlet(self._process) if self._outlet else self.http,
            self.admin if control and self._settings.control.admin and not self._outlet else None,
            HeapTrim(self.gateway.connections) if gateway and not im else None,
            FirstApiKey(self.keystore, self.keyring, self._settings.server.data_dir, self.audit)
            if control
            else None,
        ]
        return [part for part in listed if part is not None]

    def _of_etcd(self) -> set[Peer]:
        listed = self.roster.listed() if self.roster else None
        return {(info.node_id, info.epoch) for info in listed or ()}

    @cached_property
    def live_settings(self) -> LiveSettings:
        return LiveSettings(self.documents, self._settings, list(self._live()))

    def _live(self) -> Iterator[Apply]:
        """Who takes live settings in this process."""
        yield lambda settings: set_level(settings.log.level, settings.log.levels)
        if (callbacks := self.callbacks) is not None:
            yield lambda settings: callbacks.set(settings.callbacks)
        if "gateway" in self._settings.server.roles:
            yield lambda settings: self.logins.set_pace(settings.limits.user_logins_per_s)
            yield lambda settings: self.moving.admission.set(settings.gateway.admission)
            yield lambda settings: self.moving.moves.set(settings.gateway.leaving)
            yield lambda settings: self.gateway.set_spread(settings.server.drain_spread_s)
            yield lambda settings: self.logins.set_ping(
                settings.gateway.ping_interval_s, settings.gateway.ws_ping_interval_s
            )
        if "im" in self._settings.server.roles:
            yield lambda settings: self.im.service.set_rates(settings.im.service)
        if "control" in self._settings.server.roles:
            yield self._live_http
