"""The only room where Python objects and the loops meet."""

from gateway_core.types cimport Cmd, Engine, SharedBuf

# Up to `most` events of all loops as tuples.
cdef list take_events(Engine* engine, int most, bint running)
# Gives a command to one loop; waits at most wait_ms for room. 1, or 0: not taken, the caller still owns cmd.ptr.
cdef int give(Engine* engine, int loop, const Cmd* cmd, int wait_ms)
# The same frames to every loop; takes over one reference. 1, or 0 when some loop did not take it.
cdef int give_all(Engine* engine, SharedBuf* b, int wait_ms)
