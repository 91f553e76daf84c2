"""What all modules of the generator share: one client, the whole swarm, and the table of one wire protocol.

A client is 128 bytes. Buffers exist only while a unit is incomplete (`tail`) or a write was short (`out`).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from benchmarks.loadgen.histogram cimport Hist
from benchmarks.loadgen.stamp cimport Stamp
from crypto.aead cimport CipherState
from crypto.handshake cimport DH_BYTES
from crypto.noise cimport NoiseInitiator
from frame.constants cimport PREAMBLE_SIZE
from frame.websocket cimport WS_CONTROL_MAX, WS_HEADER_BYTES

cdef enum ClientState:
    FREE = 0
    CONNECTING = 1          # connect() in progress
    GREETING = 2            # handshake, upgrade or login under way
    AUTHENTICATING = 3      # secure channel there, login not answered
    LIVE = 4
    GONE = 5

cdef enum ClientMark:
    MARK_JOINED = 1         # the last join was answered
    MARK_REKEY = 2          # the peer's keys change after this record
    MARK_OPENED = 4         # WebSocket: the upgrade was answered
    MARK_WRITING = 8        # EPOLLOUT is armed
    MARK_GREETED = 16       # WebSocket: the first words of QW1 followed the upgrade

cdef enum Mode:
    MODE_ROOM = 0           # every tracked client receives from every publisher: slot = publisher
    MODE_PAIR = 1           # client 2k sends to client 2k + 1 only: slot 0, publisher must be k

cdef struct Client:
    CipherState rx
    CipherState tx
    uint8_t* tail           # owned; start of an incomplete unit, NULL when none
    uint8_t* out            # owned; bytes the socket did not take, NULL when none
    uint32_t tail_len
    uint32_t out_len
    int fd
    uint32_t messages       # MSG frames received, all
    uint32_t told           # of these, acknowledged
    uint8_t state
    uint8_t marks
    uint8_t pooled          # which prepared handshake of the pool was used
    uint8_t spare

cdef enum:
    HEAD_MAX = WS_HEADER_BYTES + WS_CONTROL_MAX

cdef struct Framing:        # WebSocket framing of one client, only where QW1 travels in it
    uint64_t left           # payload bytes of the message under way
    uint8_t head[HEAD_MAX]  # start of a header or of a whole control frame
    uint8_t head_len

cdef struct Counters:
    # connections
    uint64_t connected, handshaken, live, joined, failed, closed
    uint64_t rejected, close_code               # the last close or reject code told by the server
    # messages
    uint64_t arrived                            # stamped messages, all clients
    uint64_t tracked                            # of these, at clients that are judged, distinct
    uint64_t lost_so_far, reordered, duplicated, untracked, foreign
    uint64_t in_window                          # tracked messages that arrived while the window was open
    uint64_t records, reads, memo_hits, bytes_in, bytes_out
    uint64_t window_records
    # the other direction
    uint64_t sent, sent_in_window, acked, acked_in_window, refused, refusal_code, writes, short_writes
    uint64_t pings, pongs, other_frames
    # the generator itself
    uint64_t turns, naps, full_polls, cpu_ns
    uint64_t deaf_closed                        # of the clients that stopped reading

# A chunk of plaintext that was parsed completely and held deliveries only, with what was found in it. The same
# bytes at the next client mean the same messages; comparing is cheaper than parsing again.
cdef enum:
    MEMO_COUNT = 4
    MEMO_STAMPS = 512
    MEMO_BYTES = 65536
    MEMO_RUNS = 16
    MEMO_BINS = 2048        # of 33 us in which clients read the same bytes
    MEMO_BIN_BITS = 15

cdef struct Sequences:      # what one publisher said in a note: first, first + 1 ...
    uint32_t publisher
    uint32_t first
    uint32_t count

cdef struct Memo:
    size_t length
    uint32_t stamps
    uint32_t counted        # frames that acknowledgements count
    uint32_t runs           # 0: message by message
    Sequences run[MEMO_RUNS]
    # clients whose latencies are not in the histogram yet, by when they read this
    uint64_t since          # ns
    uint32_t last_bin       # 1 + the last one in use
    uint32_t readers[MEMO_BINS]
    uint8_t bytes[MEMO_BYTES]
    Stamp stamp[MEMO_STAMPS]

cdef struct Missing:        # open-addressing set of (client, slot, sequence) not seen yet
    uint64_t* keys          # 0 = empty, 1 = removed
    uint64_t used
    uint64_t mask

cdef struct Gateway:
    uint32_t ip             # network order
    uint16_t port           # network order

cdef struct Swarm

cdef struct Wire:
    int (*greet)(Swarm* s, uint32_t id) noexcept nogil                     # connected: say the first words; 0 or -1
    ptrdiff_t (*feed)(Swarm* s, uint32_t id, uint8_t* p, size_t n) noexcept nogil   # bytes consumed, or -1: drop the client
    int (*join)(Swarm* s, uint32_t id, const uint8_t* topic, size_t n) noexcept nogil
    # put one message into s.batch; 0, or -1 when the batch is full (flush and try again)
    int (*append)(Swarm* s, uint32_t id, const uint8_t* target, size_t n, const Stamp* stamp) noexcept nogil
    int (*flush)(Swarm* s, uint32_t id) noexcept nogil                     # write s.batch
    int (*ping)(Swarm* s, uint32_t id) noexcept nogil

cdef enum:
    INBUF_SIZE = 1 << 19    # one recv, after room for a tail
    TAIL_MAX = 1 << 17      # the longest incomplete unit
    BATCH_SIZE = 49152
    ACK_RING = 1 << 20

cdef struct Swarm:
    Wire wire
    Client* clients
    Framing* framing        # [count], NULL: plain TCP
    uint32_t count          # slab size
    uint32_t tracked        # clients [0, tracked) are judged
    uint32_t deaf           # clients [deaf, count) may stop reading; what happens to them is their own
    uint32_t first          # global index of client 0
    uint32_t slots          # publishers that a tracked client hears (1 in MODE_PAIR)
    int mode
    int epoll
    # what is said
    int suite
    int opcode              # what `append` writes: a wire decides
    uint8_t preamble[PREAMBLE_SIZE]
    uint8_t server_key[DH_BYTES]
    const uint8_t* tokens   # borrowed from Python while connecting; token i = tokens[token_at[i] : token_at[i + 1]]
    const uint32_t* token_at
    const uint8_t* topic    # borrowed; the room that `join` asks for
    size_t topic_len
    size_t text_size
    uint32_t ping_s         # 0 = never
    uint32_t run_id         # makes client ids unique between runs
    int online_only
    # where to
    Gateway* gateways
    uint32_t gateway_count
    # judging
    uint32_t* next_sequence # [tracked][slots]
    Missing missing
    Memo* memos
    uint32_t memo_turn
    uint64_t now            # ns, read after each recv and at each turn
    uint64_t window_from, window_to
    int window_open
    Hist delivery, ack, lag, turn, login
    Counters n
    # buffers
    uint8_t* inbuf
    uint8_t* batch
    size_t batch_len
    uint32_t batch_messages
    uint8_t* sealed
    uint64_t request        # last request number
    uint64_t* due           # [ACK_RING] intended time of request
    NoiseInitiator* pool
    uint8_t* pool_message1  # [pool] x 2 + 48 bytes: length and message
    uint32_t pool_size
    void* decompressor      # NULL: no compressed bodies were asked for
    uint8_t* inflated       # [MAX_RAW_BODY]
    uint64_t* started       # [count] when connect() was called, ns
