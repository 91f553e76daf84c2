"""What operators set for all processes, taken over by this one while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from control.coordination.documents import Document, Documents
from control.coordination.replica import Replica
from control.logs import get_logger
from control.part import Part
from control.settings import Settings, SettingsError
from control.settings.live import DOCUMENT, LiveDocument, effective, overlaid

log = get_logger("settings")

Apply = Callable[[Settings], None]


class LiveSettings(Part):
    """Each of `apply` is given the settings whenever they change, and takes what concerns it; one that could
    not is asked again with the next tick. A document that this process cannot use is logged, and what held
    before goes on.
    """

    def __init__(self, documents: Documents, base: Settings, apply: Sequence[Apply]) -> None:
        self._base = base
        self._apply = apply
        self.settings = base
        self._left: list[Apply] = []
        self._replica = Replica(documents, DOCUMENT)
        self._replica.on_change(self._on_change)

    async def start(self) -> None:
        await self._replica.start()

    async def stop(self, grace_s: float) -> None:
        await self._replica.stop(grace_s)

    async def tick(self) -> None:
        """What a full mailbox refused."""
        if self._left:
            self._give(self._left)

    def _give(self, to: Sequence[Apply]) -> None:
        left: list[Apply] = []
        for apply in to:
            try:
                apply(self.settings)
            except Exception:
                log.exception("a part did not take live settings, it is asked again")
                left.append(apply)
        self._left = left

    def _on_change(self, key: str, document: Document | None) -> None:
        if key != DOCUMENT:
            return
        try:
            values = {} if document is None else msgspec.json.decode(document.value, type=LiveDocument).values
            settings = overlaid(self._base, values)
        except (SettingsError, msgspec.MsgspecError) as error:
            log.error("live settings cannot be used, those before go on", reason=str(error))
            return
        if effective(settings) == effective(self.settings):
            return
        self.settings = settings
        self._give(self._apply)
        log.info("live settings", **{name.replace(".", "_"): value for name, value in values.items()})
