"""Frames inside records, and the bodies the gateway reads itself. Inline C: includes/frames.h."""

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "frame/includes/frames.h" nogil:
    enum:
        FRAME_HEADER_BYTES "QW_FRAME_HEADER_MAX"  # 21, the longest header
        REPLY_HEADER_BYTES "QW_REPLY_HEADER_MAX"  # 20, the most that stands before the payload of a reply

    ctypedef struct Frame "qw_frame":
        uint8_t type  # 0..31; unknown types are the caller's to skip (24-31) or refuse
        uint8_t flags  # FLAG_COMPRESSED | FLAG_ACK as they stood in the header
        uint64_t ack  # 0 without FLAG_ACK
        const uint8_t* body  # into the input
        size_t body_len

    ctypedef struct Request "qw_request":
        uint64_t request
        const uint8_t* name  # target of SEND, method of CALL; UTF-8 not judged
        size_t name_len  # 0..255
        const uint8_t* payload
        size_t payload_len

    ctypedef struct Reply "qw_reply":
        uint64_t request
        uint64_t code  # 0 = ok
        const uint8_t* payload
        size_t payload_len

    ctypedef struct AuthBody "qw_auth_body":
        uint8_t kind  # AUTH_BEARER, AUTH_KEY_BOUND; others are the caller's to refuse
        uint8_t platform
        const uint8_t* token
        size_t token_len
        const uint8_t* binding
        size_t binding_len
        const uint8_t* device
        size_t device_len
        const uint8_t* extras  # msgpack map, may be empty
        size_t extras_len
        uint8_t declines  # extras say that it takes up no sessions

    ctypedef struct Ping "qw_ping":
        uint8_t state
        uint64_t next_interval_s  # 0: not announced

    ctypedef struct Compressed "qw_compressed":
        size_t raw_len  # size after decompression, within MAX_RAW_BODY and MAX_RATIO
        const uint8_t* packed  # one zstd frame
        size_t packed_len

    ptrdiff_t frame_parse "qw_frame_parse"(const uint8_t* p, size_t n, size_t max_body, Frame* out) noexcept
    # Writes the ack when flags carry FLAG_ACK; room for 21 bytes.
    size_t frame_header_put "qw_frame_header_put"(
        uint8_t* p, int type, int flags, uint64_t ack, size_t body_len
    ) noexcept

    # Bodies are complete: 1, or MALFORMED for anything short or left over.
    int request_parse "qw_request_parse"(const uint8_t* body, size_t n, Request* out) noexcept
    int reply_parse "qw_reply_parse"(const uint8_t* body, size_t n, Reply* out) noexcept
    int auth_parse "qw_auth_parse"(const uint8_t* body, size_t n, AuthBody* out) noexcept
    int ping_parse "qw_ping_parse"(const uint8_t* body, size_t n, Ping* out) noexcept
    # Body of a frame with FLAG_COMPRESSED: 1, MALFORMED, or TOO_BIG by MAX_RAW_BODY and MAX_RATIO.
    int compressed_parse "qw_compressed_parse"(const uint8_t* body, size_t n, Compressed* out) noexcept
    # What stands before the payload of SEND_ACK and RETURN; room for 20 bytes.
    size_t reply_header_put "qw_reply_header_put"(uint8_t* p, uint64_t request, uint64_t code) noexcept
