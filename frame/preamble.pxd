"""Preamble, REJECT and the TLVs of handshake payloads. Inline C: includes/preamble.h."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t


cdef extern from "frame/includes/preamble.h" nogil:
    enum:
        REJECT_HEADER_BYTES "QW_REJECT_HEADER"  # 5

    ctypedef struct Preamble "qw_preamble":
        uint8_t version
        uint8_t pattern
        uint8_t suite
        uint8_t flags
        uint16_t key_id

    ctypedef struct Flight "qw_flight":
        Preamble preamble
        size_t prologue_len
        const uint8_t* ticket  # NULL: the pattern has none
        size_t ticket_len
        const uint8_t* message
        size_t message_len

    ctypedef struct Tlv "qw_tlv":
        uint64_t tag
        const uint8_t* value
        size_t value_len

    # Judges the magic only; version, pattern, suite and flags are the caller's to REJECT.
    ptrdiff_t preamble_parse "qw_preamble_parse"(const uint8_t* p, size_t n, Preamble* out) noexcept
    # Preamble, ticket where the pattern has one, message 1. Empty tickets and short messages are MALFORMED, long ones TOO_BIG.
    ptrdiff_t flight_parse "qw_flight_parse"(const uint8_t* p, size_t n, Flight* out) noexcept
    size_t preamble_put "qw_preamble_put"(uint8_t* p, const Preamble* v) noexcept  # writes 8
    # One TLV; NEED_MORE at the end of a complete payload means malformed.
    ptrdiff_t tlv_parse "qw_tlv_parse"(const uint8_t* p, size_t n, Tlv* out) noexcept
    # The 5 bytes before the data of a REJECT.
    size_t reject_header_put "qw_reject_header_put"(uint8_t* p, int code, size_t data_len) noexcept
