"""The QW1 client of the swarm.

Client ephemerals come from a small pool made once: message 1 is prepared, and a handshake costs the client one DH
instead of three, so that the generator is not what limits a connect storm. The server does its full work each time
and cannot tell. (A real client must never do this: see the Noise specification, section 14.)
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy, memset

from benchmarks.loadgen.delivery cimport count_record, deliver, note_begin, note_end, recall
from benchmarks.loadgen.histogram cimport hist_add_ns
from benchmarks.loadgen.sockets cimport client_write
from benchmarks.loadgen.stamp cimport Stamp, stamp_put
from benchmarks.loadgen.types cimport (
    ACK_RING,
    AUTHENTICATING,
    BATCH_SIZE,
    GREETING,
    LIVE,
    MARK_GREETED,
    MARK_JOINED,
    MARK_REKEY,
    Client,
    Memo,
    Swarm,
)
from benchmarks.loadgen.wires.carriage cimport CARRIAGE_HEAD, carriage_greet, carriage_head
from benchmarks.loadgen.wires.message cimport message_text, room_put, send_put
from cmodules cimport layout
from crypto.aead cimport CipherState, aead_open, aead_rekey, aead_seal, aead_tag_size
from crypto.handshake cimport DH_BYTES, NOISE_MAX_PAYLOAD, NOISE_MESSAGE_OVERHEAD
from crypto.handshake cimport NOISE_PATTERN_NK
from crypto.noise cimport NoiseInitiator, noise_keypair, noise_finish, noise_start
from crypto.symmetric cimport BLOCK_BYTES, HASH_BYTES, sha256
from crypto.zstd cimport zstd_decompress
from frame.constants cimport (
    AUTH_BEARER,
    EVENT_ROOM_MESSAGES,
    FLAG_COMPRESSED,
    FRAME_ACK,
    FRAME_AUTH,
    FRAME_AUTH_OK,
    FRAME_CALL,
    FRAME_CLOSE,
    FRAME_ERROR,
    FRAME_EVENT,
    FRAME_GOAWAY,
    FRAME_MSG,
    FRAME_PING,
    FRAME_PONG,
    FRAME_REKEY,
    FRAME_RETURN,
    FRAME_SEND,
    FRAME_SEND_ACK,
    MAX_BODY,
    PLATFORM_SERVER,
    PREAMBLE_SIZE,
    REKEY_RECORDS,
    ROOM_TEXT,
)
from frame.frames cimport (
    FRAME_HEADER_BYTES, Compressed, Frame, Reply, compressed_parse, frame_header_put, frame_parse, reply_parse,
)
from frame.record cimport get_u16, put_u16, record_parse
from frame.room_messages cimport RoomMessage, room_head_parse, room_message_parse
from frame.varint cimport UV_MAX, uv_get, uv_put

LAYOUT = layout()

cdef enum:
    MESSAGE1_SIZE = NOISE_MESSAGE_OVERHEAD
    AUTH_BODY_MAX = 1024
    TOKEN_MOST = 800                # of it
    CALL_BODY_MAX = 192
    TOPIC_MAX = 66                  # "r/" and the longest name
    REKEY_FRAME = 2                 # bytes that write_record may add
    PING_BODY_MAX = 1 + UV_MAX
    TARGET_MAX = 255                # one byte counts them
    CONTEXT_SIZE = 8                # "qw1 auth"
    FIRST_WORDS = 58                # preamble, length, message 1
    ACK_EVERY = 32                  # MSG frames between acknowledgements
    JOIN_REQUEST = 1                # request numbers below 2 are calls, the others sends


cdef int qw1_open(Swarm* s, int pool_size) except -1:
    cdef uint8_t private[DH_BYTES]
    cdef uint8_t public[DH_BYTES]
    cdef int i, size
    cdef uint8_t* words
    s.wire.greet = greet
    s.wire.feed = feed
    s.wire.join = join
    s.wire.append = append
    s.wire.flush = flush
    s.wire.ping = ping
    s.pool = <NoiseInitiator*>malloc(pool_size * sizeof(NoiseInitiator))
    s.pool_message1 = <uint8_t*>malloc(pool_size * FIRST_WORDS)
    if s.pool == NULL or s.pool_message1 == NULL:
        raise MemoryError
    if aead_tag_size(s.suite) < 0:
        raise ValueError("this machine has no such suite")
    for i in range(pool_size):
        words = s.pool_message1 + i * FIRST_WORDS
        memcpy(words, s.preamble, PREAMBLE_SIZE)
        noise_keypair(private, public)
        size = noise_start(NOISE_PATTERN_NK, s.suite, s.preamble, PREAMBLE_SIZE, s.server_key, NULL, private, public, NULL, 0,
                              words + 10, &s.pool[i])
        if size != MESSAGE1_SIZE:
            raise ValueError("the server key is not a valid X25519 point")
        put_u16(words + 8, MESSAGE1_SIZE)
    s.pool_size = pool_size
    return 0


cdef int greet(Swarm* s, uint32_t id) noexcept nogil:
    if s.framing != NULL:
        return carriage_greet(s, id)
    return first_words(s, id)


cdef int first_words(Swarm* s, uint32_t id) noexcept nogil:
    """Preamble and message 1."""
    s.clients[id].pooled = <uint8_t>(id % s.pool_size)
    memcpy(s.sealed + CARRIAGE_HEAD, s.pool_message1 + s.clients[id].pooled * FIRST_WORDS, FIRST_WORDS)
    return write(s, id, s.sealed + CARRIAGE_HEAD, FIRST_WORDS)


cdef inline int write(Swarm* s, uint32_t id, uint8_t* p, size_t n) noexcept nogil:
    """Bytes of the stream; there are CARRIAGE_HEAD bytes free before p."""
    cdef size_t head = carriage_head(p, n) if s.framing != NULL else 0
    return client_write(s, id, p - head, n + head)


cdef int write_record(Swarm* s, uint32_t id, uint8_t* plain, size_t n) noexcept nogil:
    """Seal one record and write it; a REKEY frame is added when the key is old: 2^14 records, or 14 minutes (in ns)."""
    cdef Client* c = &s.clients[id]
    cdef int rekey = c.state == LIVE and (c.tx.n % (REKEY_RECORDS - 1) == REKEY_RECORDS - 2
                                          or s.now - s.started[id] > <uint64_t>840000000000ULL)
    cdef uint8_t* out = s.sealed + CARRIAGE_HEAD
    cdef int sealed
    if rekey:
        n += frame_header_put(plain + n, FRAME_REKEY, 0, 0, 0)
    sealed = aead_seal(s.suite, &c.tx, plain, n, out + 2)
    if sealed < 0:
        return -1
    put_u16(out, <uint16_t>sealed)
    if rekey:
        s.started[id] = s.now
        aead_rekey(s.suite, &c.tx)
    return write(s, id, out, <size_t>sealed + 2)


cdef void binding_of(const uint8_t* token, size_t n, const uint8_t* handshake_hash, uint8_t* out) noexcept nogil:
    """HMAC-SHA256(SHA-256(token), "qw1 auth" || handshake hash)."""
    cdef uint8_t key[BLOCK_BYTES]
    cdef uint8_t block[BLOCK_BYTES + CONTEXT_SIZE + HASH_BYTES]
    cdef int i
    memset(key, 0, sizeof(key))
    sha256(token, n, key)
    for i in range(BLOCK_BYTES):
        block[i] = key[i] ^ 0x36
    memcpy(block + BLOCK_BYTES, b"qw1 auth", CONTEXT_SIZE)
    memcpy(block + BLOCK_BYTES + CONTEXT_SIZE, handshake_hash, HASH_BYTES)
    sha256(block, sizeof(block), out)
    for i in range(BLOCK_BYTES):
        block[i] = key[i] ^ 0x5C
    memcpy(block + BLOCK_BYTES, out, HASH_BYTES)
    sha256(block, BLOCK_BYTES + HASH_BYTES, out)


cdef int authenticate(Swarm* s, uint32_t id, const uint8_t* handshake_hash) noexcept nogil:
    cdef uint8_t body[AUTH_BODY_MAX]
    cdef uint8_t plain[FRAME_HEADER_BYTES + AUTH_BODY_MAX + REKEY_FRAME]
    cdef size_t at = 1, head
    cdef const uint8_t* token = s.tokens + s.token_at[id]
    cdef size_t size = s.token_at[id + 1] - s.token_at[id]
    if size > TOKEN_MOST:
        return -1
    body[0] = AUTH_BEARER
    at += uv_put(body + at, size)
    memcpy(body + at, token, size)
    at += size
    at += uv_put(body + at, HASH_BYTES)
    binding_of(token, size, handshake_hash, body + at)
    at += HASH_BYTES
    at += uv_put(body + at, 2)
    memcpy(body + at, b"d1", 2)
    body[at + 2] = PLATFORM_SERVER
    body[at + 3] = 0
    at += 4
    head = frame_header_put(plain, FRAME_AUTH, 0, 0, at)
    memcpy(plain + head, body, at)
    return write_record(s, id, plain, head + at)


cdef ptrdiff_t feed_handshake(Swarm* s, uint32_t id, uint8_t* p, size_t n) noexcept nogil:
    """Message 2, or a REJECT; then AUTH."""
    cdef Client* c = &s.clients[id]
    cdef NoiseInitiator initiator
    cdef uint8_t payload[NOISE_MAX_PAYLOAD]
    cdef uint8_t handshake_hash[HASH_BYTES]
    cdef size_t payload_len = 0, size
    if n < 2:
        return 0
    size = get_u16(p)
    if size == 0:
        if n >= 3:
            s.n.rejected += 1
            s.n.close_code = p[2]
            return -1
        return 0
    if n < 2 + size:
        return 0
    if size < NOISE_MESSAGE_OVERHEAD or size - NOISE_MESSAGE_OVERHEAD > sizeof(payload):
        return -1
    initiator = s.pool[c.pooled]
    if noise_finish(s.suite, &initiator, p + 2, size, payload, &payload_len, &c.rx, &c.tx, handshake_hash) != 0:
        return -1
    c.state = AUTHENTICATING
    s.n.handshaken += 1
    if s.tokens == NULL:
        hist_add_ns(&s.login, s.now, s.started[id])
    elif authenticate(s, id, handshake_hash) != 0:
        return -1
    return 2 + <ptrdiff_t>size


cdef void answered(Swarm* s, uint32_t id, const Frame* f) noexcept nogil:
    """SEND_ACK and RETURN."""
    cdef Reply r
    cdef uint64_t due
    if reply_parse(f.body, f.body_len, &r) != 1:
        s.n.foreign += 1
        return
    if r.code != 0:
        s.n.refused += 1
        s.n.refusal_code = r.code
    if f.type == FRAME_RETURN:
        if r.code == 0 and r.request == JOIN_REQUEST:
            s.clients[id].marks |= MARK_JOINED
            s.n.joined += 1
        return
    if r.code == 0:
        due = s.due[r.request & (ACK_RING - 1)]
        s.n.acked += 1
        s.n.acked_in_window += s.window_open
        if due - s.window_from < s.window_to - s.window_from:
            hist_add_ns(&s.ack, s.now, due)


cdef int message(Swarm* s, uint32_t id, const uint8_t* body, size_t n, Memo* memo) noexcept nogil:
    """1 when the body was a stamped text (bare, or that of a Message)."""
    cdef const uint8_t* text = NULL
    cdef size_t size = 0
    if n and body[0] == c"q":
        return deliver(s, id, body, n, memo)
    return message_text(body, n, &text, &size) == 1 and deliver(s, id, text, size, memo)


cdef int room_messages(Swarm* s, uint32_t id, const uint8_t* body, size_t n, Memo* memo) noexcept nogil:
    """1 when all of it were stamped texts."""
    cdef RoomMessage m
    cdef const uint8_t* room
    cdef size_t room_len
    cdef ptrdiff_t used = room_head_parse(body, n, &room, &room_len)
    cdef size_t at = <size_t>used
    m.server_id = m.time_ms = 0
    while used > 0 and at < n:
        used = room_message_parse(body + at, n - at, &m)
        at += <size_t>used
        if used > 0 and not (m.shape & ROOM_TEXT and deliver(s, id, m.content, m.content_len, memo)):
            return 0
    return used > 0


cdef int frame(Swarm* s, uint32_t id, const Frame* f, Memo** memo) noexcept nogil:
    """One frame. Anything but a delivery makes the record unfit for a note. 0, or -1: the server closed."""
    cdef Client* c = &s.clients[id]
    cdef uint64_t code = 0
    if f.type == FRAME_MSG:
        c.messages += 1
        if message(s, id, f.body, f.body_len, memo[0]):
            if memo[0] != NULL:
                memo[0].counted += 1
            return 0
    elif f.type == FRAME_EVENT and f.body_len > 1:
        if f.body[0] == EVENT_ROOM_MESSAGES and room_messages(s, id, f.body, f.body_len, memo[0]):
            return 0
        if f.body[0] == c"q" and message(s, id, f.body, f.body_len, memo[0]):
            return 0
    memo[0] = NULL
    if f.type == FRAME_SEND_ACK or f.type == FRAME_RETURN:
        answered(s, id, f)
    elif f.type == FRAME_PONG:
        s.n.pongs += 1
    elif f.type == FRAME_AUTH_OK and c.state == AUTHENTICATING:
        c.state = LIVE
        s.n.live += 1
        hist_add_ns(&s.login, s.now, s.started[id])
    elif f.type == FRAME_REKEY:
        c.marks |= MARK_REKEY
    elif f.type == FRAME_CLOSE or f.type == FRAME_GOAWAY or f.type == FRAME_ERROR:
        uv_get(f.body, f.body_len, &code)
        s.n.close_code = code
        return -1 if f.type == FRAME_CLOSE else 0
    else:
        s.n.other_frames += 1
    return 0


cdef int inflate(Swarm* s, Frame* f) noexcept nogil:
    """0, or -1: not what was asked for. Once for all who read the same bytes: those that follow are recalled."""
    cdef Compressed body
    if s.decompressor == NULL or compressed_parse(f.body, f.body_len, &body) != 1:
        return -1
    if zstd_decompress(s.decompressor, body.packed, body.packed_len, s.inflated, body.raw_len) < 0:
        return -1
    f.body = s.inflated
    f.body_len = body.raw_len
    return 0


cdef int record(Swarm* s, uint32_t id, const uint8_t* p, size_t n) noexcept nogil:
    """The plaintext of one record: known bytes are recalled, others parsed. 0 or -1."""
    cdef Client* c = &s.clients[id]
    cdef size_t at = recall(s, id, p, n, &c.messages), start
    cdef Memo* memo
    cdef Frame f
    cdef ptrdiff_t used
    if at == n:
        return 0
    start = at
    memo = note_begin(s, n - at)
    while at < n:
        used = frame_parse(p + at, n - at, MAX_BODY, &f)
        if used <= 0:
            return -1
        at += <size_t>used
        if f.flags & FLAG_COMPRESSED and inflate(s, &f) != 0:
            return -1
        if frame(s, id, &f, &memo) != 0:
            return -1
    note_end(s, memo, p + start, n - start)
    if c.marks & MARK_REKEY:
        c.marks ^= MARK_REKEY
        return aead_rekey(s.suite, &c.rx)
    return 0


cdef ptrdiff_t feed(Swarm* s, uint32_t id, uint8_t* p, size_t n) noexcept nogil:
    cdef Client* c = &s.clients[id]
    cdef size_t at = 0, sealed = 0
    cdef ptrdiff_t used
    cdef int plain
    cdef uint64_t arrived
    if c.state == GREETING:
        if s.framing != NULL and not c.marks & MARK_GREETED:
            c.marks |= MARK_GREETED
            if first_words(s, id) != 0:
                return -1
        used = feed_handshake(s, id, p, n)
        if used <= 0:
            return used
        at = <size_t>used
    while at < n:
        used = record_parse(p + at, n - at, 17, 65535, &sealed)
        if used < 0:
            return -1
        if used == 0:
            break
        arrived = s.n.arrived
        plain = aead_open(s.suite, &c.rx, p + at + 2, sealed, p + at + 2)
        if plain < 0 or record(s, id, p + at + 2, <size_t>plain) != 0:
            return -1
        count_record(s, id, arrived)
        at += <size_t>used
    if c.messages - c.told >= ACK_EVERY and acknowledge(s, id) != 0:
        return -1
    return <ptrdiff_t>at


cdef int acknowledge(Swarm* s, uint32_t id) noexcept nogil:
    cdef Client* c = &s.clients[id]
    cdef uint8_t plain[FRAME_HEADER_BYTES + REKEY_FRAME]
    c.told = c.messages
    return write_record(s, id, plain, frame_header_put(plain, FRAME_ACK, 0x40, c.messages, 0))


cdef int ping(Swarm* s, uint32_t id) noexcept nogil:
    """PING, with the acknowledgement that is due and the interval that this client keeps."""
    cdef Client* c = &s.clients[id]
    cdef uint8_t plain[FRAME_HEADER_BYTES + PING_BODY_MAX + REKEY_FRAME]
    cdef uint8_t body[PING_BODY_MAX]
    cdef size_t size, head
    body[0] = 0
    size = 1 + uv_put(body + 1, s.ping_s)
    head = frame_header_put(plain, FRAME_PING, 0x40 if c.messages != c.told else 0, c.messages, size)
    memcpy(plain + head, body, size)
    c.told = c.messages
    s.n.pings += 1
    return write_record(s, id, plain, head + size)


cdef int join(Swarm* s, uint32_t id, const uint8_t* topic, size_t n) noexcept nogil:
    cdef uint8_t plain[FRAME_HEADER_BYTES + CALL_BODY_MAX + REKEY_FRAME]
    cdef uint8_t body[CALL_BODY_MAX]
    cdef size_t at, head
    if n > TOPIC_MAX:
        return -1
    at = uv_put(body, JOIN_REQUEST)
    body[at] = 9
    memcpy(body + at + 1, b"room.join", 9)
    at += 10
    at += room_put(body + at, topic, n)
    head = frame_header_put(plain, FRAME_CALL, 0, 0, at)
    memcpy(plain + head, body, at)
    return write_record(s, id, plain, head + at)


cdef int append(Swarm* s, uint32_t id, const uint8_t* target, size_t n, const Stamp* stamp) noexcept nogil:
    cdef uint8_t body[UV_MAX + 1 + TARGET_MAX]
    cdef uint8_t* p
    cdef size_t at = 0, payload = s.text_size
    if s.batch_len + 512 + s.text_size > BATCH_SIZE or s.batch_len > 16384:
        return -1
    s.request += 1
    s.due[s.request & (ACK_RING - 1)] = stamp.due_ns
    at = uv_put(body, s.request)
    body[at] = <uint8_t>n
    memcpy(body + at + 1, target, n)
    at += 1 + n
    p = s.sealed                                # scratch: nothing is sealed while a batch is being made
    if s.opcode == OPCODE_CORE:
        stamp_put(p, s.text_size, stamp)
    else:
        payload = send_put(p, s.run_id, stamp, s.text_size, s.online_only)
    s.batch_len += frame_header_put(s.batch + s.batch_len, FRAME_SEND, 0, 0, at + payload)
    memcpy(s.batch + s.batch_len, body, at)
    memcpy(s.batch + s.batch_len + at, p, payload)
    s.batch_len += at + payload
    return 0


cdef int flush(Swarm* s, uint32_t id) noexcept nogil:
    cdef size_t n = s.batch_len
    s.batch_len = 0
    return write_record(s, id, s.batch, n) if n else 0
