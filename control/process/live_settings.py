"""What operators set for all processes, taken over by this one while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from control.coordination.documents import Document, Documents
from control.coordination.replica import Replica
from control.logs import get_logger
from control.part import Part, Source
from control.settings import Settings
from control.settings.live import DOCUMENT, LiveDocument, effective, usable

log = get_logger("settings")

Apply = Callable[[Settings], None]


class LiveSettings(Part):
    """Each of `apply` is given the settings whenever they change, and takes what concerns it; one that could
    not is asked again with the next tick. A value that does not go with what this process was started with
    changes nothing here and keeps no other out: `refused` says why, by key. Where the document cannot be
    read, what held before goes on.
    """

    def __init__(self, documents: Documents, base: Settings, apply: Sequence[Apply]) -> None:
        self._base = base
        self._apply = apply
        self.settings = base
        self.refused: dict[str, str] = {}
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
        except msgspec.MsgspecError as error:
            self._refuse({DOCUMENT: str(error)})
            return
        settings, refused = usable(self._base, values)
        self._refuse(refused)
        if effective(settings) == effective(self.settings):
            return
        self.settings = settings
        self._give(self._apply)
        log.info(
            "live settings",
            **{name.replace(".", "_"): value for name, value in values.items() if name not in refused},
        )

    def _refuse(self, refused: dict[str, str]) -> None:
        for key, reason in refused.items():
            if self.refused.get(key) != reason:
                log.error("a live setting does not hold here", key=key, reason=reason)
        self.refused = refused

    def sources(self) -> Mapping[str, Source]:
        return {"live_settings": lambda: {"live_refused": len(self.refused), "live_waiting": len(self._left)}}
