"""EVENT ROOM_MESSAGES. Inline C: includes/room_messages.h."""

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "frame/includes/room_messages.h" nogil:
    enum:
        ROOM_MESSAGE_HEAD_BYTES "QW_ROOM_MESSAGE_HEAD_MAX"  # 31, the most that stands before a name
        ROOM_HEAD_BYTES "QW_ROOM_HEAD_MAX"  # kind and room

    ctypedef struct RoomMessage "qw_room_message":
        uint64_t server_id  # below 2^63
        uint64_t time_ms
        const uint8_t* sender  # NULL: the name number sender_at of the frame, if there are so many
        size_t sender_len
        uint64_t sender_at
        uint64_t seq  # 0: none
        const uint8_t* rest  # seq and content as they stand
        size_t rest_len
        const uint8_t* content  # ROOM_TEXT: the text; else msgpack, not judged
        size_t content_len
        uint8_t shape

    uint64_t zigzag "qw_zigzag"(uint64_t from_, uint64_t to) noexcept
    # What stands before the messages: bytes used, or MALFORMED.
    int room_head_parse "qw_room_head_parse"(const uint8_t* p, size_t n, const uint8_t** room, size_t* room_len) noexcept
    # One message; `m` holds id and time of the one before it, 0 for the first. Bytes used, or MALFORMED.
    ptrdiff_t room_message_parse "qw_room_message_parse"(const uint8_t* p, size_t n, RoomMessage* m) noexcept
    # id and time are differences; who: 2 x length of the name to follow, or 2 x number + 1. The bytes written.
    size_t room_message_head_put "qw_room_message_head_put"(
        uint8_t* p, uint8_t shape, uint64_t id, uint64_t time, uint64_t who
    ) noexcept
