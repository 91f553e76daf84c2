"""Counting without guessing.

Per (client, publisher) the generator keeps one number, the sequence it expects next. A jump ahead puts every
sequence that was passed over into one set; a later arrival found in that set is a reordered message, one that is
not found is a duplicate. What is still in the set at the end is lost, and so is what a publisher sent after the
last sequence seen; the fleet adds both as `sent x members - distinct`. The set is bounded: what does not fit is
counted in `untracked` and its late arrival would be called a duplicate.
"""

from libc.stdlib cimport calloc
from libc.string cimport memcmp, memcpy, memset

from benchmarks.loadgen.histogram cimport hist_add_many, hist_add_ns
from benchmarks.loadgen.stamp cimport Stamp, stamp_get
from benchmarks.loadgen.types cimport (
    MEMO_BIN_BITS, MEMO_BINS, MEMO_BYTES, MEMO_COUNT, MEMO_RUNS, MEMO_STAMPS, MODE_PAIR,
)
from cmodules cimport layout

LAYOUT = layout()

cdef enum:
    RANGED = 8              # messages of a note from which it is counted by ranges


cdef int open_missing(Missing* m, uint64_t capacity) except -1:
    """capacity: a power of two."""
    m.keys = <uint64_t*>calloc(capacity, sizeof(uint64_t))
    if m.keys == NULL:
        raise MemoryError
    m.mask = capacity - 1
    m.used = 0
    return 0


cdef inline uint64_t key_of(uint32_t cell, uint32_t sequence) noexcept nogil:
    return ((<uint64_t>cell << 32) | sequence) + 2


cdef inline uint64_t place_of(Missing* m, uint64_t key) noexcept nogil:
    cdef uint64_t h = key * <uint64_t>0x9E3779B97F4A7C15
    return (h ^ (h >> 29)) & m.mask


cdef int missing_put(Missing* m, uint64_t key) noexcept nogil:
    cdef uint64_t i
    if m.used * 2 > m.mask:
        return 0
    i = place_of(m, key)
    while m.keys[i] > 1:
        i = (i + 1) & m.mask
    m.used += m.keys[i] == 0
    m.keys[i] = key
    return 1


cdef int missing_take(Missing* m, uint64_t key) noexcept nogil:
    cdef uint64_t i = place_of(m, key)
    while m.keys[i] != 0:
        if m.keys[i] == key:
            m.keys[i] = 1
            return 1
        i = (i + 1) & m.mask
    return 0


cdef void out_of_order(Swarm* s, uint32_t cell, uint32_t expected, uint32_t sequence) noexcept nogil:
    cdef uint32_t q
    if sequence > expected:
        s.n.lost_so_far += sequence - expected
        for q in range(expected, sequence):
            if not missing_put(&s.missing, key_of(cell, q)):
                s.n.untracked += sequence - q
                break
        s.next_sequence[cell] = sequence + 1
        s.n.tracked += 1
    elif missing_take(&s.missing, key_of(cell, sequence)):
        s.n.reordered += 1
        s.n.lost_so_far -= 1
        s.n.tracked += 1
    else:
        s.n.duplicated += 1


cdef inline void judge(Swarm* s, uint32_t id, const Stamp* stamp) noexcept nogil:
    cdef uint32_t slot = stamp.publisher
    cdef uint32_t cell
    if s.mode == MODE_PAIR:
        slot = 0 if stamp.publisher == ((s.first + id) >> 1) else s.slots
    if slot >= s.slots:
        s.n.foreign += 1
        return
    cell = id * s.slots + slot
    if s.next_sequence[cell] == stamp.sequence:
        s.next_sequence[cell] = stamp.sequence + 1
        s.n.tracked += 1
    else:
        out_of_order(s, cell, s.next_sequence[cell], stamp.sequence)
    if stamp.due_ns - s.window_from < s.window_to - s.window_from:
        hist_add_ns(&s.delivery, s.now, stamp.due_ns)


cdef int deliver(Swarm* s, uint32_t id, const uint8_t* text, size_t size, Memo* memo) noexcept nogil:
    cdef Stamp stamp
    if not stamp_get(text, size, &stamp):
        return 0
    s.n.arrived += 1
    if size != s.text_size:
        s.n.foreign += 1
        if memo != NULL:
            memo.stamps = MEMO_STAMPS           # unfit: the note would not say this again
    if id < s.tracked:
        s.n.in_window += s.window_open
        judge(s, id, &stamp)
    if memo != NULL and memo.stamps < MEMO_STAMPS:
        memo.stamp[memo.stamps] = stamp
    if memo != NULL:
        memo.stamps += 1
    return 1


