"""The only module where Python objects and the loops meet."""

from gateway_core.leaf.mailbox cimport Cmd
from gateway_core.types cimport Engine

# Up to `most` events of all loops as tuples.
cdef list take_events(Engine* engine, int most, bint running)
# Gives a command to one loop; waits at most wait_ms for room. 1, or 0: not taken, the caller still owns cmd.ptr.
cdef int give(Engine* engine, int loop, const Cmd* cmd, int wait_ms)
# The same without waking the loop, so that a batch costs it one wake-up. Every give_quiet needs a wake_all after it.
cdef int give_quiet(Engine* engine, int loop, const Cmd* cmd, int wait_ms)
cdef void wake_all(Engine* engine) noexcept nogil
