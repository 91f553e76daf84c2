from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from libc.string cimport memmove

from cmodules cimport layout
from crypto.zstd cimport Dictionary, dictionary_free, dictionary_new
from gateway_core.leaf.shared_buf cimport SharedBuf, buf_data, buf_unref

LAYOUT = layout()


cdef void _drop(Dictionaries* d, uint32_t i) noexcept nogil:
    dictionary_free(&d.at[i])
    buf_unref(d.frame[i])
    d.n -= 1
    memmove(&d.at[i], &d.at[i + 1], (d.n - i) * sizeof(Dictionary))
    memmove(&d.frame[i], &d.frame[i + 1], (d.n - i) * sizeof(SharedBuf*))


cdef int dictionaries_set(Dictionaries* d, SharedBuf* frame, size_t n, int level) noexcept nogil:
    cdef Dictionary made
    cdef uint32_t i
    d.sending = False
    if frame == NULL:
        return 0
    made = dictionary_new(buf_data(frame) + frame.size - n, n, level)
    if made.id == 0:
        buf_unref(frame)
        return -1
    for i in range(d.n):
        if d.at[i].id == made.id:
            _drop(d, i)
            break
    if d.n == DICTIONARIES:
        _drop(d, 0)
    d.at[d.n] = made
    d.frame[d.n] = frame
    d.n += 1
    d.sending = True
    return 0


cdef const Dictionary* dictionary_find(const Dictionaries* d, uint32_t id) noexcept nogil:
    cdef uint32_t i
    for i in range(d.n):
        if d.at[i].id == id:
            return &d.at[i]
    return NULL


cdef SharedBuf* dictionary_frame(const Dictionaries* d, uint32_t id) noexcept nogil:
    cdef uint32_t i
    for i in range(d.n):
        if d.at[i].id == id:
            return <SharedBuf*>d.frame[i]
    return NULL


cdef void dictionaries_free(Dictionaries* d) noexcept nogil:
    while d.n:
        _drop(d, d.n - 1)
