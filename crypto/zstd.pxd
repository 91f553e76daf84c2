# libzstd of the `zstandard` package, callable without the GIL. Compressed frame bodies only.
#
# Ownership: a context belongs to the thread that passes it in; one per loop thread, made at start and freed at stop.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    ZSTD_SIZE_MALFORMED = -1
    ZSTD_SIZE_UNKNOWN = -2

cdef struct ZstdTable:
    void* (*create_cctx)() noexcept nogil
    size_t (*free_cctx)(void* ctx) noexcept nogil
    size_t (*cctx_set)(void* ctx, int parameter, int value) noexcept nogil
    size_t (*compress2)(void* ctx, void* dst, size_t cap, const void* src, size_t n) noexcept nogil
    void* (*create_dctx)() noexcept nogil
    size_t (*free_dctx)(void* ctx) noexcept nogil
    size_t (*decompress_dctx)(void* ctx, void* dst, size_t cap, const void* src, size_t n) noexcept nogil
    size_t (*bound)(size_t n) noexcept nogil
    unsigned long long (*frame_content_size)(const void* src, size_t n) noexcept nogil
    size_t (*frame_compressed_size)(const void* src, size_t n) noexcept nogil
    unsigned int (*is_error)(size_t code) noexcept nogil
    void* (*create_cdict)(const void* dictionary, size_t size, int level) noexcept nogil
    size_t (*free_cdict)(void* cdict) noexcept nogil
    void* (*create_ddict)(const void* dictionary, size_t size) noexcept nogil
    size_t (*free_ddict)(void* ddict) noexcept nogil
    size_t (*compress_cdict)(void* ctx, void* dst, size_t cap, const void* src, size_t n, const void* cdict) noexcept nogil
    size_t (*decompress_ddict)(void* ctx, void* dst, size_t cap, const void* src, size_t n, const void* ddict) noexcept nogil
    unsigned int (*id_of_frame)(const void* src, size_t n) noexcept nogil
    unsigned int (*id_of_dictionary)(const void* dictionary, size_t size) noexcept nogil

cdef struct Dictionary:  # immutable once made, so any thread may use it
    uint32_t id
    void* compressing
    void* expanding

cdef ZstdTable zstd

# Contexts; NULL when memory is out or the level is refused. Freeing NULL is allowed.
cdef void* zstd_compressor_new(int level) noexcept nogil
cdef void zstd_compressor_free(void* ctx) noexcept nogil
cdef void* zstd_decompressor_new() noexcept nogil
cdef void zstd_decompressor_free(void* ctx) noexcept nogil

# Largest compressed size of n bytes.
cdef size_t zstd_bound(size_t n) noexcept nogil

# One standard frame with its content size in the header. Bytes written, or -1 (does not fit in `cap`).
cdef ptrdiff_t zstd_compress(void* ctx, const uint8_t* src, size_t n, uint8_t* dst, size_t cap) noexcept nogil

# Content size declared by the one frame that fills src exactly; ZSTD_SIZE_UNKNOWN when it declares none,
# ZSTD_SIZE_MALFORMED when src is anything else (cut, trailing bytes, skippable frame).
cdef int64_t zstd_frame_size(const uint8_t* src, size_t n) noexcept nogil

# The check before any allocation: 1 when src is one whole frame that does not contradict raw_len and raw_len is
# within 1..max_raw and at most max_ratio * n; else 0.
cdef int zstd_may_inflate(const uint8_t* src, size_t n, uint64_t raw_len, size_t max_raw, size_t max_ratio) noexcept nogil

# Exactly raw_len bytes into dst (which has room for them): raw_len, or -1.
cdef ptrdiff_t zstd_decompress(void* ctx, const uint8_t* src, size_t n, uint8_t* dst, size_t raw_len) noexcept nogil

# Digested for both ways. `id` 0 without memory, and where it is no trained dictionary: one without an id of its own.
cdef Dictionary dictionary_new(const uint8_t* p, size_t n, int level) noexcept nogil
cdef void dictionary_free(Dictionary* d) noexcept nogil
cdef ptrdiff_t zstd_compress_with(void* ctx, const Dictionary* d, const uint8_t* src, size_t n, uint8_t* dst, size_t cap) noexcept nogil
cdef ptrdiff_t zstd_decompress_with(void* ctx, const Dictionary* d, const uint8_t* src, size_t n, uint8_t* dst, size_t raw_len) noexcept nogil
cdef uint32_t zstd_dictionary_of(const uint8_t* src, size_t n) noexcept nogil  # id in a frame's header, 0: none is needed
