"""Who is let in now: one bucket for newcomers, one for those who were here before, shared by all loops.

Each bucket is one number, the time at which it will be full again (the generic cell rate algorithm), moved on by
compare-and-swap: no lock, and no loop admits more than all together may. Who is refused is told when to come again, each
one gap after the one before, so that they come at the rate at which they will be let in.

An address (of IPv6 its /64) that asks for more than a PART of a rate is let in from the first half of the bucket only, and
told times of a line of its own: however much it asks, the others find the second half, and their places in their line.
Where nobody else asks it has the whole rate, as a balancer without a PROXY header must. Addresses are counted in two of
SLOTS counters each; who shares both with a greedy one is taken for it.
"""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

cdef enum Visitor:
    NEWCOMER = 0
    KNOWN = 1  # says that it was logged in before
    VISITORS = 2

cdef enum Door:  # a visitor below it stays outside, whatever its bucket holds
    DOOR_OPEN = 0
    DOOR_KNOWN = 1
    DOOR_SHUT = 2

cdef enum:
    PART = 8
    AT_ONCE = 4  # an address may ask so often at once, whatever its part is
    SLOTS = 4096

cdef enum Asker:
    GREEDY = 0  # asks for more than its part
    MODEST = 1
    ASKERS = 2

cdef struct Bucket:
    uint64_t full_ns  # when it is full again
    uint64_t promised_ns[ASKERS]  # the latest time at which somebody was told to come again
    uint64_t gap_ns  # between two in the long run; 0 = no limit
    uint64_t depth_ns  # gap_ns for each that may come at once, two at least: one for whoever is greedy
    uint32_t refused  # counts those who could be told no time of their own
    uint64_t asked_ns[SLOTS]  # buckets of addresses: when each is full again

cdef struct Admission:
    Bucket of[VISITORS]
    uint32_t door
    uint32_t least_ms  # nobody is told to come again sooner
    uint32_t most_ms  # ... or later

cdef struct Wait:  # what the refused are told
    uint32_t retry_ms
    uint32_t jitter_ms  # they add a random part of it

# Any thread. per_s 0: no limit; `burst_s`: seconds' worth that may come at once, at least two. What was used up stays used up.
cdef void admission_rate(Admission* a, int visitor, double per_s, double burst_s, uint64_t now_ns) noexcept nogil
cdef void admission_door(Admission* a, int door, uint32_t least_ms, uint32_t most_ms) noexcept nogil
# 0: refused. `seed` is of the counters, *asker for admission_wait.
cdef bint admission_take(Admission* a, int visitor, const uint8_t* ip16, uint64_t seed, uint64_t now_ns, int* asker) noexcept nogil
cdef Wait admission_wait(Admission* a, int visitor, int asker, uint64_t now_ns) noexcept nogil  # for one that was refused
