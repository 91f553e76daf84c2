"""Loops around single functions of the C modules, so that what is timed is the function and not the call from Python."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from cmodules cimport layout
from crypto.aead cimport AEAD_MAX_SEALED, CipherState, aead_open, aead_seal
from frame.frames cimport Frame, frame_parse
from frame.websocket cimport WsHeader, ws_header_parse, ws_mask
from gateway_core.leaf.shared_buf cimport SharedBuf, buf_frame, buf_unref
from gateway_core.leaf.stats cimport Stats
from gateway_core.net.out_queue cimport (
    OutQueue,
    QueueLimits,
    QueuePool,
    queue_clear,
    queue_pop,
    queue_push,
    queues_free,
    queues_init,
)

import sys

from cmodules import same_build

LAYOUT = layout()
same_build(sys.modules[__name__])


def parse_frames(const uint8_t[::1] data):
    """Parse frames until the data ends; how many there were."""
    cdef Frame f
    cdef size_t at = 0, n = data.shape[0]
    cdef ptrdiff_t used
    cdef int count = 0
    while at < n:
        used = frame_parse(&data[at], n - at, 61440, &f)
        if used <= 0:
            raise ValueError("malformed")
        at += <size_t>used
        count += 1
    return count


def parse_websocket(uint8_t[::1] data):
    """Parse WebSocket frames and unmask their payloads in place (twice restores them); how many there were."""
    cdef WsHeader h
    cdef size_t at = 0, n = data.shape[0]
    cdef ptrdiff_t used
    cdef int count = 0
    while at < n:
        used = ws_header_parse(&data[at], n - at, 1 << 20, &h)
        if used <= 0:
            raise ValueError("malformed")
        at += <size_t>used
        ws_mask(&data[at], h.payload_len, h.mask, 0)
        at += h.payload_len
        count += 1
    return count


def seal(int suite, const uint8_t[::1] plain, int times):
    """Seal the same plaintext `times` times under one key with a running nonce."""
    cdef CipherState state
    cdef uint8_t* out = <uint8_t*>calloc(1, plain.shape[0] + 64)
    cdef int i, done = 0
    for i in range(32):
        state.key[i] = i
    state.n = 0
    for i in range(times):
        done = aead_seal(suite, &state, &plain[0], plain.shape[0], out)
    free(out)
    return done


def open_sealed(int suite, const uint8_t[::1] sealed, int times):
    """Open the record that `seal` makes with nonce 0, again and again."""
    cdef CipherState state
    cdef uint8_t* out = <uint8_t*>calloc(1, sealed.shape[0] + 64)
    cdef int i, done = 0
    for i in range(32):
        state.key[i] = i
    for i in range(times):
        state.n = 0
        done = aead_open(suite, &state, &sealed[0], sealed.shape[0], out)
    free(out)
    return done


def sealed_once(int suite, bytes plain):
    """The record that `open_sealed` opens."""
    cdef CipherState state
    cdef uint8_t out[AEAD_MAX_SEALED]
    cdef int i, done
    for i in range(32):
        state.key[i] = i
    state.n = 0
    done = aead_seal(suite, &state, plain, len(plain), out)
    return bytes(out[:done])


def queue_cycle(int frames, int times):
    """Push `frames` references to one shared frame and take them out again, `times` times; how many came out."""
    cdef Stats stats
    cdef QueueLimits limits
    cdef QueuePool pool
    cdef OutQueue* queue = NULL
    cdef SharedBuf* shared = buf_frame(7, NULL, 0, b"body of sixty bytes", 19, NULL, 0)
    cdef SharedBuf* b
    cdef int i, k, out = 0
    memset(&stats, 0, sizeof(Stats))
    limits.soft_bytes = limits.event_bytes = limits.hard_bytes = 1 << 24
    queues_init(&pool, &limits, &stats)
    for k in range(times):
        for i in range(frames):
            queue_push(&pool, &queue, shared)
        while True:
            b = queue_pop(&pool, queue)
            if b == NULL:
                break
            buf_unref(b)
            out += 1
    queue_clear(&pool, &queue, True)
    queues_free(&pool)
    buf_unref(shared)
    return out
