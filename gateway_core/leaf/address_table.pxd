"""How many connections an address has and how fast they come.

One table for all loops (SO_REUSEPORT spreads an address over them), bounded, under a spin lock held for a few dozen
instructions on accept and close only.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum AddressVerdict:
    ADDRESS_OK = 0
    ADDRESS_TOO_MANY = 1
    ADDRESS_TOO_FAST = 2
    ADDRESS_NET_FULL = 3

cdef enum:
    KEY_WORDS = 2  # an address, or a /64 and 1

cdef struct AddressLimits:  # 0 = no limit
    uint32_t connections
    uint32_t accepts_per_s
    uint32_t accepts_burst
    uint32_t net64_connections  # of one IPv6 /64

cdef struct AddressEntry:
    uint64_t key[KEY_WORDS]
    uint32_t conns
    uint32_t stamp_ms
    float tokens
    uint32_t parent  # entry of the /64

cdef struct AddressTable:
    uint32_t lock
    uint32_t mask
    AddressEntry* at
    AddressLimits limits
    uint64_t seed

cdef int addresses_init(AddressTable* t, const AddressLimits* limits, uint64_t seed) noexcept nogil  # 0 or -1
cdef void addresses_free(AddressTable* t) noexcept nogil
# Judges one new connection from ip16; on ADDRESS_OK *ref names what address_leave gives back (NONE32: not counted).
cdef int address_enter(AddressTable* t, uint64_t now_ns, const uint8_t* ip16, uint32_t* ref) noexcept nogil
cdef void address_leave(AddressTable* t, uint32_t ref) noexcept nogil
