"""Qianwan's client: `async with Client(...) as me: await me.send("bob", "hello")`. See README.md."""

from qianwan.api.base import Page
from qianwan.api.messages import Reaction
from qianwan.client import Client, Messages
from qianwan.connection.policy import Policy
from qianwan.connection.reconnect import Backoff
from qianwan.connection.supervisor import State, StateChange
from qianwan.connection.vitals import Quality
from qianwan.delivery.journal import FileOutbox, OutboxStore
from qianwan.delivery.store import CursorStore, FileCursor, MemoryCursor
from qianwan.errors import (
    Advice,
    CertificateError,
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
    SettingError,
    TooBig,
)
from qianwan.models import Ack, Content, Message, Notice, Options
from qianwan.rooms import Room
from qianwan.transport import SocketOptions

__version__ = "0.1.0"

__all__ = [
    "Ack",
    "Advice",
    "Backoff",
    "CertificateError",
    "Client",
    "ClientClosed",
    "ConnectFailed",
    "ConnectionClosed",
    "Content",
    "CursorStore",
    "FileCursor",
    "FileOutbox",
    "HandshakeRejected",
    "KeySetError",
    "MemoryCursor",
    "Message",
    "Messages",
    "Notice",
    "Options",
    "OutboxFull",
    "OutboxStore",
    "Page",
    "Policy",
    "ProtocolError",
    "QianwanError",
    "Quality",
    "Reaction",
    "RequestError",
    "RequestTimeout",
    "Room",
    "SettingError",
    "SocketOptions",
    "State",
    "StateChange",
    "TooBig",
]
