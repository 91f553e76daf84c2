from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memmove, memset

from cmodules cimport layout
from frame.constants cimport FRAME_EVENT, RECORD_TARGET_PLAINTEXT
from frame.frames cimport FRAME_HEADER_BYTES, frame_header_put
from frame.room_messages cimport (
    ROOM_MESSAGE_HEAD_BYTES,
    RoomMessage,
    room_head_parse,
    room_message_head_put,
    room_message_parse,
    zigzag,
)
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.leaf.shared_buf cimport (
    PACKED_HEADER_BYTES,
    buf_data,
    buf_packed_by,
    buf_raw,
    buf_ref,
    buf_unref,
    frame_pack,
)

LAYOUT = layout()

cdef enum:
    NAMES = 256  # cells of the table of a frame's senders; who is displaced is named again
    HEADER = 3  # bytes kept free for the header of a frame that others join: of a body of 128 to 16,383 bytes

cdef struct Name:
    const uint8_t* at
    uint8_t size
    uint16_t number

cdef struct Room:  # the message of a part
    const uint8_t* room
    size_t room_len
    RoomMessage said

cdef struct Joint:
    uint8_t* out
    size_t at
    size_t record  # where the open record begins
    Cuts* cuts
    # the frame that takes further messages; 0 messages: none
    size_t begin
    uint32_t messages
    Room last
    uint16_t names
    void* compressor  # NULL: nothing is compressed
    const Dictionary* dictionary
    bint packed  # something was
    Name name[NAMES]


cdef inline bint _said(SharedBuf* b, Room* r) noexcept nogil:
    """Is this a plain frame of one room message? `r` is filled then."""
    cdef const uint8_t* body = buf_data(b) + b.body_at
    cdef size_t n = b.size - b.body_at
    cdef int head
    if b.body_at == 0 or buf_data(b)[0] != FRAME_EVENT:
        return False
    head = room_head_parse(body, n, &r.room, &r.room_len)
    if head < 0:
        return False
    r.said.server_id = 0
    r.said.time_ms = 0
    return room_message_parse(body + head, n - head, &r.said) == <ptrdiff_t>n - head and r.said.sender != NULL


cdef inline uint64_t _who(Joint* j, const Room* r) noexcept nogil:
    """How the sender is written; a new one is remembered."""
    cdef Name* name = &j.name[qw_hash(<const char*>r.said.sender, r.said.sender_len, 0) & (NAMES - 1)]
    if name.at != NULL and name.size == r.said.sender_len and memcmp(name.at, r.said.sender, name.size) == 0:
        return 2 * <uint64_t>name.number + 1
    name.at = r.said.sender
    name.size = <uint8_t>r.said.sender_len
    name.number = j.names
    j.names += 1
    return 2 * <uint64_t>r.said.sender_len


cdef void _close(Joint* j) noexcept nogil:
    """The frame takes no more: its header is known."""
    cdef uint8_t header[FRAME_HEADER_BYTES]
    cdef uint8_t* body = j.out + j.begin + HEADER
    cdef uint8_t* scratch
    cdef size_t n, size
    if j.messages == 0:
        return
    size = j.at - j.begin - HEADER
    j.messages = 0
    if j.compressor != NULL:
        scratch = <uint8_t*>malloc(size + PACKED_HEADER_BYTES)
        n = frame_pack(scratch, FRAME_EVENT, body, size, j.compressor, j.dictionary) if scratch != NULL else 0
        if n:
            memcpy(j.out + j.begin, scratch, n)
            j.at = j.begin + n
            j.packed = True
        free(scratch)
        if n:
            return
    n = frame_header_put(header, FRAME_EVENT, 0, 0, size)
    if n != HEADER:
        memmove(j.out + j.begin + n, body, size)
    memcpy(j.out + j.begin, header, n)
    j.at = j.begin + n + size


