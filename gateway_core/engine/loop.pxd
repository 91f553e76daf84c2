"""One loop: a thread that owns its connections and never takes the GIL.

A tick, in this order: clock; commands; poll; reads (and accepts, handshakes); deadlines; flush (sweeps, then the
dirty list); the doomed; events and statistics.
"""

from gateway_core.leaf.keys cimport KeyRing
from gateway_core.types cimport Engine, Loop

cdef int loop_init(Loop* loop, Engine* engine, unsigned int index, const KeyRing* keys) noexcept nogil  # 0 or -1
cdef void loop_free(Loop* loop) noexcept nogil  # after the thread has ended; events stay for loop_free_events
cdef void loop_free_events(Loop* loop) noexcept nogil
cdef void* loop_main(void* loop) noexcept nogil
