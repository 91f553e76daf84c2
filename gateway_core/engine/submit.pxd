"""Commands made of Python values. MailboxFull when a loop has no room in time; an id of a loop that never was
names nothing, like a dead connection."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway_core.conn.resume cimport TakeAsk
from gateway_core.conn.topics cimport Budget
from gateway_core.leaf.mailbox cimport Cmd
from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.types cimport Engine

# One frame of head and body. ValueError above the protocol's limit.
cdef SharedBuf* frame_of(int type, const uint8_t* head, size_t n, bytes body) except? NULL
cdef int give_frame(Engine* e, uint64_t conn, SharedBuf* b, int wait_ms) except -1  # takes over the reference
cdef int give_names(Engine* e, int kind, int loop, uint64_t conn, bytes a, bytes b, bytes c, uint64_t before,
                    int code, int wait_ms) except -1
cdef struct Lasting:  # of a login whose session may be taken up again
    uint32_t until_s
    uint32_t rev
    uint32_t seen  # MSGs of a session of another node that it stands in for
    bint resumed

# `body` of AUTH_OK, or of RESUME_OK where `more.resumed`.
cdef int give_login(Engine* e, uint64_t conn, bytes user, bytes device, int platform, uint64_t session_id,
                    bytes body, uint16_t frames, const Lasting* more, int wait_ms) except -1
cdef int give_tickets(Engine* e, object keys, uint32_t node, int wait_ms) except -1
cdef int give_take(Engine* e, uint64_t conn, const TakeAsk* ask, int wait_ms) except -1  # 1 when the loop took it
cdef int give_reply(Engine* e, uint64_t conn, int type, uint64_t request, uint64_t code, bytes payload,
                    int wait_ms) except -1
# To the loops of these bits, None: to all. MailboxFull names those that did not take it.
cdef int give_publish(Engine* e, str topic, int type, bytes body, int priority, uint64_t exclude, object loops,
                      int wait_ms) except -1
# Batches, in order, one wake-up for many. How many were given: fewer when a mailbox stayed full for wait_ms.
cdef Py_ssize_t give_replies(Engine* e, object replies, int wait_ms) except -1
# ... and of publishes the loops that did not take the one that stopped it, as bits.
cdef tuple give_publishes(Engine* e, object messages, int wait_ms)
cdef int give_cmd(Engine* e, int loop, Cmd* cmd, int wait_ms) except -1  # 1 when the loop took it; MailboxFull
cdef int give_resync(Engine* e, int loop, bint sessions, int wait_ms) except -1
# To every loop; each gets a reference of b (may be NULL), the caller's is taken over.
cdef int give_everywhere(Engine* e, Cmd* cmd, SharedBuf* b, int wait_ms) except -1
cdef int give_keys(Engine* e, object keys, bytes key_set, int wait_ms) except -1
cdef int give_rows(Engine* e, uint32_t first, object rows, int wait_ms) except -1  # [(entry, canary, share, seed)]
cdef int give_budget(Engine* e, bytes name, const Budget* wanted, int wait_ms) except -1  # its name is `name`
