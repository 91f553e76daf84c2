"""A TCP proxy that slices, delays, stalls and cuts what passes through it; all chance comes from one
seeded rng.
"""

from __future__ import annotations

import asyncio
import contextlib
import random


class FaultyProxy:
    """`async with FaultyProxy(host, port, random.Random(seed)) as proxy:`; connect to `proxy.address`.

    slice_max     pieces of 1 to so many bytes (0: as they come)
    delay_s       each piece waits a random part of this
    cut_after     a connection dies after a random number of bytes up to this (0: never)
    refusing      new connections are closed at once
    stalled       bytes are taken and go nowhere
    """

    def __init__(
        self,
        host: str,
        port: int,
        rng: random.Random,
        *,
        slice_max: int = 0,
        delay_s: float = 0.0,
        cut_after: int = 0,
    ) -> None:
        self._host, self._target, self._rng = host, port, rng
        self.slice_max, self.delay_s, self.cut_after = slice_max, delay_s, cut_after
        self.refusing = False
        self.stalled = False
        self.accepted = 0
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FaultyProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Every connection dies now, with a reset."""
        self.cuts += bool(self._writers)
        for writer in list(self._writers):
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            other_reader, other = await asyncio.open_connection(self._host, self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, other)
        self._writers.update(pair)
        budget = [self._rng.randint(1, self.cut_after) if self.cut_after else -1]
        try:
            done, pending = await asyncio.wait(
                [
                    asyncio.ensure_future(self._pipe(reader, other, budget)),
                    asyncio.ensure_future(self._pipe(other_reader, writer, budget)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in pending:
                task.cancel()
            await asyncio.gather(*done, *pending, return_exceptions=True)
        finally:
            for end in pair:
                self._writers.discard(end)
                if budget[0] == 0:
                    end.transport.abort()
                end.close()

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: list[int]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                while data:
                    size = self._rng.randint(1, self.slice_max) if self.slice_max else len(data)
                    piece, data = data[:size], data[size:]
                    if self.delay_s:
                        await asyncio.sleep(self._rng.uniform(0, self.delay_s))
                    if self.stalled:
                        continue
                    if budget[0] >= 0:
                        piece = piece[: budget[0]]
                        budget[0] -= len(piece)
                    writer.write(piece)
                    await writer.drain()
                    if budget[0] == 0:
                        self.cuts += 1
                        return
