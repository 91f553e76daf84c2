"""The libzstd function table, taken from the cffi module of `zstandard`, and compressed bodies on it."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp

from zstandard import _cffi as _zstandard

from cmodules cimport layout
from crypto.errors import CompressionFailed

LAYOUT = layout()

NEEDS = "zstandard >= 0.23 (libzstd >= 1.5)"

cdef unsigned long long CONTENT_UNKNOWN = <unsigned long long> -1
cdef unsigned long long CONTENT_ERROR = <unsigned long long> -2
cdef int LEVEL_PARAMETER = _zstandard.lib.ZSTD_c_compressionLevel
cdef const uint8_t* MAGIC = b"\x28\xb5\x2f\xfd"


cdef uintptr_t _address(str name) except 0:
    """Address of libzstd's `name`. ImportError names the symbol and the version that has it."""
    if not hasattr(_zstandard.lib, name):
        raise ImportError(f"libzstd function {name} is missing: {NEEDS} is needed")
    return <uintptr_t> int(_zstandard.ffi.cast("uintptr_t", _zstandard.ffi.addressof(_zstandard.lib, name)))


cdef int _fill() except -1:
    zstd.create_cctx = <void* (*)() noexcept nogil> _address("ZSTD_createCCtx")
    zstd.free_cctx = <size_t (*)(void*) noexcept nogil> _address("ZSTD_freeCCtx")
    zstd.cctx_set = <size_t (*)(void*, int, int) noexcept nogil> _address("ZSTD_CCtx_setParameter")
    zstd.compress2 = <size_t (*)(void*, void*, size_t, const void*, size_t) noexcept nogil> _address("ZSTD_compress2")
    zstd.create_dctx = <void* (*)() noexcept nogil> _address("ZSTD_createDCtx")
    zstd.free_dctx = <size_t (*)(void*) noexcept nogil> _address("ZSTD_freeDCtx")
    zstd.decompress_dctx = <size_t (*)(void*, void*, size_t, const void*, size_t) noexcept nogil> _address(
        "ZSTD_decompressDCtx")
    zstd.bound = <size_t (*)(size_t) noexcept nogil> _address("ZSTD_compressBound")
    zstd.frame_content_size = <unsigned long long (*)(const void*, size_t) noexcept nogil> _address(
        "ZSTD_getFrameContentSize")
    zstd.frame_compressed_size = <size_t (*)(const void*, size_t) noexcept nogil> _address(
        "ZSTD_findFrameCompressedSize")
    zstd.is_error = <unsigned int (*)(size_t) noexcept nogil> _address("ZSTD_isError")
    zstd.create_cdict = <void* (*)(const void*, size_t, int) noexcept nogil> _address("ZSTD_createCDict")
    zstd.free_cdict = <size_t (*)(void*) noexcept nogil> _address("ZSTD_freeCDict")
    zstd.create_ddict = <void* (*)(const void*, size_t) noexcept nogil> _address("ZSTD_createDDict")
    zstd.free_ddict = <size_t (*)(void*) noexcept nogil> _address("ZSTD_freeDDict")
    zstd.compress_cdict = <size_t (*)(void*, void*, size_t, const void*, size_t, const void*) noexcept nogil> _address(
        "ZSTD_compress_usingCDict")
    zstd.decompress_ddict = <size_t (*)(void*, void*, size_t, const void*, size_t, const void*) noexcept nogil> _address(
        "ZSTD_decompress_usingDDict")
    zstd.id_of_frame = <unsigned int (*)(const void*, size_t) noexcept nogil> _address("ZSTD_getDictID_fromFrame")
    zstd.id_of_dictionary = <unsigned int (*)(const void*, size_t) noexcept nogil> _address("ZSTD_getDictID_fromDict")
    return 0


_fill()


cdef void* zstd_compressor_new(int level) noexcept nogil:
    cdef void* ctx = zstd.create_cctx()
    if ctx != NULL and zstd.is_error(zstd.cctx_set(ctx, LEVEL_PARAMETER, level)):
        zstd.free_cctx(ctx)
        return NULL
    return ctx


cdef void zstd_compressor_free(void* ctx) noexcept nogil:
    zstd.free_cctx(ctx)


cdef void* zstd_decompressor_new() noexcept nogil:
    return zstd.create_dctx()


cdef void zstd_decompressor_free(void* ctx) noexcept nogil:
    zstd.free_dctx(ctx)


cdef size_t zstd_bound(size_t n) noexcept nogil:
    return zstd.bound(n)


cdef ptrdiff_t zstd_compress(void* ctx, const uint8_t* src, size_t n, uint8_t* dst, size_t cap) noexcept nogil:
    cdef size_t written = zstd.compress2(ctx, dst, cap, src, n)
    return -1 if zstd.is_error(written) else <ptrdiff_t> written


cdef int64_t zstd_frame_size(const uint8_t* src, size_t n) noexcept nogil:
    cdef unsigned long long content
    # A skippable frame is a valid input to libzstd and inflates to nothing: only the magic tells it apart.
    if n < 4 or memcmp(src, MAGIC, 4) != 0 or zstd.frame_compressed_size(src, n) != n:
        return ZSTD_SIZE_MALFORMED
    content = zstd.frame_content_size(src, n)
    if content == CONTENT_UNKNOWN:
        return ZSTD_SIZE_UNKNOWN
    if content == CONTENT_ERROR or content > <unsigned long long> 0x7FFFFFFFFFFFFFFF:
        return ZSTD_SIZE_MALFORMED
    return <int64_t> content