cdef void settle(Swarm* s, Memo* memo) noexcept nogil:
    """Every message of the note, once for each client that read it; later by up to the width of a bin."""
    cdef uint32_t i, k
    cdef uint64_t now, due
    for i in range(memo.last_bin):
        if memo.readers[i] == 0:
            continue
        now = memo.since + (<uint64_t>(i + 1) << MEMO_BIN_BITS)
        for k in range(memo.stamps):
            due = memo.stamp[k].due_ns
            if due - s.window_from < s.window_to - s.window_from:
                hist_add_many(&s.delivery, (now - due) // 1000 if now > due else 0, memo.readers[i])
    memset(memo.readers, 0, memo.last_bin * sizeof(uint32_t))
    memo.last_bin = 0


cdef void settle_notes(Swarm* s) noexcept nogil:
    cdef uint32_t i
    for i in range(MEMO_COUNT):
        settle(s, &s.memos[i])


cdef void find_runs(Swarm* s, Memo* memo) noexcept nogil:
    """What each publisher said in this note, if that has no holes and everybody hears the same."""
    cdef uint32_t i, k
    cdef Stamp* stamp
    memo.runs = 0
    if s.mode == MODE_PAIR or memo.stamps < RANGED:
        return
    for k in range(memo.stamps):
        stamp = &memo.stamp[k]
        for i in range(memo.runs):
            if memo.run[i].publisher == stamp.publisher:
                break
        else:
            i = memo.runs
            if i == MEMO_RUNS or stamp.publisher >= s.slots:
                memo.runs = 0
                return
            memo.run[i].publisher = stamp.publisher
            memo.run[i].first = stamp.sequence
            memo.run[i].count = 0
            memo.runs += 1
        if memo.run[i].first + memo.run[i].count != stamp.sequence:
            memo.runs = 0
            return
        memo.run[i].count += 1


cdef bint judge_ranges(Swarm* s, uint32_t id, Memo* memo) noexcept nogil:
    """0 when this client did not expect just that: it is judged message by message then."""
    cdef uint32_t i
    cdef uint64_t bin
    cdef uint32_t* expected = s.next_sequence + <size_t>id * s.slots
    for i in range(memo.runs):
        if expected[memo.run[i].publisher] != memo.run[i].first:
            return False
    for i in range(memo.runs):
        expected[memo.run[i].publisher] += memo.run[i].count
    s.n.tracked += memo.stamps
    bin = (s.now - memo.since) >> MEMO_BIN_BITS
    if bin >= MEMO_BINS:
        settle(s, memo)
        memo.since = s.now
        bin = 0
    memo.readers[bin] += 1
    if bin >= memo.last_bin:
        memo.last_bin = <uint32_t>bin + 1
    return True


cdef inline Memo* find(Swarm* s, const uint8_t* p, size_t n) noexcept nogil:
    cdef uint32_t i
    cdef Memo* memo
    for i in range(MEMO_COUNT):
        memo = &s.memos[i]
        if memo.length != 0 and memo.length <= n and memcmp(memo.bytes, p, memo.length) == 0:
            return memo
    return NULL


cdef size_t recall(Swarm* s, uint32_t id, const uint8_t* p, size_t n, uint32_t* counted) noexcept nogil:
    cdef size_t at = 0
    cdef uint32_t k
    cdef Memo* memo = find(s, p, n)
    while memo != NULL:
        s.n.memo_hits += 1
        s.n.arrived += memo.stamps
        if counted != NULL:
            counted[0] += memo.counted
        if id < s.tracked:
            if s.window_open:
                s.n.in_window += memo.stamps
            if memo.runs == 0 or not judge_ranges(s, id, memo):
                for k in range(memo.stamps):
                    judge(s, id, &memo.stamp[k])
        at += memo.length
        memo = find(s, p + at, n - at) if at < n else NULL
    return at


cdef Memo* note_begin(Swarm* s, size_t n) noexcept nogil:
    cdef Memo* memo
    if n > MEMO_BYTES or n < 32:
        return NULL
    s.memo_turn = (s.memo_turn + 1) % MEMO_COUNT
    memo = &s.memos[s.memo_turn]
    settle(s, memo)
    memo.length = 0
    memo.stamps = 0
    memo.counted = 0
    return memo


cdef void note_end(Swarm* s, Memo* memo, const uint8_t* p, size_t n) noexcept nogil:
    """Keep the note if the chunk held at least one delivery and nothing was left out."""
    if memo == NULL or memo.stamps == 0 or memo.stamps > MEMO_STAMPS:
        return
    memcpy(memo.bytes, p, n)
    memo.length = n
    memo.since = s.now
    find_runs(s, memo)


cdef void count_record(Swarm* s, uint32_t id, uint64_t arrived_before) noexcept nogil:
    if s.n.arrived != arrived_before:
        s.n.records += 1
        s.n.window_records += 1 if s.window_open and id < s.tracked else 0
