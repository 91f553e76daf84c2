"""Resumption tickets (docs/PROTOCOL.md, section 9): sealed here, opened here, opaque to everybody else."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.sodium cimport sodium

from typing import NamedTuple

from crypto.errors import AuthenticationFailed

LAYOUT = layout()

cdef enum:
    TICKET_VERSION = 1
    CONTEXT_BYTES = 10
    AD_BYTES = 14                     # context and key id
    KEY_ID_BYTES = 4

cdef const char* CONTEXT = b"qw1 ticket"


cdef inline uint8_t* _put(uint8_t* p, uint64_t v, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        p[i] = <uint8_t> (v >> (8 * (n - 1 - i)))
    return p + n


cdef inline uint64_t _get(const uint8_t** p, int n) noexcept nogil:
    cdef uint64_t v = 0
    cdef int i
    for i in range(n):
        v = v << 8 | p[0][i]
    p[0] += n
    return v


cdef void _context(uint32_t key_id, uint8_t* ad) noexcept nogil:
    memcpy(ad, CONTEXT, CONTEXT_BYTES)
    _put(ad + CONTEXT_BYTES, key_id, KEY_ID_BYTES)


cdef int ticket_seal(const TicketKeys* keys, const Ticket* t, const uint8_t* nonce24, uint8_t* out) noexcept nogil:
    cdef uint8_t plain[TICKET_FIXED + 2 * TICKET_NAME_MAX]
    cdef uint8_t ad[AD_BYTES]
    cdef uint8_t* p = plain
    cdef unsigned long long written = 0
    if keys.n == 0 or t.user_len > TICKET_NAME_MAX or t.device_len > TICKET_NAME_MAX:
        return -1
    p = _put(p, TICKET_VERSION, 1)
    memcpy(p, t.psk, TICKET_PSK_BYTES)
    p += TICKET_PSK_BYTES
    p = _put(p, t.conn, 8)
    p = _put(p, t.session, 8)
    p = _put(p, t.epoch, 8)
    p = _put(p, t.node, 2)
    p = _put(p, t.issued_s, 4)
    p = _put(p, t.expires_s, 4)
    p = _put(p, t.until_s, 4)
    p = _put(p, t.rev, 4)
    p = _put(p, t.serial, 1)
    p = _put(p, t.platform, 1)
    p = _put(p, t.user_len, 1)
    memcpy(p, t.user, t.user_len)
    p = _put(p + t.user_len, t.device_len, 1)
    memcpy(p, t.device, t.device_len)
    p += t.device_len
    _context(keys.key[0].id, ad)
    _put(out, keys.key[0].id, KEY_ID_BYTES)
    memcpy(out + KEY_ID_BYTES, nonce24, TICKET_NONCE)
    sodium.xchacha20poly1305_ietf_encrypt(
        out + KEY_ID_BYTES + TICKET_NONCE, &written, plain, <unsigned long long> (p - plain), ad, AD_BYTES, NULL,
        nonce24, keys.key[0].key)
    sodium.memzero(plain, sizeof(plain))
    return KEY_ID_BYTES + TICKET_NONCE + <int> written


cdef const TicketKey* _key(const TicketKeys* keys, uint32_t id) noexcept nogil:
    cdef uint32_t i
    for i in range(keys.n):
        if keys.key[i].id == id:
            return &keys.key[i]
    return NULL


cdef int _read(const uint8_t* p, size_t n, Ticket* out) noexcept nogil:
    cdef const uint8_t* end = p + n
    if n < TICKET_FIXED or p[0] != TICKET_VERSION:
        return -1
    p += 1
    memcpy(out.psk, p, TICKET_PSK_BYTES)
    p += TICKET_PSK_BYTES
    out.conn = _get(&p, 8)
    out.session = _get(&p, 8)
    out.epoch = _get(&p, 8)
    out.node = <unsigned short> _get(&p, 2)
    out.issued_s = <uint32_t> _get(&p, 4)
    out.expires_s = <uint32_t> _get(&p, 4)
    out.until_s = <uint32_t> _get(&p, 4)
    out.rev = <uint32_t> _get(&p, 4)
    out.serial = <uint8_t> _get(&p, 1)
    out.platform = <uint8_t> _get(&p, 1)
    out.user_len = <uint8_t> _get(&p, 1)
    if out.user_len > TICKET_NAME_MAX or end - p <= out.user_len:
        return -1
    memcpy(out.user, p, out.user_len)
    p += out.user_len
    out.device_len = <uint8_t> _get(&p, 1)
    if out.device_len > TICKET_NAME_MAX or end - p != out.device_len:
        return -1
    memcpy(out.device, p, out.device_len)
    return 0


cdef int ticket_open(const TicketKeys* keys, const uint8_t* p, size_t n, Ticket* out) noexcept nogil:
    cdef uint8_t plain[TICKET_BYTES_MAX]
    cdef uint8_t ad[AD_BYTES]
    cdef const uint8_t* at = p
    cdef const TicketKey* key
    cdef unsigned long long written = 0
    cdef int rc = -1
    memset(out, 0, sizeof(Ticket))
    if n < KEY_ID_BYTES + TICKET_NONCE + TICKET_TAG or n > TICKET_BYTES_MAX:
        return -1
    key = _key(keys, <uint32_t> _get(&at, KEY_ID_BYTES))
    if key == NULL:
        return -1
    _context(key.id, ad)
    if sodium.xchacha20poly1305_ietf_decrypt(
            plain, &written, NULL, at + TICKET_NONCE, n - KEY_ID_BYTES - TICKET_NONCE, ad, AD_BYTES, at, key.key) == 0:
        rc = _read(plain, <size_t> written, out)
    if rc < 0:
        sodium.memzero(out, sizeof(Ticket))
    sodium.memzero(plain, sizeof(plain))
    return rc


class TicketFields(NamedTuple):
    """What a ticket says. Times are seconds of the wall clock."""

    psk: bytes
    conn: int
    session: int
    epoch: int
    node: int
    issued_s: int
    expires_s: int
    until_s: int
    rev: int
    serial: int
    platform: int
    user: str
    device: str


cdef int ticket_keys_fill(keys, TicketKeys* out) except -1:
    cdef bytes key
    memset(out, 0, sizeof(TicketKeys))
    if len(keys) > TICKET_KEYS:
        raise ValueError(f"at most {<int> TICKET_KEYS} ticket keys")
    for key_id, key in keys:
        if len(key) != TICKET_KEY_BYTES:
            raise ValueError(f"a ticket key is {<int> TICKET_KEY_BYTES} bytes")
        out.key[out.n].id = key_id
        memcpy(out.key[out.n].key, <const char*> key, TICKET_KEY_BYTES)
        out.n += 1
    return 0


def seal_ticket(keys, fields) -> bytes:
    """The ticket of these TicketFields under the first of [(key id, 32 bytes)]. ValueError for names above 64 bytes."""
    cdef TicketKeys ring
    cdef Ticket t
    cdef uint8_t nonce[TICKET_NONCE]
    cdef uint8_t out[TICKET_BYTES_MAX]
    cdef bytes psk = fields.psk, user = fields.user.encode(), device = fields.device.encode()
    cdef int n
    ticket_keys_fill(keys, &ring)
    if len(psk) != TICKET_PSK_BYTES or ring.n == 0 or len(user) > TICKET_NAME_MAX or len(device) > TICKET_NAME_MAX:
        raise ValueError("a psk of 32 bytes, a key, and names of at most 64 bytes")
    memset(&t, 0, sizeof(Ticket))
    memcpy(t.psk, <const char*> psk, TICKET_PSK_BYTES)
    t.conn, t.session, t.epoch, t.node = fields.conn, fields.session, fields.epoch, fields.node
    t.issued_s, t.expires_s, t.until_s = fields.issued_s, fields.expires_s, fields.until_s
    t.rev, t.serial, t.platform = fields.rev, fields.serial, fields.platform
    t.user_len, t.device_len = <uint8_t> len(user), <uint8_t> len(device)
    memcpy(t.user, <const char*> user, t.user_len)
    memcpy(t.device, <const char*> device, t.device_len)
    sodium.randombytes(nonce, TICKET_NONCE)
    n = ticket_seal(&ring, &t, nonce, out)
    sodium.memzero(&t, sizeof(Ticket))
    sodium.memzero(&ring, sizeof(TicketKeys))
    return out[:n]


def open_ticket(keys, bytes ticket not None):
    """The TicketFields under whichever of the keys it names. AuthenticationFailed for everything else."""
    cdef TicketKeys ring
    cdef Ticket t
    cdef int rc
    ticket_keys_fill(keys, &ring)
    rc = ticket_open(&ring, <const uint8_t*> <const char*> ticket, len(ticket), &t)
    sodium.memzero(&ring, sizeof(TicketKeys))
    if rc < 0:
        raise AuthenticationFailed("the ticket is not one of ours")
    fields = TicketFields(
        (<const char*> t.psk)[:TICKET_PSK_BYTES], t.conn, t.session, t.epoch, t.node, t.issued_s, t.expires_s, t.until_s,
        t.rev, t.serial, t.platform, t.user[: t.user_len].decode(), t.device[: t.device_len].decode(),
    )
    sodium.memzero(&t, sizeof(Ticket))
    return fields