cdef int zstd_may_inflate(const uint8_t* src, size_t n, uint64_t raw_len, size_t max_raw, size_t max_ratio) noexcept nogil:
    cdef int64_t declared
    if raw_len == 0 or raw_len > max_raw or raw_len / max_ratio > n or raw_len > max_ratio * n:
        return 0
    declared = zstd_frame_size(src, n)
    return declared == ZSTD_SIZE_UNKNOWN or declared == <int64_t> raw_len


cdef ptrdiff_t zstd_decompress(void* ctx, const uint8_t* src, size_t n, uint8_t* dst, size_t raw_len) noexcept nogil:
    cdef size_t written = zstd.decompress_dctx(ctx, dst, raw_len, src, n)
    return <ptrdiff_t> raw_len if written == raw_len else -1


cdef Dictionary dictionary_new(const uint8_t* p, size_t n, int level) noexcept nogil:
    cdef Dictionary d
    d.id = zstd.id_of_dictionary(p, n)
    d.compressing = zstd.create_cdict(p, n, level) if d.id else NULL
    d.expanding = zstd.create_ddict(p, n) if d.id else NULL
    if d.compressing == NULL or d.expanding == NULL:
        dictionary_free(&d)
    return d


cdef void dictionary_free(Dictionary* d) noexcept nogil:
    zstd.free_cdict(d.compressing)
    zstd.free_ddict(d.expanding)
    d.id = 0
    d.compressing = d.expanding = NULL


cdef ptrdiff_t zstd_compress_with(void* ctx, const Dictionary* d, const uint8_t* src, size_t n, uint8_t* dst, size_t cap) noexcept nogil:
    cdef size_t written = zstd.compress_cdict(ctx, dst, cap, src, n, d.compressing)
    return -1 if zstd.is_error(written) else <ptrdiff_t> written


cdef ptrdiff_t zstd_decompress_with(void* ctx, const Dictionary* d, const uint8_t* src, size_t n, uint8_t* dst, size_t raw_len) noexcept nogil:
    cdef size_t written = zstd.decompress_ddict(ctx, dst, raw_len, src, n, d.expanding)
    return <ptrdiff_t> raw_len if written == raw_len else -1


cdef uint32_t zstd_dictionary_of(const uint8_t* src, size_t n) noexcept nogil:
    return zstd.id_of_frame(src, n)


def dictionary_id(bytes dictionary not None) -> int:
    """The id inside a trained dictionary. CompressionFailed where there is none, or where it is damaged."""
    cdef Dictionary d = dictionary_new(dictionary, len(dictionary), 3)
    cdef uint32_t id = d.id
    dictionary_free(&d)
    if id == 0:
        raise CompressionFailed("this is no trained zstd dictionary")
    return id


@cython.final
cdef class Compressor:
    """Compressed bodies for tests and tools; not thread-safe, as the contexts inside. With `dictionary` (a trained one,
    else CompressionFailed) bodies are compressed by it, and read with it or without one."""

    cdef void* out
    cdef void* back
    cdef Dictionary dictionary

    def __cinit__(self, int level=3, bytes dictionary=None):
        self.out = zstd_compressor_new(level)
        self.back = zstd_decompressor_new()
        if self.out == NULL or self.back == NULL:
            raise MemoryError("no zstd context")
        if dictionary is not None:
            self.dictionary = dictionary_new(dictionary, len(dictionary), level)
            if self.dictionary.id == 0:
                raise CompressionFailed("this is no trained zstd dictionary")

    def __dealloc__(self):
        dictionary_free(&self.dictionary)
        zstd_compressor_free(self.out)
        zstd_decompressor_free(self.back)

    def compress(self, bytes raw not None) -> bytes:
        """One standard zstd frame of `raw`."""
        packed = bytearray(zstd_bound(len(raw)))
        cdef ptrdiff_t written
        if self.dictionary.id:
            written = zstd_compress_with(self.out, &self.dictionary, raw, len(raw), packed, len(packed))
        else:
            written = zstd_compress(self.out, raw, len(raw), packed, len(packed))
        if written < 0:
            raise CompressionFailed("zstd refused to compress")
        return bytes(packed[:written])

    def decompress(self, bytes body not None, uint64_t raw_len, size_t max_raw=1 << 20, size_t max_ratio=100) -> bytes:
        """Inflate exactly `raw_len` bytes. CompressionFailed when it is no single frame of that size or over a cap;
        nothing is allocated before the caps are checked."""
        if not zstd_may_inflate(body, len(body), raw_len, max_raw, max_ratio):
            raise CompressionFailed("the body is not one zstd frame within the limits")
        raw = bytearray(raw_len)
        cdef uint32_t wanted = zstd_dictionary_of(body, len(body))
        cdef ptrdiff_t got
        if wanted and wanted == self.dictionary.id:
            got = zstd_decompress_with(self.back, &self.dictionary, body, len(body), raw, raw_len)
        else:
            got = zstd_decompress(self.back, body, len(body), raw, raw_len)
        if got < 0:
            raise CompressionFailed("the body is damaged, or by another dictionary")
        return bytes(raw)


def frame_size(bytes body not None) -> int:
    """Declared content size of the single frame `body`, -2 when it declares none, -1 when it is not one frame."""
    return zstd_frame_size(body, len(body))
