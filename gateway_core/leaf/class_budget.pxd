"""How many events a second a topic lets through, by class. Each class has its own tokens: a second's worth at once.

    HIGH      its own; beyond them those of NORMAL, as though no normal one had been sent
    NORMAL    its own, less what HIGH took: after a rush of high ones it waits
    DECISION  its own: what those who manage the topic decided
    NOTICE    its own: what members did

So a high one is never dropped because of normal ones, and no notice displaces a message. A loop's part: no lock.
"""

from libc.stdint cimport uint64_t

cdef struct ClassRates:  # events a second; 0 = no limit
    double normal
    double high
    double notices  # of decisions and of other notices, each

cdef struct ClassBudget:
    ClassRates rates
    double high  # tokens, as all below
    double borrowed  # of the normal ones, for HIGH
    double normal  # below 0: what HIGH took beyond it
    double decisions
    double notices
    uint64_t filled_ns

# All tokens are there; nothing happens when the rates are what they were.
cdef void class_budget_set(ClassBudget* b, const ClassRates* rates, uint64_t now_ns) noexcept nogil
cdef bint class_budget_take(ClassBudget* b, int cls, uint64_t now_ns) noexcept nogil  # 0: over the budget
