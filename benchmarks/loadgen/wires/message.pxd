"""The msgpack of a Message and of a SEND payload, as far as the generator needs it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from benchmarks.loadgen.stamp cimport Stamp

# The text of a Message array of 11 fields whose body (field 7) is {"text": str}; the whole array is checked.
# 1, 0 for a well-formed message without a text, -1 malformed.
cdef int message_text(const uint8_t* p, size_t n, const uint8_t** text, size_t* size) noexcept nogil

# [client_id, 0, {"text": text}, options|nil, nil] with client_id = 8 hex of run, 6 of publisher, 8 of sequence.
# Writes at most SEND_OVERHEAD + size bytes.
cdef enum:
    SEND_OVERHEAD = 96
cdef size_t send_put(uint8_t* p, uint32_t run, const Stamp* stamp, size_t size, int online_only) noexcept nogil

# {"room": topic without its "r/"}; at most n + 16 bytes.
cdef size_t room_put(uint8_t* p, const uint8_t* topic, size_t n) noexcept nogil
