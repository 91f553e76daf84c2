"""The bus over core NATS (nats-py). JetStream is not used: what must survive is in the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import nats
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from control.bus.base import MIN_PAYLOAD, BusError, NobodyThere
from control.logs import get_logger
from control.settings.values import Secret, SecretUrl

log = get_logger("bus")

CONNECT_TIMEOUT_S = 5.0
# One server of several that stands still is left within 3 pings, and the next one is tried within 10 s.
PING_S, ONE_OF_SEVERAL_PING_S = 10.0, 2.0
ONE_OF_SEVERAL_CONNECT_S = 2.0
FLUSH_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 1.0
DEFAULT_MAX_PAYLOAD = 1 << 20  # of a NATS server; it tells its own when it is reached
NO_RESPONDERS_PAUSE_S = 0.02
LAST_TRY_S = 0.1  # with less left a try would end without an answer, and nobody would know whom it reached
# A client's share of a server's memory while it is away; the same 64 MiB after which NATS cuts off a slow
# consumer.
PENDING_BYTES = 64 << 20


class _Message(Protocol):
    data: bytes

    def respond(self, data: bytes) -> Awaitable[None]: ...


class NatsBus:
    """Implements Bus. Reconnects for ever, resubscribing by itself. What is published meanwhile is dropped:
    who cares repeats it (streams, beacons), and it would come when others have given up waiting for it.
    """

    def __init__(
        self, url: SecretUrl, prefix: str = "qw", token: Secret | None = None, name: str = "qianwan"
    ) -> None:
        self._url = url
        self._servers = [each.strip() for each in url.reveal().split(",") if each.strip()]
        self._prefix = prefix + "."
        self._token = token
        self._name = name
        self._client: Any = None
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._queued_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._reconnected: list[Callable[[], None]] = []
        self._why = ""  # the last error, until the connection is back
        self.dropped = 0

    async def start(self) -> None:
        several = len(self._servers) > 1
        options: dict[str, Any] = {
            "name": self._name,
            "connect_timeout": ONE_OF_SEVERAL_CONNECT_S if several else CONNECT_TIMEOUT_S,
            "allow_reconnect": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.25,
            "ping_interval": ONE_OF_SEVERAL_PING_S if several else PING_S,
            "max_outstanding_pings": 2,
            "pending_size": PENDING_BYTES,
            "disconnected_cb": self._on_disconnect,
            "reconnected_cb": self._on_reconnect,
            "error_cb": self._on_error,
        }
        if self._token:
            options["token"] = self._token.reveal()
        patience_s = CONNECT_TIMEOUT_S * max(1, len(self._servers))
        try:
            async with asyncio.timeout(patience_s):
                self._client = await nats.connect(self._servers, **options)
        except (NatsError, OSError, TimeoutError) as error:
            reason = self._why or str(error) or f"no answer within {patience_s:.0f} s"
            raise BusError(f"cannot reach NATS at {self._url}: {reason}") from None
        if self.max_payload < MIN_PAYLOAD:
            carried = self.max_payload
            await self._client.close()
            raise BusError(
                f"NATS at {self._url} carries {carried} bytes a message, {MIN_PAYLOAD} are needed:"
                " max_payload in its configuration"
            )
        self._writer = asyncio.create_task(self._write(), name="bus-writer")

    async def close(self) -> None:
        if self._writer is not None:
            await self.flush()
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
            self._writer = None
        if self._client is not None:
            self._forget_unwritten()
            # A connection that is lost or stands still is not closed, it is left: it ends with the process.
            with contextlib.suppress(NatsError, OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._client.close()

    @property
    def max_payload(self) -> int:
        return int(self._client.max_payload) if self._client is not None else DEFAULT_MAX_PAYLOAD

    @property
    def connected(self) -> bool:
        return self._client is not None and bool(self._client.is_connected)

    def publish(self, subject: str, payload: bytes) -> None:
        if self._queued_bytes + len(payload) > PENDING_BYTES:
            self.dropped += 1
            return
        self._queued_bytes += len(payload)
        self._outgoing.put_nowait((self._prefix + subject, payload))

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._reconnected.append(callback)

    async def subscribe(self, subject: str, handler: Callable[[bytes], None]) -> None:
        async def receive(message: _Message) -> None:
            try:
                handler(message.data)
            except Exception:
                log.exception("bus handler failed", subject=subject)

        subscription = await self._client.subscribe(
            self._prefix + subject, cb=receive, pending_msgs_limit=1 << 20, pending_bytes_limit=PENDING_BYTES
        )
        try:
            # The client's PING overtakes what waits to be written: the first answer says only that the
            # subscription has left, the second that it is there.
            await self._client.flush()
            await self._client.flush()
        except BaseException:
            await subscription.unsubscribe()  # who tries again has one
            raise

    async def request(
        self, subject: str, payload: bytes, timeout_s: float, nobody_s: float | None = None
    ) -> bytes:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        nobody_until = until - LAST_TRY_S if nobody_s is None else loop.time() + nobody_s
        while True:
            left = until - loop.time()
            try:
                if not self.connected:  # the client would keep it, and ask when nobody waits any more
                    raise NoRespondersError
                reply = await self._client.request(self._prefix + subject, payload, timeout=max(left, 0.001))
                return bytes(reply.data)
            except NoRespondersError as error:
                # Nobody got it, so asking again repeats nothing: a responder may be reconnecting just now.
                if left <= LAST_TRY_S or loop.time() >= nobody_until:
                    raise NobodyThere(f"no answer on {subject}: {type(error).__name__}") from None
                await asyncio.sleep(NO_RESPONDERS_PAUSE_S)
            except (NatsError, TimeoutError) as error:
                raise BusError(f"no answer on {subject}: {type(error).__name__}") from None

    async def respond(self, subject: str, handler: Callable[[bytes, Callable[[bytes], None]], None]) -> None:
        async def receive(message: _Message) -> None:
            def answer(result: bytes) -> None:
                task = asyncio.ensure_future(_send(message, result))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)

            try:
                handler(message.data, answer)
            except Exception:
                log.exception("bus responder failed", subject=subject)

        await self._client.subscribe(self._prefix + subject, cb=receive)
        await self._client.flush()

    async def flush(self) -> None:
        if self.connected:
            try:
                async with asyncio.timeout(FLUSH_TIMEOUT_S):
                    await self._outgoing.join()
                    await self._client.flush(timeout=FLUSH_TIMEOUT_S)
            except (NatsError, OSError, RuntimeError, TimeoutError) as error:
                log.warning("what was said last may not have reached the bus", reason=type(error).__name__)

    async def _write(self) -> None:
        while True:
            subject, payload = await self._outgoing.get()
            self._queued_bytes -= len(payload)
            try:
                if self.connected:
                    await self._client.publish(subject, payload)
                else:
                    self.dropped += 1
            except NatsError as error:
                self.dropped += 1
                await self._on_error(error)
            except Exception:
                self.dropped += 1
                log.exception("bus publish failed", subject=subject)
            finally:
                self._outgoing.task_done()

    async def _on_disconnect(self) -> None:
        if self._client.is_closed:
            return  # by us
        self._forget_unwritten()
        log.warning("bus connection lost", url=str(self._url))

    def _forget_unwritten(self) -> None:
        """What the client of a lost connection had not written yet. It repeats subscriptions by itself."""
        if not self.connected:
            self._client._pending.clear()
            self._client._pending_data_size = 0

    async def _on_reconnect(self) -> None:
        log.info("bus connection is back", url=str(self._url))
        self._why = ""
        for callback in self._reconnected:
            try:
                callback()
            except Exception:
                log.exception("who waits for the bus could not be told that it is back")

    async def _on_error(self, error: Exception) -> None:
        """Each try to connect that fails comes here; what repeats is said once."""
        why = str(error) or type(error).__name__
        if why != self._why and self._client is not None:
            log.warning("bus error", error=why)
        self._why = why


async def _send(message: _Message, result: bytes) -> None:
    try:
        await message.respond(result)
    except NatsError as error:
        log.warning("bus answer failed", error=str(error))
