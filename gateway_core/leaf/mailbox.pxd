"""Commands into a loop: a bounded ring, many producers, one consumer (Vyukov's queue: each cell carries its turn).

Order is kept per producer. The wake-up costs a system call only when the loop sleeps.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:  # what a command asks, see engine.execute
    CMD_LOGIN = 1
    CMD_REFUSE = 2
    CMD_SEND = 3
    CMD_PUBLISH = 4
    CMD_JOIN = 5
    CMD_LEAVE = 6
    CMD_KICK = 7
    CMD_POLICY_ENTRY = 8
    CMD_KEYS = 9
    CMD_DRAIN = 10
    CMD_BUDGET = 11
    CMD_STOP = 12
    CMD_JOIN_USER = 13
    CMD_LEAVE_USER = 14
    CMD_RESYNC = 15
    CMD_PICK = 16
    CMD_AWAY = 17
    CMD_STAY = 18
    CMD_EASE = 19
    CMD_LOOK = 20
    CMD_TICKETS = 21
    CMD_TAKE = 22
    CMD_DENY = 23
    CMD_UNPARK = 24
    CMD_HANDED = 25
    CMD_POLICY_ROW = 26
    CMD_POLICY_CHOOSE = 27
    CMD_DICTIONARY = 40

cdef enum:
    LINE_REST = 7  # words that keep the next one on another cache line

cdef struct Cmd:  # the meaning of the fields is the kind's
    uint64_t seq  # the cell's turn
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
    uint64_t pad1[LINE_REST]
    uint64_t head  # the loop
    uint64_t pad2[LINE_REST]
    uint32_t sleeping
    int wake_fd

cdef void mail_blank(Mailbox* m) noexcept nogil  # nothing to free yet
cdef int mail_init(Mailbox* m, uint32_t cells) noexcept nogil  # cells: power of two. 0 or -1
cdef void mail_free(Mailbox* m) noexcept nogil
# 1, or 0 when full. What cmd.ptr owns passes to the loop on success.
cdef int mail_push(Mailbox* m, const Cmd* cmd) noexcept nogil
# The halves of mail_push, for many commands with one wake-up: a put command may lie unseen until mail_wake.
cdef int mail_put(Mailbox* m, const Cmd* cmd) noexcept nogil
cdef void mail_wake(Mailbox* m) noexcept nogil
cdef int mail_pop(Mailbox* m, Cmd* out) noexcept nogil  # 1, or 0 when empty
cdef bint mail_waiting(Mailbox* m) noexcept nogil
cdef double mail_fill(Mailbox* m) noexcept nogil  # share of the cells in use, about; any thread
# Bracket of the loop's sleep: returns 0 when commands came in the meantime and it must not sleep.
cdef bint mail_may_sleep(Mailbox* m) noexcept nogil
cdef void mail_awake(Mailbox* m) noexcept nogil
