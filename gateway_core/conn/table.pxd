"""A connection, what it holds, and the slab of all of them: slot + generation -> Conn.

    slot -> conns[slot]    128 bytes, two cache lines: what sending touches, what receiving touches
            held           PreAuth until AUTH, a heap block; Session from login, a block of the table

A connection is named by `conn id` = loop << 56 | generation << 32 | slot; a Conn* is valid until the tick ends.
Pages are reserved once and touched as the table grows.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from crypto.aead cimport CipherState
from crypto.ticket cimport TICKET_PSK_BYTES
from frame.constants cimport REKEY_GRACE_SECONDS, REKEY_RECORDS, REKEY_SECONDS
from gateway_core.conn.states cimport FREE, NO_MOVE, STATES, next_state
from gateway_core.includes.sys cimport IP_BYTES
from gateway_core.leaf.blocks cimport Blocks
from gateway_core.leaf.ring cimport Unacked
from gateway_core.leaf.stats cimport Stats
from gateway_core.leaf.token_bucket cimport Bucket
from gateway_core.net.in_buffer cimport InBuf
from gateway_core.net.out_queue cimport OutQueue

cdef enum:
    HANDSHAKE_HASH = 32  # bytes
    LOOP_SHIFT = 56  # of a conn id
    LIFE_SHIFT = 56  # of a request as Python knows it: above it, which connection of the session asked

cdef enum:  # Conn.flags
    F_ZSTD = 1  # accepts compressed bodies
    F_WS = 2
    F_BLOCKED = 4  # EPOLLOUT armed: a ciphertext tail waits
    F_DIRTY = 8  # in the dirty list of this tick
    F_SPECIAL = 16  # young in, or excluded from, some batch: sweeps look closer
    F_PROXIED = 32  # PROXY header read; before login
    F_REPORTED = 32  # this connection, not its session, has sent a REPORT; from login
    F_LOST = 64  # the transport is gone, nothing more can be written
    F_AGED = 128  # half of the greatest age is behind it
    F_ADMITTED = 256  # has its place among those who are let in
    F_TOLD = 512  # shall leave
    F_OVERDUE = 1024  # ... for its age
    F_PAUSED = 2048  # is not read for a while
    F_DICTIONARY = 16384  # ... compressed by the dictionary of now; F_ZSTD holds too
    # of a session that its client must hear of when it comes back
    F_MISSED = 4096  # events were dropped
    F_SYNC_DUE = 8192  # and a hint to sync among them
    F_LEFT = 32768  # it was taken out of its rooms

cdef enum:  # go with the socket when a session gets another
    F_TRANSPORT = F_ZSTD | F_WS | F_BLOCKED | F_LOST | F_PAUSED | F_DICTIONARY

cdef enum:  # PreAuth.is_
    IS_PROXIER = 1  # the peer is a listed balancer
    IS_HANDED = 2  # came from another loop, or must not go to one
    IS_CLAIMING = 4  # a Claim follows

cdef enum:
    KEY_MINUTES = (REKEY_SECONDS + REKEY_GRACE_SECONDS) // 60  # a key of receiving may be read for

cdef struct PreAuth:  # what the AUTH event tells Python; until then
    uint8_t hash[HANDSHAKE_HASH]
    uint8_t ip[IP_BYTES]
    uint16_t port
    uint8_t is_  # IS_*
    uint32_t newer  # slot of the next one in the order of arrival, NONE32: none (56 bytes fill what malloc gives)

cdef struct Claim:  # follows the PreAuth of one who came with a ticket, until it is LIVE; user and device names follow
    uint8_t psk[TICKET_PSK_BYTES]
    uint64_t conn  # that had the session
    uint64_t session
    uint64_t epoch
    uint32_t issued_s
    uint32_t until_s
    uint32_t rev
    uint32_t seen  # MSG frames, as it says
    uint32_t sent  # number of the last one that it was sent again
    uint16_t node
    uint8_t serial
    uint8_t platform
    uint8_t user_len
    uint8_t device_len
    uint8_t wants  # the session; else a login is wanted
    uint8_t told  # RESUME_OK is under way
    uint8_t flags  # that it says

# User and device names follow, then the topic ids (aligned to 4). Packed only at its end: every member is aligned, and the
# names begin two bytes sooner, which is a malloc block of 16 less for most.
cdef packed struct Session:
    uint64_t id
    Unacked* unacked  # NULL: all that was sent is acknowledged, or nobody will ask for it
    uint32_t next  # slot of the user's next connection on this loop
    Bucket inbound
    uint32_t rev  # the login's word, for its tickets
    uint16_t until  # end of its token, see until_s in conn.tickets; 0: it gets no tickets
    uint16_t rx_records  # opened under the key of receiving
    uint16_t rx_minute  # when that key was new
    uint16_t joined  # topic ids in use
    uint16_t policy  # row of loop.policies
    uint8_t serial  # of the last ticket
    uint8_t ticket_unit  # when the last one was given, see unit_s in conn.tickets
    uint8_t floor  # of the ticket that was used last: older ones are dead
    uint8_t life  # which of its connections this is, see requests in conn.dispatch
    uint8_t user_len
    uint8_t device_len
    uint8_t platform
    uint8_t topics_log  # log2 + 1 of topic id capacity, 0 = none
    uint8_t told  # entry of loop.policies, NOT_TOLD

cdef struct Conn:
    # line 1: sending
    CipherState tx  # of a PARKED one, n: the slot that was parked before it, NONE32: none
    OutQueue* out
    int fd
    uint32_t generation
    uint16_t flags
    uint8_t state
    uint8_t suite
    uint16_t tx_tick  # when the sending key was new
    uint16_t timeout_s  # granted after every read; the close code while CLOSING
    # line 2: receiving
    CipherState rx  # of a PARKED one, n: the slot that was parked after it, NONE32: none
    InBuf* in_buf
    void* held
    uint32_t msgs_sent  # with a PreAuth: slot of the one that came before, NONE32: none
    uint32_t address_ref  # entry of the address table; the next free slot while FREE

cdef struct ConnTable:
    Conn* conns
    uint32_t cap
    uint32_t high  # slots ever used
    uint32_t free_head
    uint32_t live  # slots in use
    uint32_t loop  # top byte of the ids
    uint32_t oldest  # of the connections that hold a PreAuth, NONE32: there is none
    uint32_t newest
    uint32_t parked  # how many
    uint32_t parked_first  # the one that has waited longest, NONE32: there is none
    uint32_t parked_last
    uint32_t by_state[STATES]
    Stats* stats
    Blocks sessions

cdef int table_init(ConnTable* t, uint32_t loop, uint32_t cap, Stats* stats) noexcept nogil  # 0, or -1 without memory
cdef void table_free(ConnTable* t) noexcept nogil
cdef Conn* conn_new(ConnTable* t) noexcept nogil  # state FIRST, all else zero; NULL when full
cdef void conn_release(ConnTable* t, Conn* c) noexcept nogil  # wiped; the generation moves on: old ids are dead
cdef Session* session_settle(ConnTable* t, const Session* passing) noexcept nogil  # a copy, in the table; NULL: no memory
# Twice the room for topic ids, or for one. NULL: no memory, all is as it was.
cdef Session* session_grow(ConnTable* t, Conn* c) noexcept nogil
cdef void session_free(ConnTable* t, Conn* c) noexcept nogil  # c holds nothing then
cdef void preauth_enter(ConnTable* t, Conn* c) noexcept nogil  # the newest; c holds a PreAuth
cdef void preauth_leave(ConnTable* t, Conn* c) noexcept nogil
cdef void parked_enter(ConnTable* t, Conn* c) noexcept nogil  # c has no keys now
cdef void parked_leave(ConnTable* t, Conn* c) noexcept nogil


# One event in its life; 0 when it does not happen in this state.
cdef inline bint conn_move(ConnTable* t, Conn* c, int event) noexcept nogil:
    cdef uint8_t to = next_state[c.state][event]
    if to == NO_MOVE:
        return False
    t.by_state[c.state] -= 1
    t.by_state[to] += 1
    c.state = to
    return True


cdef inline uint32_t slot_of(ConnTable* t, Conn* c) noexcept nogil:
    return <uint32_t>(c - t.conns)


# How the poller names it: the id without the loop.
cdef inline uint64_t poll_id(ConnTable* t, Conn* c) noexcept nogil:
    return (<uint64_t>c.generation << 32) | <uint64_t>(c - t.conns)


# Generations begin with 1, so that `within` 0 is nobody's id.
cdef inline uint64_t id_in_loop(uint32_t loop, uint64_t within) noexcept nogil:
    return (<uint64_t>loop << LOOP_SHIFT) | within


cdef inline uint32_t loop_of_id(uint64_t id) noexcept nogil:
    return <uint32_t>(id >> LOOP_SHIFT)


cdef inline uint64_t conn_id(ConnTable* t, Conn* c) noexcept nogil:
    return id_in_loop(t.loop, poll_id(t, c))


# NULL when the id's generation is over.
cdef inline Conn* conn_find(ConnTable* t, uint64_t id) noexcept nogil:
    cdef uint32_t slot = <uint32_t>id
    cdef Conn* c
    if slot >= t.high or loop_of_id(id) != t.loop:
        return NULL
    c = &t.conns[slot]
    if c.state == FREE or c.generation != <uint32_t>((id >> 32) & 0xFFFFFF):
        return NULL
    return c


cdef inline Session* session_of(Conn* c) noexcept nogil:
    return <Session*>c.held


# NULL: it came without a ticket. c holds a PreAuth.
cdef inline Claim* claim_of(Conn* c) noexcept nogil:
    return <Claim*>(<char*>c.held + sizeof(PreAuth)) if (<PreAuth*>c.held).is_ & IS_CLAIMING else NULL


cdef inline char* claim_user(Claim* k) noexcept nogil:
    return <char*>k + sizeof(Claim)


cdef inline char* claim_device(Claim* k) noexcept nogil:
    return <char*>k + sizeof(Claim) + k.user_len


cdef inline size_t preauth_size(const PreAuth* pre) noexcept nogil:
    cdef Claim* k = <Claim*>(<char*>pre + sizeof(PreAuth))
    if not pre.is_ & IS_CLAIMING:
        return sizeof(PreAuth)
    return sizeof(PreAuth) + sizeof(Claim) + k.user_len + k.device_len


# The peer's next record is the first but `records` under its key.
cdef inline void key_begins(Session* s, uint64_t records, uint32_t now_s) noexcept nogil:
    s.rx_records = <uint16_t>records
    s.rx_minute = <uint16_t>(now_s // 60)


# The record that was read last should have ended in REKEY at the latest.
cdef inline bint key_is_old(const Session* s, uint32_t now_s) noexcept nogil:
    return s.rx_records >= REKEY_RECORDS or <uint16_t>(now_s // 60 - s.rx_minute) > KEY_MINUTES


cdef inline char* session_user(Session* s) noexcept nogil:
    return <char*>s + sizeof(Session)


cdef inline char* session_device(Session* s) noexcept nogil:
    return <char*>s + sizeof(Session) + s.user_len


cdef inline uint32_t* session_topics(Session* s) noexcept nogil:
    return <uint32_t*>(<char*>s + ((sizeof(Session) + s.user_len + s.device_len + 3) & ~<size_t>3))


cdef inline size_t session_size(Session* s) noexcept nogil:
    if s.topics_log == 0:
        return sizeof(Session) + s.user_len + s.device_len
    return <size_t>(<char*>session_topics(s) - <char*>s) + (sizeof(uint32_t) << (s.topics_log - 1))
