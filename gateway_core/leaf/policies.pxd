"""Heartbeat policies: what is told to whom, and how those fare who were told the same.


    Session.policy -> row     what Python made of the client's REPORT: a policy, and a canary with its share
    row, device    -> entry   one revision: its POLICY and PONG frames; a device is always in the same arm of a row
    Session.told   -> entry   what the client heard last; counts belong to it

Both tables have a fixed place: Python reads the counts while the loop writes them. Python fills them, and uses an
entry or a row again only when nobody has it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway_core.leaf.shared_buf cimport SharedBuf

cdef enum:
    POLICY_ENTRIES = 255
    POLICY_ROWS = 4096
    NOT_TOLD = 255
    WHOLE_SHARE = 10000  # of a canary

cdef enum:  # counts of an entry
    P_SESSIONS  # now
    P_TOLD  # sessions, since it began
    P_PINGS
    P_SILENT  # closed here, for nothing was read
    P_RESET
    P_VANISHED  # the stream ended without a CLOSE
    P_RTT_US  # sum over P_RTT_COUNT readings, of rows with a canary alone
    P_RTT_COUNT
    P_BYTES  # of both directions, while any row has a canary
    P_PARKED  # of the sessions, now: without a connection
    POLICY_COUNTS

cdef struct PolicyEntry:
    uint32_t rev
    uint32_t ping_interval_s
    SharedBuf* pong
    SharedBuf* frame  # NULL: nothing is told
    uint64_t count[POLICY_COUNTS]

cdef struct PolicyRow:
    uint64_t seed  # of the hash of the device id that finds its arm
    uint16_t main  # entries
    uint16_t canary
    uint16_t share  # of WHOLE_SHARE that are canaries
    uint32_t sessions  # now

cdef struct Policies:
    PolicyEntry* entries
    PolicyRow* rows
    uint32_t canaries  # rows with a share

cdef int policies_init(Policies* p) noexcept nogil  # 0, or -1 without memory
cdef void policies_free(Policies* p) noexcept nogil
# Takes over the reference, which may be NULL.
cdef void entry_set(Policies* p, uint32_t at, uint32_t rev, uint32_t ping_interval_s, SharedBuf* frame) noexcept nogil
cdef void rows_set(Policies* p, uint32_t first, uint32_t n, const PolicyRow* rows) noexcept nogil
cdef uint32_t told_interval(Policies* p, uint8_t told) noexcept nogil  # of who was told this, or nothing
cdef uint32_t default_interval(Policies* p) noexcept nogil  # of row 0: of those who reported nothing

# A session, by its row, what it was told, and its device: begins with row 0, ends, loses its connection (P_SILENT, ...).
cdef void policies_enter(Policies* p, uint16_t* row, uint8_t* told, const char* device, size_t n) noexcept nogil
cdef void policies_leave(Policies* p, uint16_t row, uint8_t told) noexcept nogil
cdef void policies_parked(Policies* p, uint8_t told, int one) noexcept nogil  # 1, or -1: no more
cdef void policies_died(Policies* p, uint8_t told, int count) noexcept nogil
cdef uint32_t policies_entry(Policies* p, uint16_t row, const char* device, size_t n) noexcept nogil  # that it should go by
cdef void policies_told(Policies* p, uint8_t* told, uint32_t entry) noexcept nogil


cdef inline void policies_bytes(Policies* p, uint8_t told, size_t n) noexcept nogil:
    """Of a live connection. The caller has seen that `p.canaries` is not 0: else nobody compares."""
    if told != NOT_TOLD:
        p.entries[told].count[P_BYTES] += n
