"""Background tasks whose faults are told in the log and end nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from qianwan.errors import ClientClosed, ConnectionClosed, ProtocolError, RequestError

Work = Coroutine[object, object, None]
log = logging.getLogger("qianwan")


class Tasks:
    """`spawn` starts one, `cancel` ends all of them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Work) -> asyncio.Task[None]:
        task = asyncio.ensure_future(_guard(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: work.close())  # one that was cancelled before it began
        return task

    def cancel(self) -> list[asyncio.Task[None]]:
        """End them; returns those that were running, to be waited for by who cares."""
        running = list(self._running)
        for task in running:
            task.cancel()
        return running


async def _guard(work: Work) -> None:
    name = getattr(work, "__qualname__", "a task")
    try:
        await work
    except (ConnectionClosed, ClientClosed):
        pass  # the next connection takes it up
    except (RequestError, ProtocolError) as error:
        log.warning("%s failed: %s", name, error)
    except Exception:
        log.exception("%s failed", name)
