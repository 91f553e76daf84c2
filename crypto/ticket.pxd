# Resumption tickets: what a login established, sealed under a key that the nodes of a cluster share. XChaCha20-Poly1305
# with a random nonce, so that nodes need no counter between them.
#
#   u32 key id | nonce 24 | sealed { version 1, psk 32, conn 8, session 8, epoch 8, node 2, issued 4, expires 4, until 4,
#                                    rev 4, serial 1, platform 1, u8 len user, u8 len device } | tag 16
#
# Associated data: "qw1 ticket" and the key id. A psk is as secret as what it opens: who is done with a Ticket wipes it.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    TICKET_KEYS = 4                   # in use at a time: one seals, the others still open
    TICKET_KEY_BYTES = 32
    TICKET_PSK_BYTES = 32
    TICKET_NAME_MAX = 64              # bytes of a user id, and of a device id
    TICKET_NONCE = 24
    TICKET_TAG = 16
    TICKET_FIXED = 79                 # plaintext without the names
    TICKET_BYTES_MAX = 251            # 4 + nonce + TICKET_FIXED + both names + tag

cdef struct TicketKey:
    uint32_t id
    uint8_t key[TICKET_KEY_BYTES]

cdef struct TicketKeys:
    uint32_t n                        # 0: no ticket is made or taken
    TicketKey key[TICKET_KEYS]        # the first one seals

cdef struct Ticket:
    uint8_t psk[TICKET_PSK_BYTES]
    uint64_t conn
    uint64_t session
    uint64_t epoch
    uint32_t issued_s                 # of the wall clock, as the next two
    uint32_t expires_s
    uint32_t until_s                  # end of the token that the login had: no ticket from this one lives longer
    uint32_t rev                      # the login's own word, carried along
    uint16_t node
    uint8_t serial                    # counts the tickets of a session
    uint8_t platform
    uint8_t user_len
    uint8_t device_len
    char user[TICKET_NAME_MAX]
    char device[TICKET_NAME_MAX]

# Bytes written to `out` (room for TICKET_BYTES_MAX), or -1 without a key or with a name that is too long. `nonce24` is the
# caller's randomness.
cdef int ticket_seal(const TicketKeys* keys, const Ticket* t, const uint8_t* nonce24, uint8_t* out) noexcept nogil
# 0, or -1: no key of that id, not authentic, or of another version; `out` is zero then.
cdef int ticket_open(const TicketKeys* keys, const uint8_t* p, size_t n, Ticket* out) noexcept nogil
# [(key id, 32 bytes)], the first one seals. ValueError for too many, or keys of another length.
cdef int ticket_keys_fill(keys, TicketKeys* out) except -1
