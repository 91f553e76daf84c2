"""Names and sums of the counters. The order of the names is the order of the enums in stats.pxd."""

from libc.stdint cimport uint64_t

from cmodules cimport layout

from frame.constants import CloseCode

LAYOUT = layout()

COUNTER_NAMES = (
    "accepted accept_errors accept_pauses refused_full refused_ip_connections refused_ip_rate refused_net64"
    " admitted_new admitted_known deferred_new deferred_known"
    " handshakes handshakes_failed ephemerals_made_hot reject_version reject_unsupported reject_key"
    " reject_overloaded reject_lite reject_ticket logins refused_logins stale_commands commands events events_over bytes_in records_in"
    " frames_in bytes_out records_out frames_out flushes partial_writes rekeys_in rekeys_out pings publishes"
    " publishes_unheard sweeps swept relayed relay_dropped compressed dropped_normal dropped_high dropped_notice"
    " dropped_budget_normal dropped_budget_high dropped_budget_notice"
    " dropped_pending_normal dropped_pending_high dropped_pending_notice dropped_at_close"
    " stalls soft_limit slow_consumer rate_limited read_pauses reads_eased goaways tickets ticket_logins handed_over"
    " parked parked_over resumed resumed_early resumed_late resume_epoch resume_overflow resume_expired resume_revoked"
    " resume_elsewhere replays unacked_dropped reports reports_refused ticks"
).split()
LIVE_NAMES = (
    "connections preauth sessions topics memberships in_buffers in_bytes ws_states out_queues queued_bytes tails"
    " batches told parked unacked"
).split()
REASON_NAMES = (
    "peer_closed peer_reset peer_close_frame auth_timeout idle first_bytes proxy_refused proxy_malformed"
    " proxy_missing upgrade_malformed upgrade_refused ws_malformed ws_text ws_closed preamble rejected handshake_length"
    " handshake_failed record_length preauth_too_big aead frame frame_too_big empty_record frame_type frame_body"
    " before_auth auth_body ack compressed rekey_place rekey_late rate slow_consumer command kicked stopped close_stalled nonces memory max_age"
    " made_room sent_away replaced park_over park_room taken resume_lost"
).split()
STAGE_NAMES = "mailbox poll accept read handshake open dispatch gather seal write scan sweep".split()
# Slot of Stats.codes -> close code, 0: the peer vanished without one.
CLOSE_CODES = (0, *map(int, CloseCode))
# What every turn of a cell of Stats.turns is shorter than, in ns; the last cell has no bound.
TURN_BOUNDS = (1 << TURN_SHIFT, *((5 + i % 4) << (TURN_SHIFT - 2 + i // 4) for i in range(TURN_CELLS - 2)))
K_BOUNDS = ("1", "2-3", "4-7", "8-15", "16-31", "32-63", "64-127", "128+")

assert len(COUNTER_NAMES) + len(LIVE_NAMES) == COUNTERS
assert len(REASON_NAMES) == REASONS
assert len(STAGE_NAMES) == STAGES
assert len(K_BOUNDS) == K_CELLS
assert len(CLOSE_CODES) < CODES

cdef int codes[CODES]
cdef int n_codes = len(CLOSE_CODES)
for _i, _code in enumerate(CLOSE_CODES):
    codes[_i] = _code


cdef void count_code(Stats* s, int code) noexcept nogil:
    cdef int i
    for i in range(n_codes):
        if codes[i] == code:
            s.codes[i] += 1
            return
    s.codes[CODES - 1] += 1


cdef dict stats_dict(Stats** loops, int n):
    cdef int i, j
    cdef dict out = {}, live = {}, reasons = {}, closes = {}
    cdef uint64_t total
    for j in range(len(COUNTER_NAMES)):
        total = 0
        for i in range(n):
            total += loops[i].count[j]
        out[COUNTER_NAMES[j]] = total
    for j in range(len(LIVE_NAMES)):
        total = 0
        for i in range(n):
            total += loops[i].count[L_CONNECTIONS + j]
        live[LIVE_NAMES[j]] = total
    for j in range(len(REASON_NAMES)):
        total = 0
        for i in range(n):
            total += loops[i].reasons[j]
        if total:
            reasons[REASON_NAMES[j]] = total
    for j in range(CODES):
        total = 0
        for i in range(n):
            total += loops[i].codes[j]
        if total:
            closes[CLOSE_CODES[j] if j < n_codes else "other"] = total
    k_hist = {}
    for j in range(K_CELLS):
        total = 0
        for i in range(n):
            total += loops[i].k_hist[j]
        k_hist[K_BOUNDS[j]] = total
    out["live"] = live
    out["closed_by_reason"] = reasons
    out["closes"] = closes
    out["k_histogram"] = k_hist
    turns = {}
    for j in range(TURN_CELLS):
        total = 0
        for i in range(n):
            total += loops[i].turns[j]
        turns[TURN_BOUNDS[j] if j < TURN_CELLS - 1 else "over"] = total
    out["turns"] = turns
    out["turns_sum_ms"] = sum([loops[i].turns_sum_ns / 1e6 for i in range(n)])
    out["max_turn_ms"] = max([loops[i].max_turn_ns / 1e6 for i in range(n)], default=0.0)
    out["loops"] = n
    out["per_loop_live"] = [loops[i].count[L_SESSIONS] for i in range(n)]
    return out


cdef dict stages_dict(Stats** loops, int n, double cycles_per_ns, StageTimes* told):
    cdef int i, j
    cdef uint64_t cycles, count
    out = {}
    for j in range(STAGES):
        cycles = 0
        count = 0
        for i in range(n):
            cycles += loops[i].stage_cycles[j]
            count += loops[i].stage_count[j]
        told.ns[j] += <double>(cycles - told.cycles[j]) / cycles_per_ns
        told.cycles[j] = cycles
        out[STAGE_NAMES[j]] = {"ns": int(told.ns[j]), "count": count}
    return out
