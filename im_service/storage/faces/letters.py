"""Dead letters of the endpoints of the event copy."""

from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import letters
from im_service.storage.records import DeadLetter


class DeadLetters(Engine):
    async def bury(self, letter: DeadLetter) -> int:
        """Keep it; once for an endpoint and an event. How many this endpoint has now."""
        return await self._write(partial(letters.bury, letter))

    async def dead_letters(
        self, endpoint: str, after: int = 0, limit: int = 100
    ) -> list[tuple[int, DeadLetter]]:
        """(number, letter) with a higher number, oldest first."""
        return await self._read(letters.listed(endpoint, after, limit))

    async def count_letters(self, endpoint: str) -> int:
        """How many this endpoint has."""
        return await self._read(letters.count(endpoint))

    async def drop_letters(self, endpoint: str, event_id: str | None = None) -> None:
        """Forget one, or all of this endpoint."""
        await self._write(partial(letters.drop, endpoint, event_id))
