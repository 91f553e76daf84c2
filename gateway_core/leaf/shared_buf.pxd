"""Immutable plaintext frames shared by every queue that waits to send them. Counted across threads."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from crypto.zstd cimport Dictionary
from gateway_core.includes.atomics cimport qw_add32, qw_sub32

cdef enum:  # class of a message
    MUST = 0  # MSG, answers: never dropped, hard limit closes
    HIGH = 1
    NORMAL = 2
    DECISION = 3  # of those who manage a topic
    NOTICE = 4  # of what its members do: gives way first
    ERASING = 5  # as a publication is told; in the buffer it is `erases`

cdef enum:
    PACKED_HEADER_BYTES = 32  # what frame_pack needs besides the size of the body

cdef struct SharedBuf:  # the frames follow the struct, then the topic's name
    SharedBuf* twin  # the compressed form; itself when that does not pay; NULL before it was tried
    SharedBuf* dictionary_twin  # the same by a dictionary, whose id is in the twin's hash
    uint64_t exclude  # conn id that must not get it, 0 = none
    uint64_t hash  # of the topic's name
    uint32_t refs
    uint32_t lost  # 1: some loop has dropped it for its members, and has counted that
    uint32_t size  # bytes of frames
    uint16_t frames
    uint16_t msgs  # MSG frames among them
    uint16_t body_at  # where the body begins, one frame only
    uint8_t cls
    uint8_t name_len
    uint8_t erases  # what was said before it, in the conversation of a MSG, is not sent again

# All constructors return one reference, or NULL without memory.
# One frame. Body in up to two parts; the topic name may be empty.
cdef SharedBuf* buf_frame(int type, const uint8_t* head, size_t head_len, const uint8_t* body, size_t body_len,
                          const char* name, size_t name_len) noexcept nogil
# Room for `size` bytes of frames the caller fills.
cdef SharedBuf* buf_raw(size_t size) noexcept nogil
# The form for members that take compressed bodies: a counted twin made at first use (any thread), or b itself.
# No reference is added.
cdef SharedBuf* buf_packed(SharedBuf* b, void* compressor) noexcept nogil
# The form for members that hold the dictionary, which may be NULL: buf_packed then, and where it does not pay.
cdef SharedBuf* buf_packed_by(SharedBuf* b, void* compressor, const Dictionary* d) noexcept nogil
# A compressed frame of this body at `out` (room for n + PACKED_HEADER_BYTES) when it is worth it and within the ratio that
# receivers accept: its size; else 0.
cdef size_t frame_pack(uint8_t* out, int type, const uint8_t* body, size_t n, void* compressor, const Dictionary* d) noexcept nogil
cdef void buf_free(SharedBuf* b) noexcept nogil
cdef int64_t buf_live() noexcept nogil  # buffers alive in the process


cdef inline SharedBuf* buf_ref(SharedBuf* b) noexcept nogil:
    qw_add32(&b.refs, 1)
    return b


cdef inline void buf_unref(SharedBuf* b) noexcept nogil:
    if b != NULL and qw_sub32(&b.refs, 1) == 0:
        buf_free(b)


cdef inline uint8_t* buf_data(SharedBuf* b) noexcept nogil:
    return <uint8_t*>b + sizeof(SharedBuf)


cdef inline char* buf_name(SharedBuf* b) noexcept nogil:
    return <char*>b + sizeof(SharedBuf) + b.size


cdef inline int event_kind(int cls) noexcept nogil:
    """What a dropped event counts as, after a counter of normal ones: 0 normal, 1 high, 2 notice."""
    return 1 if cls == HIGH else 0 if cls == NORMAL else 2
