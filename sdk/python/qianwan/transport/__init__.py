"""Byte streams over asyncio: plain TCP, and WebSocket for networks that let nothing else through."""

from qianwan.transport.address import Address
from qianwan.transport.stream import USUAL_SOCKETS, Receiver, SocketOptions, Stream, open_stream

__all__ = ["USUAL_SOCKETS", "Address", "Receiver", "SocketOptions", "Stream", "open_stream"]
