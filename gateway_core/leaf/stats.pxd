"""Every counter of a loop in one place. Written by the loop alone, read by anyone (monotonic, may lag a tick)."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from gateway_core.includes.cpu cimport qw_cycles, qw_log2

cdef enum:  # counters
    N_ACCEPTED
    N_ACCEPT_ERRORS
    N_ACCEPT_PAUSES
    N_REFUSED_FULL
    N_REFUSED_IP_CONNECTIONS
    N_REFUSED_IP_RATE
    N_REFUSED_NET64
    N_ADMITTED_NEW  # two pairs by Visitor
    N_ADMITTED_KNOWN
    N_DEFERRED_NEW
    N_DEFERRED_KNOWN
    N_HANDSHAKES
    N_HANDSHAKES_FAILED
    N_EPHEMERALS_MADE_HOT
    N_REJECT_VERSION
    N_REJECT_UNSUPPORTED
    N_REJECT_KEY
    N_REJECT_OVERLOADED
    N_REJECT_LITE
    N_REJECT_TICKET
    N_LOGINS
    N_REFUSED_LOGINS
    N_STALE_COMMANDS
    N_COMMANDS
    N_EVENTS
    N_EVENTS_OVER
    N_BYTES_IN
    N_RECORDS_IN
    N_FRAMES_IN
    N_BYTES_OUT
    N_RECORDS_OUT
    N_FRAMES_OUT
    N_FLUSHES
    N_PARTIAL_WRITES
    N_REKEYS_IN
    N_REKEYS_OUT
    N_PINGS
    N_PUBLISHES
    N_PUBLISHES_UNHEARD
    N_SWEEPS
    N_SWEPT
    N_RELAYED
    N_RELAY_DROPPED
    N_COMPRESSED
    N_DROP_NORMAL  # by kind of event, as are the next two threes: normal, high, notice
    N_DROP_HIGH
    N_DROP_NOTICE
    N_DROP_BUDGET_NORMAL
    N_DROP_BUDGET_HIGH
    N_DROP_BUDGET_NOTICE
    N_DROP_PENDING_NORMAL
    N_DROP_PENDING_HIGH
    N_DROP_PENDING_NOTICE
    N_DROP_AT_CLOSE
    N_STALLS
    N_SOFT_LIMIT
    N_SLOW_CONSUMER
    N_RATE_LIMITED
    N_READ_PAUSES
    N_READS_EASED
    N_GOAWAYS
    N_TICKETS
    N_TICKET_LOGINS
    N_HANDED_OVER
    N_PARKED
    N_PARKED_OVER  # ended for those that came later
    N_RESUMED
    N_RESUMED_EARLY  # answered before the client's first record
    N_RESUMED_LATE  # not fresh, or perhaps a repetition
    N_RESUME_EPOCH  # by reason of RESUME_FAIL
    N_RESUME_OVERFLOW
    N_RESUME_EXPIRED
    N_RESUME_REVOKED
    N_RESUME_ELSEWHERE
    N_REPLAYS
    N_UNACKED_DROPPED
    N_REPORTS
    N_REPORTS_REFUSED
    N_TICKS
    L_CONNECTIONS  # L_*: live objects, back at 0 when everything is closed
    L_PREAUTH
    L_SESSIONS
    L_TOPICS
    L_MEMBERSHIPS
    L_IN_BUFFERS
    L_IN_BYTES
    L_WS_STATES
    L_OUT_QUEUES
    L_QUEUED_BYTES
    L_TAILS
    L_BATCHES
    L_TOLD
    L_PARKED
    L_UNACKED
    COUNTERS

cdef enum:  # R_*: why a connection ended
    R_PEER_CLOSED
    R_PEER_RESET
    R_PEER_CLOSE_FRAME
    R_AUTH_TIMEOUT
    R_IDLE
    R_FIRST_BYTES
    R_PROXY_REFUSED
    R_PROXY_MALFORMED
    R_PROXY_MISSING
    R_UPGRADE_MALFORMED
    R_UPGRADE_REFUSED
    R_WS_MALFORMED
    R_WS_TEXT
    R_WS_CLOSED
    R_PREAMBLE
    R_REJECTED
    R_HANDSHAKE_LENGTH
    R_HANDSHAKE_FAILED
    R_RECORD_LENGTH
    R_PREAUTH_TOO_BIG
    R_AEAD
    R_FRAME
    R_FRAME_TOO_BIG
    R_EMPTY_RECORD
    R_FRAME_TYPE
    R_FRAME_BODY
    R_BEFORE_AUTH
    R_AUTH_BODY
    R_ACK
    R_COMPRESSED
    R_REKEY_PLACE
    R_REKEY_LATE
    R_RATE
    R_SLOW_CONSUMER
    R_COMMAND
    R_KICKED
    R_STOPPED
    R_CLOSE_STALLED
    R_NONCES
    R_MEMORY
    R_MAX_AGE
    R_MADE_ROOM
    R_SENT_AWAY
    R_REPLACED
    R_PARK_OVER
    R_PARK_ROOM
    R_TAKEN
    R_RESUME_LOST
    REASONS

cdef enum:  # stages
    S_MAILBOX
    S_POLL
    S_ACCEPT
    S_READ
    S_HANDSHAKE
    S_OPEN
    S_DISPATCH  # parse and act on frames
    S_GATHER
    S_SEAL
    S_WRITE
    S_SCAN
    S_SWEEP  # of sweeps what is not gather, seal or write
    STAGES

cdef enum:
    CODES = 32  # slots of Stats.codes; the last one counts the codes that have none
    K_CELLS = 8  # frames of a flush by powers of two, the last one without a bound
    TURN_CELLS = 66  # lengths of turns
    TURN_SHIFT = 16  # turns below 2^16 ns are one cell, then come four for each doubling up to 2^32

cdef struct Stats:
    uint64_t count[COUNTERS]
    uint64_t reasons[REASONS]
    uint64_t codes[CODES]
    uint64_t stage_cycles[STAGES]
    uint64_t stage_count[STAGES]
    uint64_t k_hist[K_CELLS]
    uint64_t turns[TURN_CELLS]
    uint64_t turns_sum_ns
    uint64_t max_turn_ns  # since the start

cdef struct StageTimes:  # told so far: the rate of the cycle counter gets more exact with time, a counter must not fall
    uint64_t cycles[STAGES]
    double ns[STAGES]

cdef void count_code(Stats* s, int code) noexcept nogil  # one session ended with it
cdef dict stats_dict(Stats** loops, int n)  # the sums over all of them
cdef dict stages_dict(Stats** loops, int n, double cycles_per_ns, StageTimes* told)


cdef inline void stat_add(Stats* s, int which, int64_t v) noexcept nogil:
    s.count[which] += <uint64_t>v


# Ends a stage that began at `start`; returns the cycle count now, so that stages chain with one reading each.
cdef inline uint64_t stage_end(Stats* s, int stage, uint64_t start, uint64_t n) noexcept nogil:
    cdef uint64_t now = qw_cycles()
    s.stage_cycles[stage] += now - start
    s.stage_count[stage] += n
    return now


# One flush wrote so many frames.
cdef inline void flush_add(Stats* s, uint32_t frames) noexcept nogil:
    cdef int k = 0
    s.count[N_FLUSHES] += 1
    s.count[N_FRAMES_OUT] += frames
    while frames > 1 and k < K_CELLS - 1:
        frames >>= 1
        k += 1
    s.k_hist[k] += 1


# One turn of the loop took so long. Cells hold lengths up to a quarter more than the least of them.
cdef inline void turn_add(Stats* s, uint64_t ns) noexcept nogil:
    cdef int k = qw_log2(ns), cell = 0
    if k >= TURN_SHIFT:
        cell = min(1 + 4 * (k - TURN_SHIFT) + <int>((ns >> (k - 2)) & 3), TURN_CELLS - 1)
    s.turns[cell] += 1
    s.turns_sum_ns += ns
    if ns > s.max_turn_ns:
        s.max_turn_ns = ns
