"""Topic -> gateways in 16 bytes and a little: an open-addressed table of keyed hashes in many small segments.

    segments[top 12 bits of the hash] -> cells, linear probing from (low 32 bits * capacity) >> 32

    Cell   hash 64 | check 32 | ref 32          ref 0: free
    ref    one gateway:  its mark               others: LISTED | unit of a list in the heap
    mark   told 1 | generation 14 | gateway 16  told 0: expected here, its gateway has not said so yet

A segment grows by an eighth, alone: no pause is longer than the move of a few thousand cells, and no moment has two
tables. Marks of a gateway count while their generation is within [first, now] of that gateway, so a gateway dies, or
drops all it did not repeat, in O(1); `sweep` takes away what no longer counts, a segment at a time.

Topics are told apart by 96 bits of SipHash-2-4 under a key of this process. One gateway's topics are summed up, in
any order, by 64 bits of it under a key both ends know (`topic_digest`): equal sums and counts are equal sets.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    SEGMENT_BITS = 12
    SEGMENTS = 1 << SEGMENT_BITS
    LEAST_CELLS = 8
    CLASSES = 15  # of lists: 16 << class bytes, the last one has room for every gateway
    CHUNK_UNITS = 65536  # units of 16 bytes that the heap of lists takes from the system at once
    GENERATIONS = 1 << 14
    GATEWAYS = 1 << 16
    KEY = 16

cdef struct Cell:
    uint64_t hash
    uint32_t check
    uint32_t ref

cdef struct Segment:
    Cell* at
    uint32_t cap
    uint32_t used

cdef struct Gateway:
    bint live
    uint32_t first  # generations of marks that count, as they are counted on, without their end
    uint32_t now
    uint32_t oldest  # there may be marks of generations from here on
    uint32_t swept  # `first` when the sweep under way began
    uint64_t expected[2]  # marks that count: of earlier generations, of `now`
    uint64_t told[2]
    uint64_t digest[2]  # of those told
    uint8_t key[KEY]  # of the digests

cdef struct Lists:
    uint8_t** chunk
    uint32_t chunks
    uint32_t cap
    uint32_t fresh  # units of the last chunk that were never given out
    uint32_t free[CLASSES]  # first free unit + 1 of each class; its first four bytes name the next
    uint64_t bytes  # given out

cdef struct Table:
    Segment segment[SEGMENTS]
    Gateway* gateway[GATEWAYS]
    Lists lists
    uint8_t key[KEY]
    uint64_t mask  # of the hashes: all ones, but in tests that want collisions
    uint64_t cells
    uint64_t cell_bytes
    uint32_t cursor  # next segment of the sweep
    uint32_t left  # segments until its end; 0: nothing to sweep
    bint again  # something died behind the cursor

cdef Table* table_new(const uint8_t* key, uint64_t mask) noexcept nogil  # NULL without memory
cdef void table_free(Table* t) noexcept nogil
cdef Gateway* gateway_of(Table* t, uint32_t node) noexcept nogil  # made when it is new; NULL without memory
cdef void gateway_begin(Table* t, uint32_t node) noexcept nogil  # what is told from now on is of another generation
cdef void gateway_end(Table* t, uint32_t node) noexcept nogil  # what was told before that counts no more
cdef void gateway_dies(Table* t, uint32_t node) noexcept nogil
# told: by the gateway, or expected of it. 1: it is new, 0: known, -1: no memory.
cdef int topic_add(Table* t, uint32_t node, const char* name, size_t n, bint told) noexcept nogil
# 1: it was there. `only_expected`: what the gateway told stays.
cdef int topic_remove(Table* t, uint32_t node, const char* name, size_t n, bint only_expected) noexcept nogil
# Gateways of a topic that count, `room` at most; how many there are.
cdef uint32_t topic_gateways(Table* t, const char* name, size_t n, uint16_t* out, uint32_t room) noexcept nogil
cdef bint table_sweep(Table* t, uint32_t segments) noexcept nogil  # True: nothing is left to be swept
cdef uint64_t digest_of(const uint8_t* key, const char* name, size_t n) noexcept nogil
