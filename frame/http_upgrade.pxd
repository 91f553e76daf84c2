"""HTTP/1.1 upgrade to WebSocket (RFC 6455 section 4.2). Inline C: includes/http_upgrade.h."""

from libc.stdint cimport uint8_t, uint32_t


cdef extern from "frame/includes/http_upgrade.h" nogil:
    enum:
        WS_KEY_BYTES "QW_WS_KEY_SIZE"  # 24
        UPGRADE_RESPONSE_BYTES "QW_UPGRADE_RESPONSE_MAX"  # 256, room for either answer

    ctypedef struct Upgrade "qw_upgrade":
        int status  # 101; else refuse by it: 400, 404 (path is not /qw1), 426 (no upgrade, or not version 13)
        uint8_t key[WS_KEY_BYTES]
        uint8_t offers  # 1: subprotocols were offered
        uint8_t has_qw1  # 1: "qw1" among them
        uint8_t known  # 1: the query says that the client was logged in before
        const uint8_t* path  # up to '?'; slices point into the input
        size_t path_len
        const uint8_t* query
        size_t query_len
        const uint8_t* origin
        size_t origin_len  # 0: none
        const uint8_t* host
        size_t host_len

    # Consumed = the whole head, which must end within max_bytes. Judge out.status afterwards.
    ptrdiff_t upgrade_parse "qw_upgrade_parse"(
        const uint8_t* p, size_t n, size_t max_bytes, Upgrade* out
    ) noexcept
    # The same, without searching again the `seen` bytes of an earlier call that answered NEED_MORE.
    ptrdiff_t upgrade_parse_more "qw_upgrade_parse_more"(
        const uint8_t* p, size_t n, size_t seen, size_t max_bytes, Upgrade* out
    ) noexcept
    # Answers; room for 256 bytes. Refusals: 400, 403, 404, 426; 503 says when to come again.
    size_t upgrade_response_put "qw_upgrade_response_put"(uint8_t* p, const Upgrade* u) noexcept
    size_t upgrade_refusal_put "qw_upgrade_refusal_put"(uint8_t* p, int status) noexcept
    size_t upgrade_later_put "qw_upgrade_later_put"(uint8_t* p, uint32_t retry_after_s) noexcept
    void ws_accept "qw_ws_accept"(const uint8_t* key, uint8_t* accept) noexcept  # 24 -> 28 characters
