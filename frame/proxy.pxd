"""PROXY protocol version 2, accepted from listed balancers only. Inline C: includes/proxy.h."""

from libc.stdint cimport uint8_t, uint16_t


cdef extern from "frame/includes/proxy.h" nogil:
    enum:
        PROXY_ADDRESS_BYTES "QW_PROXY_ADDRESS"  # 16
        PROXY_LENGTH_MAX "QW_PROXY_MAX_LENGTH"  # 512 bytes of addresses and TLVs after the 16-byte header

    ctypedef struct ProxyHeader "qw_proxy_header":
        uint8_t family  # 0: no address (LOCAL, UNSPEC, UNIX), 4, 6
        uint8_t local  # 1: the balancer's own connection
        uint8_t source[PROXY_ADDRESS_BYTES]  # network order; IPv4 in the first 4 bytes
        uint8_t target[PROXY_ADDRESS_BYTES]
        uint16_t source_port
        uint16_t target_port

    # Consumed = 16 + addresses + TLVs.
    ptrdiff_t proxy_v2_parse "qw_proxy_v2_parse"(const uint8_t* p, size_t n, ProxyHeader* out) noexcept
