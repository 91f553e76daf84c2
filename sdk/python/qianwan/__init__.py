"""Qianwan's client: `async with Client(...) as me: await me.send("bob", "hello")`. See README.md."""

from qianwan.client import Client, Messages
from qianwan.connection.reconnect import Backoff
from qianwan.connection.supervisor import State, StateChange
from qianwan.delivery.store import CursorStore, FileCursor, MemoryCursor
from qianwan.errors import (
    Advice,
    ClientClosed,
    ConnectFailed,
    ConnectionClosed,
    HandshakeRejected,
    KeySetError,
    OutboxFull,
    ProtocolError,
    QianwanError,
    RequestError,
    RequestTimeout,
)
from qianwan.models import Ack, Content, Message, Notice, Options
from qianwan.rooms import Room

__version__ = "0.1.0"

__all__ = [
    "Ack",
    "Advice",
    "Backoff",
    "Client",
    "ClientClosed",
    "ConnectFailed",
    "ConnectionClosed",
    "Content",
    "CursorStore",
    "FileCursor",
    "HandshakeRejected",
    "KeySetError",
    "MemoryCursor",
    "Message",
    "Messages",
    "Notice",
    "Options",
    "OutboxFull",
    "ProtocolError",
    "QianwanError",
    "RequestError",
    "RequestTimeout",
    "Room",
    "State",
    "StateChange",
]
