"""Blocks of what there are very many of, and of many sizes: side by side in pages of one thread, without a header.

    up to BLOCK_MOST bytes   rounded up to 8; freed ones wait in a list for each size, fresh ones are cut from a chunk
    above                    malloc

Who frees says how large it was. Pages stay: as with the slots of connections, it is as much as the most at a time took.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef enum:
    BLOCK_STEP = 8
    BLOCK_MOST = 512
    BLOCK_SIZES = BLOCK_MOST // BLOCK_STEP + 1

cdef struct Blocks:
    void* freed[BLOCK_SIZES]  # first of each size; the next one stands in its first 8 bytes
    uint8_t* fresh  # the rest of the latest chunk
    size_t left
    void* chunk  # the latest; the one before stands in its first 8 bytes

cdef void* block_new(Blocks* blocks, size_t n) noexcept nogil  # n > 0; NULL: no memory
cdef void block_free(Blocks* blocks, void* p, size_t n) noexcept nogil
# NULL: no memory, and p is as it was.
cdef void* block_resize(Blocks* blocks, void* p, size_t had, size_t n) noexcept nogil
cdef void blocks_free(Blocks* blocks) noexcept nogil  # all of them, but for those above BLOCK_MOST