cdef void _open(Joint* j, SharedBuf* b, const Room* r) noexcept nogil:
    cdef size_t size = b.size - b.body_at
    j.begin = j.at
    memcpy(j.out + j.begin + HEADER, buf_data(b) + b.body_at, size)
    j.at += HEADER + size
    j.messages = 1
    j.last = r[0]
    j.names = 0
    memset(j.name, 0, sizeof(j.name))
    _who(j, r)


cdef bint _add(Joint* j, const Room* r, size_t alone) noexcept nogil:
    """Behind the messages of the open frame; 0 where that is no shorter than `alone`: nothing grows by being joined."""
    cdef uint8_t head[ROOM_MESSAGE_HEAD_BYTES]
    cdef const RoomMessage* m = &r.said
    cdef uint64_t who = _who(j, r)
    cdef size_t n = room_message_head_put(
        head, m.shape, zigzag(j.last.said.server_id, m.server_id), zigzag(j.last.said.time_ms, m.time_ms), who
    )
    cdef size_t name = 0 if who & 1 else m.sender_len
    if n + name + m.rest_len + HEADER > alone:
        return False
    memcpy(j.out + j.at, head, n)
    memcpy(j.out + j.at + n, m.sender, name)
    memcpy(j.out + j.at + n + name, m.rest, m.rest_len)
    j.at += n + name + m.rest_len
    j.messages += 1
    j.last = r[0]
    return True


cdef void _put(Joint* j, SharedBuf* b) noexcept nogil:
    cdef SharedBuf* form = b
    cdef Room r
    cdef bint said = _said(b, &r)
    if j.at > j.record and j.at - j.record + b.size > RECORD_TARGET_PLAINTEXT:
        _close(j)
        j.cuts.end[j.cuts.n] = <uint32_t>j.at
        j.cuts.n += 1
        j.record = j.at
    if said and j.messages and r.room_len == j.last.room_len and memcmp(r.room, j.last.room, r.room_len) == 0:
        if _add(j, &r, b.size):
            return
    _close(j)
    if said:
        _open(j, b, &r)
        return
    if j.compressor != NULL:
        form = buf_packed_by(b, j.compressor, j.dictionary)
        j.packed |= form != b
    memcpy(j.out + j.at, buf_data(form), form.size)
    j.at += form.size


cdef SharedBuf* _joined(SharedBuf** part, uint32_t n, uint8_t cls, Cuts* cuts, void* compressor,
                        const Dictionary* d) noexcept nogil:
    cdef size_t size = 0
    cdef uint32_t i
    cdef SharedBuf* b
    cdef Joint j
    for i in range(n):
        size += part[i].size
    b = buf_raw(size + FRAME_HEADER_BYTES)  # while a frame is open its header may be longer
    if b == NULL:
        return NULL
    j.out = buf_data(b)
    j.at = j.record = 0
    j.cuts = cuts
    j.messages = 0
    j.compressor = compressor
    j.dictionary = d
    j.packed = False
    cuts.n = 0
    for i in range(n):
        _put(&j, part[i])
        b.frames += part[i].frames
        b.msgs += part[i].msgs
    _close(&j)
    cuts.end[cuts.n] = <uint32_t>j.at
    cuts.n += 1
    b.size = <uint32_t>j.at
    b.cls = cls
    if compressor != NULL and not j.packed:
        buf_unref(b)
        return NULL
    return b


cdef SharedBuf* join_parts(SharedBuf** part, uint32_t n, uint8_t cls, Cuts* cuts) noexcept nogil:
    if n > 1:
        return _joined(part, n, cls, cuts, NULL, NULL)
    cuts.n = 1
    cuts.end[0] = part[0].size
    return buf_ref(part[0])


cdef SharedBuf* join_packed(SharedBuf** part, uint32_t n, uint8_t cls, Cuts* cuts, void* compressor,
                            const Dictionary* d) noexcept nogil:
    cdef SharedBuf* form
    if compressor == NULL:
        return NULL
    if n > 1:
        return _joined(part, n, cls, cuts, compressor, d)
    form = buf_packed_by(part[0], compressor, d)
    if form == part[0]:
        return NULL
    cuts.n = 1
    cuts.end[0] = form.size
    return buf_ref(form)
