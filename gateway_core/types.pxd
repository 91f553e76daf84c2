"""The Loop: what one thread owns. Every part has its struct, and its functions take that, in a module of its own.

    leaf    stats, events, blocks, mailbox, deadlines, keys, token_bucket, class_budget, address_table, admission, leavers,
            shared_buf, dictionaries, lists, policies
    net     poller, listener, sender, in_buffer, out_queue
    conn    states, table, announce, users, user_filter, topics, pending       ... and those that work with a whole Loop:
            transport, tickets, parking, session, resume, handshake, ws_gate, dispatch, fanout, leaving, looking, easing, policy   one connection and its surroundings

Ownership: a Loop and everything it points to belongs to its thread. Only seven things cross threads: commands
(leaf.mailbox), events (leaf.events), SharedBuf (atomic refs), the address table (leaf.address_table), the buckets of
admission (leaf.admission), the counters of users (conn.user_filter) and those of policies (leaf.policies).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from crypto.ticket cimport TicketKeys
from crypto.zstd cimport Dictionary
from gateway_core.conn.announce cimport TOPIC_MAX, Announcer
from gateway_core.conn.table cimport F_DICTIONARY, Conn, ConnTable, slot_of
from gateway_core.conn.topics cimport TopicLimits, TopicTable
from gateway_core.conn.user_filter cimport UserFilter
from gateway_core.conn.users cimport UserIndex
from gateway_core.includes.sys cimport IP_BYTES, pthread_t
from gateway_core.leaf.address_table cimport AddressLimits, AddressTable
from gateway_core.leaf.admission cimport Admission
from gateway_core.leaf.dictionaries cimport Dictionaries, dictionary_sending
from gateway_core.leaf.deadlines cimport Deadlines, deadline_set
from gateway_core.leaf.events cimport EventBell, EventRing
from gateway_core.leaf.keys cimport EphemeralPool, KeyRing
from gateway_core.leaf.leavers cimport Leavers
from gateway_core.leaf.lists cimport IdQueue, Slots
from gateway_core.leaf.mailbox cimport Mailbox
from gateway_core.leaf.policies cimport Policies
from gateway_core.leaf.replay_filter cimport ReplayFilter
from gateway_core.leaf.ring cimport UnackedLimits
from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.leaf.stats cimport Stats
from gateway_core.leaf.token_bucket cimport BucketRate
from gateway_core.net.listener cimport Listener
from gateway_core.net.out_queue cimport QueueLimits, QueuePool
from gateway_core.net.poller cimport Poller
from gateway_core.net.sender cimport Sender

cdef enum:
    READ_BYTES = 262144  # one read of one connection
    EASED_READ = 4096  # ... while reads are eased; who fills it waits
    FLUSH_BYTES = 65536  # plaintext sealed for one write
    SCRATCH_BYTES = 262144
    KEY_TICKS = 15  # a sending key's greatest age, in ticks
    MAX_LOOPS = 255  # the loop is one byte of an id
    MAX_RANGES = 32

cdef struct Range:
    uint8_t ip[IP_BYTES]
    uint32_t bits

cdef struct Config:  # GatewayConfig in C; units in the names. Parts copy what is theirs when they begin
    # generated:core-limits
    uint32_t max_connections
    uint32_t backlog
    uint32_t accept_budget
    uint32_t auth_timeout_s
    uint32_t handshake_budget_us
    uint32_t handshake_queue
    uint32_t ephemerals
    uint32_t grace_s
    uint32_t max_timeout_s
    uint32_t max_age_s
    uint32_t max_body
    uint32_t unsent_bytes
    uint32_t send_buffer
    uint32_t receive_buffer
    bint compress
    uint32_t compress_level
    uint32_t sweep_budget_us
    uint32_t ticket_s
    uint32_t park_s
    uint32_t lite_queue
    uint32_t rekey_records
    uint32_t rekey_s
    uint32_t mailbox
    uint32_t event_ring
    uint32_t event_bytes
    # /generated
    QueueLimits queue
    TopicLimits topic
    AddressLimits address
    BucketRate inbound
    UnackedLimits unacked
    uint32_t park_most  # of a loop
    uint32_t flush_delay_us
    int sender  # SEND_*
    bint announce_topics
    uint32_t relay_len
    char relay[TOPIC_MAX]
    uint32_t node_len
    char node[TOPIC_MAX]
    uint32_t n_ranges
    Range ranges[MAX_RANGES]

cdef struct Doom:  # a verdict, carried out at the end of the tick
    uint32_t slot
    uint16_t code  # of the CLOSE frame, 0 = quiet
    uint8_t reason
    uint8_t was  # the state it was judged in
    uint8_t quiet  # no CLOSE frame, the code is for the event only

cdef struct Dooms:
    Doom* at
    uint32_t n
    uint32_t cap

cdef struct Drain:
    bint on
    SharedBuf* goaway
    uint32_t at  # next slot
    uint64_t next_ns
    uint64_t gap_ns

cdef struct Resync:  # telling Python all users and topics, and sessions if asked for
    bint on
    bint sessions
    uint32_t slot  # next ones
    uint32_t topic

cdef enum:  # what is eased when there is too much to do
    EASE_AGES = 1  # nobody leaves for their age
    EASE_READS = 2  # heavy senders are paused
    EASE_EVENTS = 4  # presence and notices are not sent

cdef struct Pick:  # sessions that shall leave, for Python
    uint32_t left  # to be found still
    uint32_t idle_s
    uint64_t before  # sessions with lower ids alone
    uint32_t at  # next slot
    uint32_t looked  # since the last one was found
    uint32_t forget_at  # next slot, while forgetting
    bint forgetting

cdef struct LookFor:  # an operator's search; the names follow it (user, device, topic), of nobody: whoever
    uint64_t token
    uint32_t at  # next slot
    uint32_t slots  # to look at still
    uint32_t most  # to be found still
    uint8_t network[IP_BYTES]
    uint8_t bits  # of it, 0: any address
    uint8_t user_len
    uint8_t device_len
    uint8_t topic_len  # 0: members of any

cdef struct AgeWalk:
    uint64_t began_ns
    uint32_t at  # next slot

cdef struct Loop:
    Engine* engine
    Config* config
    uint32_t index
    pthread_t thread
    uint32_t running
    # clock of the tick
    uint64_t now_ns
    uint64_t turn_ns  # start of the turn; its sleep is added, so that the time since then was work
    uint32_t now_s  # seconds since the engine's start, from 1
    uint32_t read_most  # bytes of one read of one connection
    uint16_t now_tick  # KEY_TICKS in rekey_s; wraps after 45 days of 15 minutes
    # connections
    ConnTable table
    Deadlines deadlines
    AgeWalk ages
    Pick pick
    Leavers leavers
    LookFor* look  # malloc'ed; NULL: nobody asks
    Dooms dooms
    Slots dirty  # with something to flush
    uint32_t easing  # EASE_* bits
    Slots paused  # not read until resume_ns
    uint64_t resume_ns
    # sockets
    Poller poller
    Listener listener
    Sender sender
    QueuePool queues
    # buffers of the tick
    uint8_t* read_buf
    uint8_t* scratch
    uint8_t* raw_body
    void* compressor
    void* expander
    Dictionaries dictionaries
    # handshakes
    IdQueue waiting
    EphemeralPool ephemerals
    KeyRing keys
    # sessions taken up again
    TicketKeys tickets
    uint32_t node_id  # in tickets
    ReplayFilter replays
    # names
    UserIndex users
    UserFilter filter
    TopicTable topics
    uint32_t sweep_at  # whose turn it is among topics.active
    Stats stats
    # seldom written: other threads write to what follows
    Announcer announcer
    Policies policies
    Drain drain
    Resync resync
    Mailbox mail
    EventRing events

cdef struct Engine:
    Config config
    uint32_t n_loops
    Loop* loops
    uint64_t seed  # of the hashes of names
    uint64_t epoch  # of this start, in tickets: random
    uint64_t start_ns
    uint32_t start_wall_s
    EventBell bell
    uint32_t givers  # Python threads waiting for room in a mailbox
    AddressTable addresses
    Admission admission
    uint32_t easing  # EASE_* bits
    uint64_t eased_events  # not published, counted under the GIL
    int port


# Something was read, or a state begins: the connection may stay for its timeout.
cdef inline void touch(Loop* loop, Conn* c) noexcept nogil:
    deadline_set(&loop.deadlines, slot_of(&loop.table, c), loop.now_s + c.timeout_s)


# What bodies to this connection, which has F_ZSTD, are compressed by; NULL: by none.
cdef inline const Dictionary* dictionary_of(Loop* loop, Conn* c) noexcept nogil:
    return dictionary_sending(&loop.dictionaries) if c.flags & F_DICTIONARY else NULL
