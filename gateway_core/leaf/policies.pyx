from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free

from cmodules cimport layout
from frame.constants cimport FRAME_PONG
from frame.varint cimport UV_MAX, uv_put
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.leaf.shared_buf cimport buf_frame, buf_unref

LAYOUT = layout()


cdef int policies_init(Policies* p) noexcept nogil:
    p.entries = <PolicyEntry*>calloc(POLICY_ENTRIES, sizeof(PolicyEntry))
    p.rows = <PolicyRow*>calloc(POLICY_ROWS, sizeof(PolicyRow))
    p.canaries = 0
    return 0 if p.entries != NULL and p.rows != NULL else -1


cdef void policies_free(Policies* p) noexcept nogil:
    cdef uint32_t i
    if p.entries != NULL:
        for i in range(POLICY_ENTRIES):
            buf_unref(p.entries[i].pong)
            buf_unref(p.entries[i].frame)
    free(p.entries)
    free(p.rows)
    p.entries = NULL
    p.rows = NULL


cdef void entry_set(Policies* p, uint32_t at, uint32_t rev, uint32_t ping_interval_s, SharedBuf* frame) noexcept nogil:
    cdef PolicyEntry* e = &p.entries[at]
    cdef uint8_t text[UV_MAX]
    cdef SharedBuf* pong = buf_frame(FRAME_PONG, NULL, 0, text, <size_t>uv_put(text, rev), NULL, 0)
    cdef uint32_t i
    if e.rev != rev:
        for i in range(P_SESSIONS + 1, P_PARKED):
            e.count[i] = 0
    e.rev = rev
    e.ping_interval_s = ping_interval_s
    if pong != NULL:
        buf_unref(e.pong)
        e.pong = pong
    buf_unref(e.frame)
    e.frame = frame


cdef void rows_set(Policies* p, uint32_t first, uint32_t n, const PolicyRow* rows) noexcept nogil:
    cdef uint32_t i, sessions
    for i in range(n):
        sessions = p.rows[first + i].sessions
        p.canaries -= p.rows[first + i].share != 0
        p.canaries += rows[i].share != 0
        p.rows[first + i] = rows[i]
        p.rows[first + i].sessions = sessions


cdef uint32_t default_interval(Policies* p) noexcept nogil:
    return p.entries[p.rows[0].main].ping_interval_s


cdef uint32_t told_interval(Policies* p, uint8_t told) noexcept nogil:
    return p.entries[told].ping_interval_s if told != NOT_TOLD else default_interval(p)


cdef uint32_t policies_entry(Policies* p, uint16_t row, const char* device, size_t n) noexcept nogil:
    cdef PolicyRow* r = &p.rows[row]
    if r.share and qw_hash(device, n, r.seed) % WHOLE_SHARE < r.share:
        return r.canary
    return r.main


cdef void policies_told(Policies* p, uint8_t* told, uint32_t entry) noexcept nogil:
    if told[0] != NOT_TOLD:
        p.entries[told[0]].count[P_SESSIONS] -= 1
    told[0] = <uint8_t>entry
    p.entries[entry].count[P_SESSIONS] += 1
    p.entries[entry].count[P_TOLD] += 1


cdef void policies_enter(Policies* p, uint16_t* row, uint8_t* told, const char* device, size_t n) noexcept nogil:
    cdef uint32_t entry = policies_entry(p, 0, device, n)
    row[0] = 0
    told[0] = NOT_TOLD
    p.rows[0].sessions += 1
    if p.entries[entry].frame == NULL:
        policies_told(p, told, entry)


cdef void policies_leave(Policies* p, uint16_t row, uint8_t told) noexcept nogil:
    p.rows[row].sessions -= 1
    if told != NOT_TOLD:
        p.entries[told].count[P_SESSIONS] -= 1


cdef void policies_parked(Policies* p, uint8_t told, int one) noexcept nogil:
    if told != NOT_TOLD:
        p.entries[told].count[P_PARKED] += <uint64_t>one


cdef void policies_died(Policies* p, uint8_t told, int count) noexcept nogil:
    if told != NOT_TOLD:
        p.entries[told].count[count] += 1
