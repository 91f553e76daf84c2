"""Topics and their local members.

Members are dense slots while a topic is small and bitmap pages when it is large, so that a walk follows memory
order, join and leave are O(1), and a leaver never makes a sweep miss its neighbour.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway_core.conn.announce cimport TOPIC_MAX, Announcer
from gateway_core.conn.joining cimport Cuts
from gateway_core.conn.table cimport Conn, ConnTable
from gateway_core.leaf.class_budget cimport ClassBudget, ClassRates
from gateway_core.leaf.lists cimport Slots
from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.leaf.stats cimport Stats

cdef enum:
    PAGE_SLOTS = 2048  # members per bitmap page of a large topic
    PAGE_WORDS = 32
    MAX_BUDGETS = 16
    EVENT_KINDS = 3  # normal, high, notice
    PACKED_FORMS = 2  # without a dictionary, by it
    TAG = 35  # '#': room#tag is the part of a room's members who wear the tag

cdef enum:
    J_JOINED = 1
    J_ALREADY = 0
    J_REFUSED = -1  # limit or memory

cdef struct Young:  # joined while batches were under way
    uint32_t slot
    uint32_t generation
    uint64_t since

cdef struct Batch:  # what a sweep delivers to one stripe, and to the next ones that lack the same
    SharedBuf* plain
    SharedBuf* packed[PACKED_FORMS]  # for F_ZSTD members, and for those with F_DICTIONARY; NULL = as plain
    SharedBuf** part
    uint32_t n
    uint64_t* order  # place of each part in the topic's stream
    uint64_t first  # what the stripe lacked first
    uint64_t until  # what it lacks next
    uint8_t full  # more was waiting than fits
    uint8_t mixed  # queues take the parts: classes differ, or more than one record
    uint32_t dictionary  # id of the one that the packed form by one is by
    uint8_t excludes  # some part has an excluded connection
    uint8_t tried[PACKED_FORMS]  # packed was looked at
    Cuts plain_cuts
    Cuts packed_cuts[PACKED_FORMS]

cdef struct Meter:  # of a topic under a budget
    ClassBudget budget
    uint32_t dropped[EVENT_KINDS]  # not told yet
    uint8_t own  # the topic's own rates of messages, not those of its prefix
    uint8_t owing  # in the list of topics with something to tell

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
    Meter* meter  # NULL: no budget
    uint8_t active  # in the list of topics with work
    uint8_t low  # there may be decisions or notices among what waits
    uint8_t room_len  # of the name before its tag; the topic of that name has the budget. 0: no tag
    uint8_t name_len
    char name[TOPIC_MAX]

cdef struct Budget:
    char name[TOPIC_MAX]
    uint32_t name_len
    uint8_t one  # of the topic of this name, messages only; else of topics whose names begin so: the longest wins
    uint8_t ends  # the one topic's own budget: that of its prefix holds again
    ClassRates rates

cdef struct TopicLimits:
    uint32_t large  # members from which messages leave in batches
    uint32_t joined  # topics of one session
    uint32_t pending  # messages waiting in a topic
    uint32_t batch_messages
    uint32_t batch_bytes

cdef struct TopicTable:
    Topic** at
    uint32_t cap
    uint32_t used
    Topic** by_id
    uint32_t ids
    uint32_t ids_cap
    uint32_t* free_ids
    uint32_t free_count
    Slots active  # ids with pending messages or a sweep
    Slots owing  # ids that dropped something not told yet
    uint64_t tell_ns  # earliest time of the next telling
    bint stalled  # a must-deliver topic is full: commands wait
    TopicLimits limits
    Budget budgets[MAX_BUDGETS]
    uint32_t n_budgets
    ConnTable* table
    Announcer* announcer
    Stats* stats
    uint64_t seed

# All else zero; 0 or -1.
cdef int topics_init(TopicTable* topics, const TopicLimits* limits, ConnTable* table, Announcer* announcer, Stats* stats,
                     uint64_t seed) noexcept nogil
cdef void topics_free(TopicTable* topics) noexcept nogil

# A join hit nobody. Who gave it has told others of the topic: they hear of its end, if it has no members here.
cdef void topic_missed(TopicTable* topics, const char* name, size_t n) noexcept nogil
cdef Topic* topic_find(TopicTable* topics, uint64_t hash, const char* name, size_t n) noexcept nogil
# J_*. `own`: the topic's own rates from now on, NULL = those of its prefix.
cdef int topic_join(TopicTable* topics, Conn* c, const char* name, size_t n, const ClassRates* own, uint64_t now_ns) noexcept nogil
# And its tags: who is out of a room wears none of them.
cdef void topic_leave(TopicTable* topics, Conn* c, const char* name, size_t n) noexcept nogil
cdef void topics_leave_all(TopicTable* topics, Conn* c) noexcept nogil
cdef uint32_t topic_next(Topic* t, uint32_t slot) noexcept nogil  # first member >= slot of a paged topic, or NONE32
cdef void batch_free(TopicTable* topics, Topic* t) noexcept nogil
# Sets or replaces the budget of one prefix, for topics that are and that come; or of one topic, if it is.
cdef void topics_budget(TopicTable* topics, const Budget* wanted, uint64_t now_ns) noexcept nogil
cdef void topic_tell(TopicTable* topics, Topic* t) noexcept nogil  # EV_DROPPED with what was not told yet
