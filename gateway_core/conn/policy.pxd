"""The policy of one connection: chosen after its REPORT, told then or with a PONG (leaf/policies)."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from gateway_core.conn.table cimport Conn
from gateway_core.types cimport Loop

cdef void policy_choose(Loop* loop, Conn* c, uint32_t row, uint32_t rev) noexcept nogil  # the client has `rev` already
cdef void policy_pong(Loop* loop, Conn* c) noexcept nogil  # answers a PING, with POLICY before it when it is another
cdef void policy_report(Loop* loop, Conn* c, const uint8_t* body, size_t n) noexcept nogil
