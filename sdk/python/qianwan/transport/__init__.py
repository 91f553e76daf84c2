"""Byte streams over asyncio: plain TCP, and WebSocket for networks that let nothing else through."""

from qianwan.transport.address import Address
from qianwan.transport.stream import Receiver, Stream, open_stream

__all__ = ["Address", "Receiver", "Stream", "open_stream"]
