from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from cmodules cimport layout
from crypto.zstd cimport Dictionary, zstd_compress, zstd_compress_with
from frame.constants cimport FLAG_COMPRESSED, FRAME_MSG, FRAME_TYPE_MASK, MAX_RATIO
from frame.frames cimport FRAME_HEADER_BYTES, frame_header_put
from frame.varint cimport UV_MAX, uv_put
from gateway_core.includes.atomics cimport qw_cas_ptr, qw_count64, qw_load_ptr

LAYOUT = layout()

cdef enum:
    PACK_MIN = 256  # bytes of body: below, a frame does not get smaller without a dictionary
    PACK_MIN_BY = 64  # ... with one
    PACK_GAIN = 8

cdef int64_t alive = 0


cdef int64_t buf_live() noexcept nogil:
    return qw_count64(&alive, 0)


cdef SharedBuf* _new(size_t size, size_t name_len) noexcept nogil:
    cdef SharedBuf* b = <SharedBuf*>malloc(sizeof(SharedBuf) + size + name_len)
    if b == NULL:
        return NULL
    memset(b, 0, sizeof(SharedBuf))
    b.refs = 1
    b.size = <unsigned int>size
    b.name_len = <uint8_t>name_len
    b.cls = MUST
    qw_count64(&alive, 1)
    return b


cdef SharedBuf* buf_raw(size_t size) noexcept nogil:
    return _new(size, 0)


cdef SharedBuf* buf_frame(int type, const uint8_t* head, size_t head_len, const uint8_t* body, size_t body_len,
                          const char* name, size_t name_len) noexcept nogil:
    cdef uint8_t header[FRAME_HEADER_BYTES]
    cdef size_t n = frame_header_put(header, type, 0, 0, head_len + body_len)
    cdef SharedBuf* b = _new(n + head_len + body_len, name_len)
    cdef uint8_t* p
    if b == NULL:
        return NULL
    p = buf_data(b)
    memcpy(p, header, n)
    if head_len:
        memcpy(p + n, head, head_len)
    if body_len:
        memcpy(p + n + head_len, body, body_len)
    if name_len:
        memcpy(p + b.size, name, name_len)
    b.body_at = <unsigned short>n
    b.frames = 1
    b.msgs = 1 if type == FRAME_MSG else 0
    return b


cdef size_t frame_pack(uint8_t* out, int type, const uint8_t* body, size_t n, void* compressor,
                       const Dictionary* d) noexcept nogil:
    cdef uint8_t head[FRAME_HEADER_BYTES + UV_MAX]
    cdef uint8_t size[UV_MAX]
    cdef size_t m = uv_put(size, n), h
    cdef ptrdiff_t packed
    cdef uint8_t* to = out + PACKED_HEADER_BYTES
    if n < <size_t>(PACK_MIN if d == NULL else PACK_MIN_BY) or n < m + PACK_GAIN:
        return 0
    if d == NULL:
        packed = zstd_compress(compressor, body, n, to, n)
    else:
        packed = zstd_compress_with(compressor, d, body, n, to, n)
    if packed <= 0 or m + <size_t>packed + PACK_GAIN > n or n > <size_t>MAX_RATIO * <size_t>packed:
        return 0
    h = frame_header_put(head, type, FLAG_COMPRESSED, 0, m + <size_t>packed)
    memcpy(head + h, size, m)
    h += m
    memcpy(out, head, h)
    memmove(out + h, to, <size_t>packed)
    return h + <size_t>packed


cdef SharedBuf* _pack(SharedBuf* b, void* compressor, const Dictionary* d) noexcept nogil:
    """A compressed frame when it is worth it, else NULL."""
    cdef size_t raw = b.size - b.body_at, n
    cdef SharedBuf* twin = NULL
    cdef uint8_t* scratch = <uint8_t*>malloc(raw + PACKED_HEADER_BYTES)
    if scratch == NULL:
        return NULL
    n = frame_pack(scratch, buf_data(b)[0] & FRAME_TYPE_MASK, buf_data(b) + b.body_at, raw, compressor, d)
    if n:
        twin = _new(n, 0)
    if twin != NULL:
        memcpy(buf_data(twin), scratch, n)
        twin.frames = 1
        twin.msgs = b.msgs
        twin.cls = b.cls
        twin.exclude = b.exclude
        twin.twin = twin
        twin.dictionary_twin = twin
        twin.hash = d.id if d != NULL else 0
    free(scratch)
    return twin


cdef SharedBuf* _twin(SharedBuf* b, SharedBuf** at, void* compressor, const Dictionary* d) noexcept nogil:
    cdef SharedBuf* twin = <SharedBuf*>qw_load_ptr(<void**>at)
    if twin == NULL:
        twin = _pack(b, compressor, d)
        if twin == NULL:
            twin = b
        if not qw_cas_ptr(<void**>at, NULL, twin):
            if twin != b:
                buf_free(twin)
            twin = <SharedBuf*>qw_load_ptr(<void**>at)
    return twin


cdef SharedBuf* buf_packed(SharedBuf* b, void* compressor) noexcept nogil:
    if b.body_at == 0 or b.size - b.body_at < PACK_MIN or compressor == NULL:
        return b
    return _twin(b, &b.twin, compressor, NULL)


cdef SharedBuf* buf_packed_by(SharedBuf* b, void* compressor, const Dictionary* d) noexcept nogil:
    cdef SharedBuf* twin
    if d != NULL and b.body_at and b.size - b.body_at >= PACK_MIN_BY:
        twin = _twin(b, &b.dictionary_twin, compressor, d)
        if twin != b and twin.hash == d.id:  # else of another loop that has another one now
            return twin
    return buf_packed(b, compressor)


cdef void buf_free(SharedBuf* b) noexcept nogil:
    if b.twin != NULL and b.twin != b:
        b.twin.twin = NULL
        buf_unref(b.twin)
    if b.dictionary_twin != NULL and b.dictionary_twin != b:
        b.dictionary_twin.dictionary_twin = NULL
        buf_unref(b.dictionary_twin)
    free(b)
    qw_count64(&alive, -1)
