"""Bytes that end exactly where an unreadable page begins: reading one byte too many kills the process."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Guarded:
    """A writable area of `size` bytes with an unreadable page on either side."""

    def __init__(self, base: int, size: int) -> None:
        self.start = base + PAGE
        self.size = size

    def at_end(self, data: bytes) -> memoryview:
        """data, whose last byte stands before the unreadable page."""
        return self._placed(self.start + self.size - len(data), data)

    def at_start(self, data: bytes) -> memoryview:
        """data, whose first byte stands after the unreadable page."""
        return self._placed(self.start, data)

    def _placed(self, address: int, data: bytes) -> memoryview:
        assert len(data) <= self.size
        ctypes.memmove(address, data, len(data))
        return memoryview((ctypes.c_ubyte * len(data)).from_address(address)).cast("B")


@contextmanager
def guarded(pages: int = 17) -> Iterator[Guarded]:
    """An area of `pages` pages between two guard pages; views into it die with it."""
    total = (pages + 2) * PAGE
    base = LIBC.mmap(
        None, total, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )
    assert base not in (None, ctypes.c_void_p(-1).value), "mmap failed"
    for guard in (base, base + total - PAGE):
        assert LIBC.mprotect(guard, PAGE, 0) == 0, "mprotect failed"
    try:
        yield Guarded(base, pages * PAGE)
    finally:
        LIBC.munmap(base, total)
