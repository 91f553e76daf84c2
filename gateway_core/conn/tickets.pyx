from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.sodium cimport sodium
from crypto.symmetric cimport HASH_BYTES, hmac_sha256
from crypto.ticket cimport TICKET_BYTES_MAX, TICKET_NONCE, TICKET_PSK_BYTES, Ticket, ticket_open, ticket_seal
from frame.constants cimport FRAME_TICKET
from frame.varint cimport UV_MAX, uv_put
from gateway_core.conn.table cimport (
    HANDSHAKE_HASH,
    IS_CLAIMING,
    PreAuth,
    Session,
    claim_device,
    claim_of,
    claim_user,
    conn_id,
    preauth_size,
    session_device,
    session_of,
    session_user,
)
from gateway_core.conn.transport cimport enqueue_frame
from gateway_core.includes.sys cimport qw_wall_ms
from gateway_core.leaf.stats cimport N_TICKETS, stat_add

LAYOUT = layout()

cdef enum:
    LEAST_LIFE_S = 30  # a ticket that is over sooner is not worth its bytes
    CONTEXT_BYTES = 8
    BODY_MAX = UV_MAX + TICKET_PSK_BYTES + 1 + TICKET_BYTES_MAX

cdef const char* AUTH_CONTEXT = b"qw1 auth"


cdef uint32_t wall_s() noexcept nogil:
    return <uint32_t>(qw_wall_ms() // 1000)


cdef uint16_t until_of(uint32_t start_s, uint32_t end_s) noexcept nogil:
    cdef uint32_t units = (end_s - start_s) // <uint32_t>UNTIL_S if end_s > start_s else 0
    return <uint16_t>min(units, <uint32_t>0xFFFF)


cdef uint32_t until_s(Loop* loop, const Session* s) noexcept nogil:
    return loop.engine.start_wall_s + <uint32_t>s.until * <uint32_t>UNTIL_S


cdef inline uint32_t unit_s(Loop* loop) noexcept nogil:
    """Eight bits tell the age of a ticket for all its life, to a 128th of it."""
    return max(loop.config.ticket_s >> 7, <uint32_t>1)


cdef void ticket_give(Loop* loop, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef uint32_t now = wall_s(), until = until_s(loop, s)
    cdef uint8_t body[BODY_MAX]
    cdef uint8_t drawn[TICKET_PSK_BYTES + TICKET_NONCE]
    cdef Ticket t
    cdef size_t n
    if loop.tickets.n == 0 or s.until == 0 or until < now + LEAST_LIFE_S:
        return
    s.serial += 1
    s.ticket_unit = <uint8_t>(loop.now_s // unit_s(loop))
    memset(&t, 0, sizeof(Ticket))
    sodium.randombytes(drawn, sizeof(drawn))
    memcpy(t.psk, drawn, TICKET_PSK_BYTES)
    t.conn = conn_id(&loop.table, c)
    t.session = s.id
    t.epoch = loop.engine.epoch
    t.issued_s = now
    t.expires_s = min(until, now + loop.config.ticket_s)
    t.until_s = until
    t.rev = s.rev
    t.node = <uint16_t>loop.node_id
    t.serial = s.serial
    t.platform = s.platform
    t.user_len = s.user_len
    t.device_len = s.device_len
    memcpy(t.user, session_user(s), s.user_len)
    memcpy(t.device, session_device(s), s.device_len)
    n = <size_t>uv_put(body, t.expires_s - now)
    memcpy(body + n, t.psk, TICKET_PSK_BYTES)
    n += TICKET_PSK_BYTES
    body[n] = <uint8_t>ticket_seal(&loop.tickets, &t, drawn + TICKET_PSK_BYTES, body + n + 1)
    n += 1 + body[n]
    enqueue_frame(loop, c, FRAME_TICKET, body, n)
    stat_add(&loop.stats, N_TICKETS, 1)
    sodium.memzero(&t, sizeof(Ticket))
    sodium.memzero(drawn, sizeof(drawn))
    sodium.memzero(body, sizeof(body))


cdef void ticket_renew(Loop* loop, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef uint32_t age = <uint32_t><uint8_t>(loop.now_s // unit_s(loop) - s.ticket_unit) * unit_s(loop)
    cdef uint32_t half = loop.config.ticket_s // 2
    if age >= half and wall_s() + half < until_s(loop, s):
        ticket_give(loop, c)


cdef int ticket_take(Loop* loop, const uint8_t* p, size_t n, Ticket* out) noexcept nogil:
    if ticket_open(&loop.tickets, p, n, out) < 0:
        return -1
    if out.user_len == 0 or out.device_len == 0 or wall_s() >= out.expires_s:
        sodium.memzero(out, sizeof(Ticket))
        return -1
    return 0


cdef int claim_keep(Loop* loop, Conn* c, const Ticket* t) noexcept nogil:
    cdef PreAuth* pre = <PreAuth*>realloc(c.held, sizeof(PreAuth) + sizeof(Claim) + t.user_len + t.device_len)
    cdef Claim* k
    if pre == NULL:
        return -1
    c.held = pre
    pre.is_ |= IS_CLAIMING
    k = claim_of(c)
    memset(k, 0, sizeof(Claim))
    memcpy(k.psk, t.psk, TICKET_PSK_BYTES)
    k.conn = t.conn
    k.session = t.session
    k.epoch = t.epoch
    k.issued_s = t.issued_s
    k.until_s = t.until_s
    k.rev = t.rev
    k.node = t.node
    k.serial = t.serial
    k.platform = t.platform
    k.user_len = t.user_len
    k.device_len = t.device_len
    memcpy(claim_user(k), t.user, t.user_len)
    memcpy(claim_device(k), t.device, t.device_len)
    return 0


cdef void claim_drop(Conn* c) noexcept nogil:
    cdef PreAuth* pre = <PreAuth*>c.held
    cdef PreAuth* less
    if not pre.is_ & IS_CLAIMING:
        return
    sodium.memzero(claim_of(c), preauth_size(pre) - sizeof(PreAuth))
    pre.is_ &= <uint8_t>~<unsigned int>IS_CLAIMING
    less = <PreAuth*>realloc(pre, sizeof(PreAuth))
    if less != NULL:
        c.held = less


cdef bint claim_proven(const Claim* k, const uint8_t* hash, const uint8_t* binding, size_t n) noexcept nogil:
    cdef uint8_t bound[CONTEXT_BYTES + HANDSHAKE_HASH]
    cdef uint8_t mac[HASH_BYTES]
    memcpy(bound, AUTH_CONTEXT, CONTEXT_BYTES)
    memcpy(bound + CONTEXT_BYTES, hash, HANDSHAKE_HASH)
    hmac_sha256(k.psk, bound, sizeof(bound), mac)
    return n == HASH_BYTES and sodium.memcmp(mac, binding, HASH_BYTES) == 0
