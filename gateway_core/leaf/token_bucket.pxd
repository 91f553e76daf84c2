"""Rates: the frames of a session, and the connections of an address.

The address table is one for all loops (SO_REUSEPORT spreads an address over them), bounded, under a spin lock held
for a few dozen instructions on accept and close only.
"""

from libc.stdint cimport uint8_t, uint32_t

from gateway_core.types cimport Engine, Loop, Session

cdef enum IpVerdict:
    IP_OK = 0
    IP_TOO_MANY = 1
    IP_TOO_FAST = 2
    IP_NET_FULL = 3

# Takes `frames` tokens; 0 when the session has spent more than its rate and burst.
cdef bint bucket_take(Loop* loop, Session* s, uint32_t frames) noexcept nogil

cdef int ip_init(Engine* engine) noexcept nogil
cdef void ip_free(Engine* engine) noexcept nogil
# Judges one new connection from ip16; on IP_OK *ref names what ip_leave gives back (NONE32: not counted).
cdef int ip_enter(Loop* loop, const uint8_t* ip16, uint32_t* ref) noexcept nogil
cdef void ip_leave(Loop* loop, uint32_t ref) noexcept nogil
