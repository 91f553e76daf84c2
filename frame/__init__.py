"""Bytes to frames and back: no I/O, no clock, no state.

`from frame.frames cimport frame_parse` and the like give the C functions, which are inlined into the caller.
The Python faces (`frame.frames.parse` ...) serve tests and tools. Numbers of the protocol: `frame.constants`.
"""

from __future__ import annotations

from cmodules import same_build
from frame import constants, frames, http_upgrade, preamble, proxy, record, varint, websocket

same_build(frames, http_upgrade, preamble, proxy, record, varint, websocket)


def _same_constants() -> None:
    """The generated constants.py against the header that the modules were built with."""
    if frames.CONSTANTS_MARK != constants.CONSTANTS_MARK:
        raise ImportError("frame.constants and frame.frames are of different versions; run `make build`")


_same_constants()
