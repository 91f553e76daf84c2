"""Records, handshake messages and big-endian integers. Inline C: includes/record.h, includes/bytes.h."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "frame/includes/record.h" nogil:
    enum:
        RECORD_HEADER_BYTES "QW_RECORD_HEADER"  # 2, the length

    # Consumed = 2 + sealed_len, the sealed bytes stand at p + 2. Below min_len MALFORMED, above max_len TOO_BIG.
    ptrdiff_t record_parse "qw_record_parse"(
        const uint8_t* p, size_t n, size_t min_len, size_t max_len, size_t* sealed_len
    ) noexcept

    void put_u16 "qw_put_u16"(uint8_t* p, uint16_t v) noexcept
    void put_u32 "qw_put_u32"(uint8_t* p, uint32_t v) noexcept
    void put_u64 "qw_put_u64"(uint8_t* p, uint64_t v) noexcept
    uint16_t get_u16 "qw_get_u16"(const uint8_t* p) noexcept
    uint32_t get_u32 "qw_get_u32"(const uint8_t* p) noexcept
    uint64_t get_u64 "qw_get_u64"(const uint8_t* p) noexcept
