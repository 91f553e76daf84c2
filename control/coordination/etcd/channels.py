"""One gRPC channel a member of the etcd cluster, and which of them is asked now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from control.coordination.etcd.certificates import Stamp, Tls, load_grpc
from control.coordination.etcd.errors import EtcdError, EtcdUnavailable, OutcomeUnknown, error_of
from control.coordination.etcd.messages import messages
from control.settings.sections import EtcdSection
from control.settings.values import parse_endpoint

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from grpc.aio import Channel, StreamStreamCall

CONNECT_S = 1.0
"""For a connection to stand. A member that is slower is passed over; it is tried again later."""
_POLL_S = 0.01  # a wait for a change of state that is given up would stay in gRPC
_ANSWERS = {
    "KV/Range": "RangeResponse",
    "KV/Put": "PutResponse",
    "KV/DeleteRange": "DeleteRangeResponse",
    "KV/Txn": "TxnResponse",
    "KV/Compact": "CompactionResponse",
    "Watch/Watch": "WatchResponse",
    "Lease/LeaseGrant": "LeaseGrantResponse",
    "Lease/LeaseRevoke": "LeaseRevokeResponse",
    "Lease/LeaseKeepAlive": "LeaseKeepAliveResponse",
    "Maintenance/Status": "StatusResponse",
    "Maintenance/Alarm": "AlarmResponse",
    "Auth/Authenticate": "AuthenticateResponse",
}
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Below 10 s etcd answers with GOAWAY too_many_pings.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)


class Member:
    """One endpoint. Its channel connects, and connects again, by itself."""

    def __init__(self, endpoint: str, tls: Tls) -> None:
        self.endpoint = parse_endpoint(endpoint)[0]
        self.name = f"etcd {self.endpoint}"
        self.cluster = 0
        """of its last answer; 0: it has not answered since it was connected"""
        self.stranger = 0
        """that of a cluster that is not believed, once it was told"""
        self._tls = tls
        self._channel: Channel | None = None
        self._stamp: Stamp = ()

    async def ask(
        self, method: str, request: Message, metadata: tuple[tuple[str, str], ...], within_s: float
    ) -> Message:
        """One call, once. Raises EtcdError by kind."""
        grpc, channel = load_grpc(), await self.connected(within_s)
        call = channel.unary_unary(
            f"/etcdserverpb.{method}", _serialized, getattr(messages(), _ANSWERS[method]).FromString
        )
        try:
            return await call(request, timeout=within_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            details = error.details() or ""
            if self._tls.note and error.code() is grpc.StatusCode.UNAVAILABLE:
                details = f"{details} ({self._tls.note})"
            raise error_of(error.code().name, details, self.name) from None
        except (asyncio.CancelledError, grpc.aio.UsageError) as error:
            raise broken(error, self.name) from None

    async def stream(
        self, method: str, metadata: tuple[tuple[str, str], ...], within_s: float | None = None
    ) -> StreamStreamCall:
        """A call that both sides write to. Raises EtcdError."""
        channel = await self.connected(CONNECT_S)
        try:
            return channel.stream_stream(
                f"/etcdserverpb.{method}", _serialized, getattr(messages(), _ANSWERS[method]).FromString
            )(metadata=metadata, timeout=within_s)
        except load_grpc().aio.UsageError as error:
            raise broken(error, self.name) from None

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def refresh(self) -> None:
        """A channel that failed is opened anew if its certificates have changed."""
        if self._channel is not None and self._stamp != self._tls.stamp():
            await self.close()

    async def connected(self, within_s: float) -> Channel:
        """The channel, when it stands or has just failed (the call then says why). Raises EtcdUnavailable."""
        grpc, channel = load_grpc(), self._channel or self._opened()
        loop = asyncio.get_running_loop()
        until = loop.time() + min(within_s, CONNECT_S)
        waiting = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)
        try:
            while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                self.cluster = 0
                if state not in waiting:
                    break
                if loop.time() > until:
                    raise EtcdUnavailable(f"{self.name}: no connection")
                await asyncio.sleep(_POLL_S)
        except grpc.aio.UsageError:
            raise EtcdUnavailable(f"{self.name}: the connection was closed") from None
        return channel

    def _opened(self) -> Channel:
        aio, target = load_grpc().aio, f"dns:///{self.endpoint}"
        if self._tls.used:
            self._stamp = self._tls.stamp()
            self._channel = aio.secure_channel(target, self._tls.credentials(), options=_OPTIONS)
        else:
            self._channel = aio.insecure_channel(target, options=_OPTIONS)
        return self._channel


class Members:
    """All endpoints; calls go to one of them until it fails."""

    def __init__(self, section: EtcdSection) -> None:
        tls = Tls(section)
        self.all = tuple(Member(endpoint, tls) for endpoint in section.endpoints)
        self._at = 0

    @property
    def current(self) -> Member:
        return self.all[self._at % len(self.all)]

    async def leave(self, member: Member) -> None:
        """It failed: the next one is asked, if nobody has seen that before."""
        if member is self.current:
            self._at += 1
        await member.refresh()

    async def close(self) -> None:
        for member in self.all:
            await member.close()


def broken(error: BaseException, where: str) -> EtcdError | asyncio.CancelledError:
    """gRPC raises a bare CancelledError where a channel is closed under a call. Whoever was not cancelled
    must not end of it."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        return error
    return OutcomeUnknown(f"{where}: the connection was closed")


def _serialized(message: Message) -> bytes:
    return bytes(message.SerializeToString())
