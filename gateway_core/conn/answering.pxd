"""First flights that were judged, answered in groups: what eight need of X25519 is computed at once (crypto/x25519).

A group that is not full does not wait for more: what came in a turn of the loop is answered in it, as far as the
tick's budget goes. Lanes that are free make ephemeral pairs for those who come next.
"""

from gateway_core.conn.table cimport Conn
from gateway_core.leaf.admission cimport Wait
from gateway_core.types cimport Loop

cdef void reject(Loop* loop, Conn* c, int code, const Wait* wait) noexcept nogil  # `wait` of REJECT_OVERLOADED only
cdef void handshake_waiting(Loop* loop) noexcept nogil  # as many as the tick's budget allows, a group at least
