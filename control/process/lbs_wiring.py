"""What LBS is made of, built from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from control.api.services import LbsServices
from control.coordination.base import Coordination
from control.coordination.documents import Documents
from control.coordination.replica import Replica
from control.keys.keystore import KeyStore
from control.lbs.balancer import Balancer, Identity
from control.lbs.client_address import networks
from control.lbs.sources import DOCUMENT, LbsSources
from control.part import Part
from control.rates import Rates
from control.settings.lbs_section import LbsSection


class LbsWiring:
    """`parts` keep up to date what `services` answers from."""

    def __init__(
        self,
        settings: LbsSection,
        documents: Documents,
        coordination: Coordination,
        keys: Callable[[], KeyStore],
    ) -> None:
        sources = LbsSources(settings.tables, settings.mmdb, self._numbers)
        replica = Replica(documents, DOCUMENT)
        replica.on_change(sources.told)
        self.parts: list[Part] = [replica, sources]
        identity = Identity(
            lambda: keys().root, lambda data: keys().keys.root.sign(data), lambda: keys().key_set()
        )
        self.services = LbsServices(
            Balancer(settings, coordination, identity, sources.atlas, time.time),
            Rates(settings.requests_per_s, settings.burst, settings.addresses),
            networks(settings.proxies),
        )

    def _numbers(self) -> Mapping[str, int]:
        return self.services.numbers()
