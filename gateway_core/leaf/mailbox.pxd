"""Commands into a loop: a bounded ring, many producers, one consumer (Vyukov's queue: each cell carries its turn).

Order is kept per producer. The wake-up costs a system call only when the loop sleeps.
"""

from libc.stdint cimport uint32_t

from gateway_core.types cimport Cmd, Mailbox

cdef int mail_init(Mailbox* m, uint32_t cells) noexcept nogil  # cells: power of two. 0 or -1
cdef void mail_free(Mailbox* m) noexcept nogil
# 1, or 0 when full. What cmd.ptr owns passes to the loop on success.
cdef int mail_push(Mailbox* m, const Cmd* cmd) noexcept nogil
# The halves of mail_push, for many commands with one wake-up: a put command may lie unseen until mail_wake.
cdef int mail_put(Mailbox* m, const Cmd* cmd) noexcept nogil
cdef void mail_wake(Mailbox* m) noexcept nogil
cdef int mail_pop(Mailbox* m, Cmd* out) noexcept nogil  # 1, or 0 when empty
cdef bint mail_waiting(Mailbox* m) noexcept nogil
# Bracket of the loop's sleep: returns 0 when commands came in the meantime and it must not sleep.
cdef bint mail_may_sleep(Mailbox* m) noexcept nogil
cdef void mail_awake(Mailbox* m) noexcept nogil
