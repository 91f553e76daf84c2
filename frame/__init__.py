"""Bytes to frames and back: no I/O, no clock, no state.

`from frame.frames cimport frame_parse` and the like give the C functions, which are inlined into the caller.
The Python faces (`frame.frames.parse` ...) serve tests and tools. Numbers of the protocol: `frame.constants`.
"""

from __future__ import annotations

from frame import constants, frames, http_upgrade, preamble, proxy, record, varint, websocket

LAYOUT = frames.LAYOUT
"""Mark of this build's shared structs and constants; a module built with another one must not be used."""


def _same_build() -> None:
    modules = (frames, http_upgrade, preamble, proxy, record, varint, websocket)
    stale = [module.__name__ for module in modules if module.LAYOUT != LAYOUT]
    if frames.CONSTANTS_MARK != constants.CONSTANTS_MARK:
        stale.append("frame.constants")
    if stale:
        raise ImportError(f"built from different sources: {', '.join(stale)}; run `make build`")


_same_build()
