"""The structs more than one room touches. Read this page before any other of the core.

Ownership: a Loop and everything it points to belongs to its thread. Only five things cross threads: commands
(leaf.mailbox), events (leaf.events), SharedBuf (atomic refs), the per-address limit table (leaf.ip_limits) and the
counters of users (conn.homes).
A connection is named by `conn id` = loop << 56 | generation << 32 | slot; a Conn* is valid until the tick ends.

    slot -> conns[slot]      128 bytes, two cache lines: what sending touches, what receiving touches
            deadlines[slot]  the second in which the connection expires (packed, scanned once a second)
            held             PreAuth until AUTH, Session from login; each one right-sized heap block
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from crypto.aead cimport CipherState
from gateway_core.includes.sys cimport epoll_event, pthread_t
from gateway_core.includes.uring cimport qw_uring

cdef enum:
    TYPES_VERSION = 1  # raise with any change of meaning that keeps the sizes
    READ_BYTES = 262144  # one read of one connection
    FLUSH_BYTES = 65536  # plaintext sealed for one write
    SCRATCH_BYTES = 262144
    RECORD_PLAIN = 16384  # frames gathered into one record (PROTOCOL: sender rule)
    TOPIC_MAX = 80  # bytes of a topic name; user and device names are within 64
    EVENTS_PER_WAIT = 512
    MAX_RANGES = 32
    STAGE_SENDS = 64  # sends in one system call
    STAGE_FLUSH = 69632  # most bytes of one flush: FLUSH_BYTES, its records' lengths and tags, a WebSocket header
    MAX_BUDGETS = 16
    MAX_KEYS = 8
    HOMES = 16384  # counters of a loop, by hash of the user: 64 KiB
    PAGE_SLOTS = 2048  # members per bitmap page of a large topic
    PAGE_WORDS = 32
    NONE32 = 0xFFFFFFFF
    KEY_TICKS = 15  # a sending key's greatest age, in ticks
    TURN_CELLS = 66  # lengths of turns, see leaf.stats

cdef enum:  # ConnState
    FREE = 0
    FIRST = 1  # first bytes decide: PROXY, GET or QW
    HELLO = 2  # preamble and message 1 expected (WebSocket upgraded, or PROXY header read)
    WAITING = 3  # message 1 complete, in the handshake FIFO
    SHAKEN = 4  # AUTH expected
    ASKED = 5  # AUTH lies with Python
    LIVE = 6
    CLOSING = 7  # what is queued leaves, then shutdown
    LINGER = 8  # shut down for writing, waiting for the peer's end
    DOOMED = 9  # judged during this tick, reaped at its end
    STATES = 10

cdef enum:  # ConnFlag
    F_ZSTD = 1  # accepts compressed bodies
    F_WS = 2
    F_BLOCKED = 4  # EPOLLOUT armed: a ciphertext tail waits
    F_DIRTY = 8  # in the dirty list of this tick
    F_SPECIAL = 16  # young in, or excluded from, some batch: sweeps look closer
    F_SOFT = 32  # above the soft limit
    F_PROXIED = 64  # PROXY header read
    F_LOST = 128  # the transport is gone, nothing more can be written
    F_AGED = 256  # half of the greatest age is behind it

cdef enum:  # Class
    MUST = 0  # MSG, answers: never dropped, hard limit closes
    HIGH = 1
    NORMAL = 2

cdef enum:  # Kind
    CMD_LOGIN = 1
    CMD_REFUSE = 2
    CMD_SEND = 3
    CMD_PUBLISH = 4
    CMD_JOIN = 5
    CMD_LEAVE = 6
    CMD_KICK = 7
    CMD_POLICY = 8
    CMD_KEYS = 9
    CMD_DRAIN = 10
    CMD_BUDGET = 11
    CMD_STOP = 12
    CMD_TELL = 20
    CMD_JOIN_USER = 13
    CMD_LEAVE_USER = 14

cdef enum:  # EventKind
    EV_AUTH = 1
    EV_SEND = 2
    EV_CALL = 3
    EV_CLOSED = 4
    EV_TOPIC = 5
    EV_SESSION = 6

cdef struct SharedBuf:  # immutable plaintext frames, then the topic's name; made by buf_* in leaf.shared_buf
    SharedBuf* twin  # the compressed form; itself when that does not pay; NULL before it was tried
    uint64_t exclude  # conn id that must not get it, 0 = none
    uint64_t hash  # of the topic's name
    uint32_t refs
    uint32_t size  # bytes of frames
    uint16_t frames
    uint16_t msgs  # MSG frames among them
    uint16_t body_at  # where the body begins, one frame only
    uint8_t cls
    uint8_t name_len

cdef struct OutQueue:  # owned by a connection while something waits
    SharedBuf** ring
    OutQueue* next  # in the loop's pool
    uint8_t* tail  # sealed bytes the socket did not take: written before anything else, never sealed again
    uint32_t tail_len
    uint32_t tail_at
    uint32_t head
    uint32_t count
    uint32_t cap  # power of two
    uint32_t bytes  # of referenced plaintext
    SharedBuf* inline_ring[8]

cdef struct InBuf:  # a partial record (or message); the bytes follow the struct
    uint32_t len
    uint32_t cap
    # of a WebSocket, which keeps its InBuf for life
    uint32_t left  # payload bytes of the current data frame still to come
    uint8_t mask[4]
    uint8_t at  # where in the mask the next of them falls
    uint8_t message  # opcode of the fragmented message under way
    uint8_t raw  # bytes behind len: a frame header, or a control frame, that is not whole

cdef struct PreAuth:  # what the AUTH event tells Python; until then
    uint8_t hash[32]
    uint8_t ip[16]
    uint16_t port
    uint8_t proxy_allowed  # the peer is a listed balancer

cdef struct Session:  # user and device names follow, then the topic ids (aligned to 4)
    uint64_t id
    uint32_t next  # slot of the user's next connection on this loop
    uint16_t tokens
    uint16_t filled  # when tokens were last added, 1/16 s
    uint16_t policy_rev  # low bits of what the client was sent
    uint16_t joined  # topic ids in use
    uint8_t user_len
    uint8_t device_len
    uint8_t platform
    uint8_t room  # log2 + 1 of topic id capacity, 0 = none

cdef struct Conn:
    # line 1: sending
    CipherState tx
    OutQueue* out
    int fd
    uint32_t generation
    uint16_t flags
    uint8_t state
    uint8_t suite
    uint16_t tx_tick  # when the sending key was new
    uint16_t timeout_s  # granted after every read
    # line 2: receiving
    CipherState rx
    InBuf* in_buf
    void* held
    uint32_t msgs_sent
    uint32_t ip_ref  # entry of the limit table; the next free slot while FREE

cdef struct Staged:  # one sealed flush that waits for the batched send
    Conn* conn
    const uint8_t* p
    uint32_t n
    int result  # bytes taken or -errno

cdef struct Stage:  # of net.sender
    qw_uring* ring  # NULL: every send is a system call of its own
    uint8_t* room
    size_t used
    uint32_t n
    bint open
    Staged at[64]

cdef struct Slots:  # a growing list of slots
    uint32_t* at
    uint32_t len
    uint32_t cap

cdef struct Doom:
    uint32_t slot
    uint16_t code  # of the CLOSE frame, 0 = quiet
    uint8_t reason
    uint8_t was  # the state it was judged in
    uint8_t quiet  # no CLOSE frame, the code is for the event only

cdef struct Young:  # joined while batches were under way
    uint32_t slot
    uint32_t generation
    uint64_t since

cdef struct Cuts:  # where the records of a batch end, between frames
    uint32_t n
    uint32_t end[16]

cdef struct Batch:  # what a sweep delivers to one stripe, and to the next ones that lack the same
    SharedBuf* plain
    SharedBuf* packed  # for F_ZSTD members; NULL = as plain
    SharedBuf** part
    uint32_t n
    uint64_t* order  # place of each part in the topic's stream
    uint64_t first  # what the stripe lacked first
    uint64_t until  # what it lacks next
    uint8_t full  # more was waiting than fits
    uint8_t mixed  # queues take the parts: classes differ, or more than one record
    uint8_t excludes  # some part has an excluded connection
    uint8_t tried  # packed was looked at
    Cuts plain_cuts
    Cuts packed_cuts

cdef struct Topic:
    uint64_t hash
    uint32_t id
    uint32_t count  # local members
    # members: dense slots while small, bitmap pages when large
    uint32_t* dense
    uint64_t** pages
    uint32_t n_pages
    uint32_t dense_cap
    # pending messages of a large topic, oldest first
    SharedBuf** ring
    uint64_t* orders
    uint32_t head
    uint32_t span  # cells in use, dropped ones (NULL) included
    uint32_t waiting  # messages
    uint32_t cap
    uint64_t bytes
    uint64_t next_order
    uint64_t due_ns  # earliest start of the next round, unless a batch is full
    # sweep: stripe after stripe (a page of slots), each gets what came since its last turn
    uint64_t* since  # per page: the first message its members have not got; oldest at `stripe`, rising from there
    uint32_t stripe
    uint32_t served  # stripes of this round
    Batch* sweep
    uint32_t cursor  # next slot
    uint64_t sweep_ns  # spent on this round so far
    Young* young
    uint32_t youngs
    uint32_t young_cap
    # class budget: messages per second, 0 = unlimited
    uint32_t normal_rate
    uint32_t high_rate
    double normal_tokens
    double high_tokens
    uint64_t filled_ns
    uint8_t active  # in the loop's list of topics with work
    uint8_t name_len
    char name[80]

cdef struct UserIndex:  # open addressing: tag << 24 | slot + 1; grows by moving a few entries per change
    uint32_t* at
    uint32_t cap
    uint32_t used  # with tombstones
    uint32_t live
    uint32_t* old
    uint32_t old_cap
    uint32_t moved

cdef struct TopicTable:
    Topic** at
    uint32_t cap
    uint32_t used
    Topic** by_id
    uint32_t ids
    uint32_t ids_cap
    uint32_t* free_ids
    uint32_t free_count

cdef struct Cmd:
    uint64_t seq
    uint64_t conn
    void* ptr
    uint64_t x
    uint32_t code
    uint8_t kind
    uint8_t a
    uint16_t b

cdef struct Mailbox:
    Cmd* cells
    uint64_t mask
    uint64_t tail  # producers
    uint64_t pad1[7]
    uint64_t head  # the loop
    uint64_t pad2[7]
    uint32_t sleeping
    int wake_fd

cdef struct EventCell:  # strings lie one after another in blob
    uint64_t conn
    uint64_t request
    uint8_t* blob
    uint32_t size[5]
    uint32_t code
    uint8_t kind
    uint8_t a
    uint8_t b

cdef struct EventRing:
    EventCell* cells
    uint64_t mask
    uint64_t head  # Python
    uint64_t pad[7]
    uint64_t tail  # the loop
    EventCell* over  # what did not fit; reading stops until it does
    uint32_t over_len
    uint32_t over_at
    uint32_t over_cap

cdef struct IpEntry:
    uint64_t key[2]
    uint32_t conns
    uint32_t stamp_ms
    float tokens
    uint32_t parent  # entry of the /64

cdef struct IpTable:
    uint32_t lock
    uint32_t mask
    IpEntry* at

cdef struct Range:
    uint8_t ip[16]
    uint32_t bits

cdef struct Budget:
    char prefix[80]
    uint32_t prefix_len
    uint32_t normal
    uint32_t high

cdef struct StaticKey:
    uint16_t id
    uint8_t priv[32]
    uint8_t pub[32]

cdef struct KeyRing:
    uint32_t n
    StaticKey key[8]
    uint32_t signed_len
    uint8_t signed_set[1024]

cdef struct Settings:  # GatewayConfig in C; units in the names
    uint32_t max_connections
    uint32_t accept_budget
    uint32_t auth_timeout_s
    uint32_t grace_s
    uint32_t max_timeout_s
    uint32_t queue_soft_bytes
    uint32_t queue_hard_bytes
    uint32_t queue_event_bytes
    uint32_t flush_messages
    uint32_t flush_bytes
    uint32_t flush_delay_us
    uint32_t sweep_budget_us
    uint32_t large_topic
    uint32_t topic_pending
    uint32_t handshake_budget_us
    uint32_t handshake_queue
    uint32_t ephemerals
    uint32_t rekey_records
    uint32_t rekey_s
    uint32_t max_age_s
    uint32_t inbound_per_s
    uint32_t inbound_burst
    uint32_t ip_connections
    uint32_t ip_accepts_per_s
    uint32_t ip_accepts_burst
    uint32_t net64_connections
    uint32_t event_ring
    uint32_t mailbox
    uint32_t max_body
    uint32_t max_topics
    int unsent_bytes
    int send_buffer
    int receive_buffer
    int backlog
    int sender  # SEND_*
    int compress_level
    bint announce_topics
    bint compress
    uint32_t relay_len
    char relay[80]
    uint32_t node_len
    char node[80]
    uint32_t n_ranges
    Range ranges[32]

cdef struct Ephemeral:
    uint8_t priv[32]
    uint8_t pub[32]

cdef struct Loop:
    Engine* engine
    Settings* set
    uint32_t index
    pthread_t thread
    uint32_t running
    # clock of the tick
    uint64_t now_ns
    uint64_t turn_ns  # start of the turn; its sleep is added, so that the time since then was work
    uint32_t now_s  # seconds since the engine's start, from 1
    uint16_t now_tick  # KEY_TICKS in rekey_s; wraps after 45 days of 15 minutes
    uint64_t age_ns  # start of the walk that judges ages
    uint32_t age_at  # its next slot
    uint32_t scan_s  # second of the scan under way
    uint32_t scan_at
    uint32_t scan_end
    # descriptors
    int epoll_fd
    int listen_fd
    int reserve_fd
    uint64_t accept_again_ns  # paused until then, 0 = accepting
    # table
    Conn* conns
    uint32_t* deadlines
    uint32_t cap
    uint32_t high  # slots ever used
    uint32_t free_head
    uint32_t live  # slots in use
    uint32_t by_state[10]
    # buffers of the tick
    uint8_t* read_buf
    uint8_t* scratch
    Stage stage
    uint8_t* raw_body
    size_t raw_cap
    void* compressor
    void* expander
    epoll_event* ready
    OutQueue* queue_pool
    uint32_t queue_pooled
    # work of the tick
    Slots dirty
    Doom* dooms
    uint32_t n_dooms
    uint32_t dooms_cap
    Slots active  # topic ids with pending messages or a sweep
    uint32_t active_at
    # handshakes
    uint64_t* shake_ring
    uint32_t shake_head
    uint32_t shake_count
    uint64_t shake_until_ns  # of this tick
    Ephemeral* pool
    uint32_t pooled
    KeyRing keys
    # names
    UserIndex users
    uint32_t* homes  # conn.homes
    TopicTable topics
    Budget budgets[16]
    uint32_t n_budgets
    # policy
    uint32_t policy_rev
    uint32_t ping_interval_s
    SharedBuf* pong
    SharedBuf* policy
    # drain
    SharedBuf* goaway
    uint32_t drain_at
    uint32_t drain_step
    uint64_t drain_next_ns
    uint64_t drain_gap_ns
    bint draining
    # telling all users and topics, and sessions if asked for
    uint32_t tell_slot
    uint32_t tell_topic
    bint telling
    bint tell_sessions
    # crossing threads
    Mailbox mail
    EventRing events
    bint stalled  # a must-deliver topic is full: commands wait
    # accounts (leaf.stats)
    uint64_t* count
    uint64_t* reasons
    uint64_t* codes
    uint64_t stage_cycles[12]
    uint64_t stage_count[12]
    uint64_t k_hist[8]
    uint64_t turns[66]
    uint64_t turns_sum_ns
    uint64_t max_turn_ns  # since the start

cdef struct Engine:
    Settings set
    uint32_t n_loops
    Loop* loops
    uint64_t seed
    uint64_t start_ns
    int event_fd
    uint32_t notified
    uint32_t givers  # Python threads waiting for room in a mailbox
    IpTable ips
    int port


# Mixed over every shared struct: rooms built from different versions of this page disagree.
cdef inline long layout_mark() noexcept nogil:
    cdef long h = TYPES_VERSION
    h = h * 31 + <long>sizeof(SharedBuf)
    h = h * 31 + <long>sizeof(OutQueue)
    h = h * 31 + <long>sizeof(InBuf)
    h = h * 31 + <long>sizeof(Session)
    h = h * 31 + <long>sizeof(PreAuth)
    h = h * 31 + <long>sizeof(Conn)
    h = h * 31 + <long>sizeof(Topic)
    h = h * 31 + <long>sizeof(Batch)
    h = h * 31 + <long>sizeof(Cmd)
    h = h * 31 + <long>sizeof(EventCell)
    h = h * 31 + <long>sizeof(Settings)
    h = h * 31 + <long>sizeof(Stage)
    h = h * 31 + <long>sizeof(Loop)
    h = h * 31 + <long>sizeof(Engine)
    return h & 0x7FFFFFFF


cdef inline uint64_t conn_id(Loop* loop, Conn* c) noexcept nogil:
    return (<uint64_t>loop.index << 56) | (<uint64_t>c.generation << 32) | <uint64_t>(c - loop.conns)


cdef inline uint32_t slot_of(Loop* loop, Conn* c) noexcept nogil:
    return <uint32_t>(c - loop.conns)


cdef inline Session* session_of(Conn* c) noexcept nogil:
    return <Session*>c.held


cdef inline char* session_user(Session* s) noexcept nogil:
    return <char*>s + sizeof(Session)


cdef inline char* session_device(Session* s) noexcept nogil:
    return <char*>s + sizeof(Session) + s.user_len


cdef inline uint8_t* buf_data(SharedBuf* b) noexcept nogil:
    return <uint8_t*>b + sizeof(SharedBuf)


cdef inline char* buf_name(SharedBuf* b) noexcept nogil:
    return <char*>b + sizeof(SharedBuf) + b.size


cdef inline uint8_t* in_data(InBuf* b) noexcept nogil:
    return <uint8_t*>b + sizeof(InBuf)
