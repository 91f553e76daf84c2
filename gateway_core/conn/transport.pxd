"""Plaintext frames -> sealed records -> socket, and the verdict that ends a connection.

A record is sealed once, when it is written; bytes the socket does not take stay as ciphertext (no nonce is used
twice). Nothing here closes a socket: a verdict puts the connection into the doom list, which the tick reaps at its
end (conn.session), so a Conn* stays valid during the tick.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from gateway_core.conn.table cimport Conn
from gateway_core.conn.joining cimport Cuts
from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.types cimport Loop

# A CLOSE frame with the code is sent when the transport still can.
cdef void doom(Loop* loop, Conn* c, int reason, int code) noexcept nogil
# Nothing is sent; the code is what the application hears (0: the peer vanished).
cdef void doom_quiet(Loop* loop, Conn* c, int reason, int code) noexcept nogil
# Seals n bytes into a record at out (room for 2 + n + 2 + 32); bytes written or -1. `plain` may be out + 2.
cdef ptrdiff_t seal_record(Loop* loop, Conn* c, const uint8_t* plain, size_t n, uint8_t* out) noexcept nogil
# A batch to a connection without a queue: sealed record by record, written at once.
cdef void send_direct(Loop* loop, Conn* c, SharedBuf* b, const Cuts* cuts) noexcept nogil
# Between the two, what send_direct and flush_conn write may wait in the stage (net.sender), so each connection may be
# written once only. stage_finish sends it and judges the results.
cdef void stage_begin(Loop* loop) noexcept nogil
cdef void stage_finish(Loop* loop) noexcept nogil
# Unsealed bytes (handshake, upgrade answer). framed: inside a WebSocket message when the connection is one.
cdef void send_raw(Loop* loop, Conn* c, const uint8_t* p, size_t n, bint framed) noexcept nogil
# Writes what waits: the tail, then up to FLUSH_BYTES of queued frames in one write.
cdef void flush_conn(Loop* loop, Conn* c) noexcept nogil
# queue_push with its verdicts carried out; the caller keeps its reference.
cdef void enqueue(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil
# The same, for what has its number already.
cdef void enqueue_again(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil
# A MSG frame has left for it, or waits: its number, and the ring when the session may be taken up again.
cdef void msg_number(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil
# To a PARKED session: a MSG waits in its ring, of the rest is remembered that it was.
cdef void hold(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil
# n unsealed bytes, and what is queued behind them, in one write.
cdef void flush_behind(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil
cdef void enqueue_frame(Loop* loop, Conn* c, int type, const uint8_t* body, size_t n) noexcept nogil
