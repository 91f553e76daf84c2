"""WebSocket frames (RFC 6455 section 5) without extensions. Inline C: includes/websocket.h."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t


cdef extern from "frame/includes/websocket.h" nogil:
    enum:
        WS_CONTINUATION "QW_WS_CONTINUATION"
        WS_TEXT "QW_WS_TEXT"
        WS_BINARY "QW_WS_BINARY"
        WS_CLOSE "QW_WS_CLOSE"
        WS_PING "QW_WS_PING"
        WS_PONG "QW_WS_PONG"
        # codes of a close
        WS_NORMAL "QW_WS_NORMAL"
        WS_GOING_AWAY "QW_WS_GOING_AWAY"
        WS_PROTOCOL_ERROR "QW_WS_PROTOCOL_ERROR"
        WS_UNSUPPORTED "QW_WS_UNSUPPORTED"
        WS_NO_CODE "QW_WS_NO_CODE"
        WS_TOO_BIG "QW_WS_TOO_BIG"
        WS_TRY_LATER "QW_WS_TRY_LATER"
        WS_HEADER_BYTES "QW_WS_HEADER_MAX"  # 14, the longest header
        WS_MASK_BYTES "QW_WS_MASK_SIZE"  # 4
        WS_CONTROL_MAX "QW_WS_CONTROL_MAX"  # 125, the longest control payload

    ctypedef struct WsHeader "qw_ws_header":
        uint8_t opcode
        uint8_t fin
        uint8_t masked
        uint8_t mask[WS_MASK_BYTES]  # zeros when not masked
        uint64_t payload_len

    # Consumed = the header alone. RSV, opcodes, shortest lengths, control rules; the mask's presence is the caller's.
    ptrdiff_t ws_header_parse "qw_ws_header_parse"(
        const uint8_t* p, size_t n, uint64_t max_payload, WsHeader* out
    ) noexcept
    # Fragmentation: *message = opcode of the message under way, 0 for none. 1 or MALFORMED.
    int ws_sequence "qw_ws_sequence"(uint8_t* message, const WsHeader* h) noexcept
    # XOR in place; offset = payload bytes of this frame before p.
    void ws_mask "qw_ws_mask"(uint8_t* p, size_t n, const uint8_t* mask, uint64_t offset) noexcept
    # Final frames: server side unmasked (room for 10 bytes), client side masked (14; payload masked by the caller).
    size_t ws_header_put "qw_ws_header_put"(uint8_t* p, int opcode, uint64_t payload_len) noexcept
    size_t ws_header_put_masked "qw_ws_header_put_masked"(
        uint8_t* p, int opcode, uint64_t payload_len, const uint8_t* mask
    ) noexcept
    # Whole unmasked close payload. 1 with its code (NO_CODE when empty); MALFORMED with the code to answer.
    int ws_close_parse "qw_ws_close_parse"(const uint8_t* p, size_t n, uint16_t* code) noexcept
    bint ws_close_code_valid "qw_ws_close_code_valid"(unsigned code) noexcept
