"""Ids and targets, as the specification writes them. Inline C: includes/names.h."""

from libc.stdint cimport uint8_t


cdef extern from "frame/includes/names.h" nogil:
    enum:
        GROUP_PREFIX_BYTES "QW_GROUP_PREFIX_BYTES"
        ROOM_PREFIX_BYTES "QW_ROOM_PREFIX_BYTES"
        USER_PREFIX_BYTES "QW_USER_PREFIX_BYTES"

    const char* GROUP_PREFIX "QW_GROUP_PREFIX"
    const char* ROOM_PREFIX "QW_ROOM_PREFIX"
    const char* USER_PREFIX "QW_USER_PREFIX"

    bint id_valid "qw_id_valid"(const uint8_t* p, size_t n) noexcept  # matches ID_PATTERN as a whole
    bint is_user_topic "qw_is_user_topic"(const char* p, size_t n) noexcept  # USER_PREFIX and a user
