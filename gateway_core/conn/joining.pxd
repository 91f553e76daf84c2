"""The messages of a batch as one buffer: what a member knows from the message before is not said again.

EVENT ROOM_MESSAGES of one room that follow each other become one frame (docs/PROTOCOL.md, 11); every other frame stays
as it is. Made once for all members.
"""

from libc.stdint cimport uint8_t, uint32_t

from crypto.zstd cimport Dictionary
from gateway_core.leaf.shared_buf cimport SharedBuf

cdef enum:
    CUTS_MAX = 16  # records of a batch: four of 16 KiB, and what does not divide well

cdef struct Cuts:  # where the records of a batch end, between frames
    uint32_t n
    uint32_t end[CUTS_MAX]

# A reference to the joined buffer, NULL without memory. Its `frames` counts messages.
cdef SharedBuf* join_parts(SharedBuf** part, uint32_t n, uint8_t cls, Cuts* cuts) noexcept nogil
# The same with its frames compressed where that pays; NULL: nowhere, or no memory.
cdef SharedBuf* join_packed(SharedBuf** part, uint32_t n, uint8_t cls, Cuts* cuts, void* compressor, const Dictionary* d) noexcept nogil
