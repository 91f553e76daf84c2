"""The dictionaries that bodies are compressed by: one for what is sent, the last few for what is read.

Each loop digests its own, so that nothing is counted between threads; a dictionary's frame is shared.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t

from crypto.zstd cimport Dictionary
from gateway_core.leaf.shared_buf cimport SharedBuf

cdef enum:
    DICTIONARIES = 8  # kept to be read: connections know the one of when they began

cdef struct Dictionaries:
    Dictionary at[DICTIONARIES]  # newest last
    SharedBuf* frame[DICTIONARIES]  # DICTIONARY, for clients that ask for it
    uint32_t n
    bint sending  # by the newest

# Takes the reference to a frame whose last n bytes are the dictionary; what is sent is compressed by it from now on.
# NULL: by none. 0, or -1 without memory: then by none.
cdef int dictionaries_set(Dictionaries* d, SharedBuf* frame, size_t n, int level) noexcept nogil
cdef const Dictionary* dictionary_find(const Dictionaries* d, uint32_t id) noexcept nogil  # or NULL
cdef SharedBuf* dictionary_frame(const Dictionaries* d, uint32_t id) noexcept nogil  # or NULL
cdef void dictionaries_free(Dictionaries* d) noexcept nogil


cdef inline const Dictionary* dictionary_sending(const Dictionaries* d) noexcept nogil:  # or NULL
    return &d.at[d.n - 1] if d.sending else NULL
