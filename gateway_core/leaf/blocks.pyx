from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from gateway_core.includes.sys cimport qw_map, qw_poison, qw_unmap, qw_unpoison

LAYOUT = layout()

cdef enum:
    CHUNK = 65536
    LINK = sizeof(void*)


cdef inline size_t _whole(size_t n) noexcept nogil:
    return (n + BLOCK_STEP - 1) & ~<size_t>(BLOCK_STEP - 1)


cdef void _put(Blocks* blocks, void* p, size_t whole) noexcept nogil:
    """A sanitizer sees whoever reads on behind the link."""
    (<void**>p)[0] = blocks.freed[whole // BLOCK_STEP]
    blocks.freed[whole // BLOCK_STEP] = p
    qw_poison(<uint8_t*>p + LINK, whole - LINK)


cdef bint _chunk(Blocks* blocks) noexcept nogil:
    cdef void* chunk = qw_map(CHUNK)
    if chunk == NULL:
        return False
    if blocks.left:
        _put(blocks, blocks.fresh, blocks.left)
    (<void**>chunk)[0] = blocks.chunk
    blocks.chunk = chunk
    blocks.fresh = <uint8_t*>chunk + LINK
    blocks.left = CHUNK - LINK
    return True


cdef void* block_new(Blocks* blocks, size_t n) noexcept nogil:
    cdef size_t whole = _whole(n)
    cdef void* p
    if whole > BLOCK_MOST:
        return malloc(whole)
    p = blocks.freed[whole // BLOCK_STEP]
    if p != NULL:
        blocks.freed[whole // BLOCK_STEP] = (<void**>p)[0]
        qw_unpoison(p, whole)
        return p
    if blocks.left < whole and not _chunk(blocks):
        return NULL
    p = blocks.fresh
    blocks.fresh += whole
    blocks.left -= whole
    return p


cdef void block_free(Blocks* blocks, void* p, size_t n) noexcept nogil:
    cdef size_t whole = _whole(n)
    if whole > BLOCK_MOST:
        free(p)
    else:
        _put(blocks, p, whole)


cdef void* block_resize(Blocks* blocks, void* p, size_t had, size_t n) noexcept nogil:
    cdef void* grown
    if _whole(had) == _whole(n):
        return p
    if _whole(had) > BLOCK_MOST and _whole(n) > BLOCK_MOST:
        return realloc(p, _whole(n))
    grown = block_new(blocks, n)
    if grown != NULL:
        memcpy(grown, p, min(had, n))
        block_free(blocks, p, had)
    return grown


cdef void blocks_free(Blocks* blocks) noexcept nogil:
    cdef void* chunk = blocks.chunk
    cdef void* before
    while chunk != NULL:
        before = (<void**>chunk)[0]
        qw_unpoison(chunk, CHUNK)
        qw_unmap(chunk, CHUNK)
        chunk = before
    memset(blocks, 0, sizeof(Blocks))
