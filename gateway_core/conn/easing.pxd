"""Pauses of single readers: while the loop is eased, who sends more than its piece at once is read again only after a pause.

What it has sent waits in the kernel, and soon in its own TCP; the others get the turn.
"""

from gateway_core.conn.table cimport Conn
from gateway_core.types cimport Loop

cdef void ease(Loop* loop, int what) noexcept nogil  # EASE_* bits, 0: nothing is eased
cdef void read_pause(Loop* loop, Conn* c) noexcept nogil
cdef void reads_resume(Loop* loop) noexcept nogil  # when the pause is over
